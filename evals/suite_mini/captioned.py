"""Captioned pictures in Karpathy's layouts: Flickr30k and COCO.

A collection is a list of entries. An entry says which scene to draw and where its picture goes;
entries are independent of one another, so any process can write any of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from evals.suite_mini.dice import Dice
from evals.suite_mini.fingerprint import item_digest
from evals.suite_mini.language import Description, describe
from evals.suite_mini.render import render
from evals.suite_mini.world import Scene, make_scene

FLICKR_IMAGES = "flickr30k-images"
_FLICKR_TRAIN, _FLICKR_VAL = 1_000, 200
_COCO_SIZES = {"train": 14_000, "restval": 2_000, "val": 300, "test": 300}
_COCO_FOLDERS = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
# COCO ids are unique over all splits, and not consecutive.
_COCO_ID_STEP, _COCO_ID_OFFSETS = 8, {"train": 1, "restval": 3, "val": 5, "test": 7}
_SMALLEST_SPLIT = 8
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Entry:
    """One picture to be written."""

    collection: str
    """Name of the stream of scenes, not of a folder."""
    world: str
    """"train", "val" or "test": which scenes it may show."""
    index: int
    split: str
    """Karpathy's name: "restval" is drawn from the training world."""
    filename: str
    filepath: str | None = None
    cocoid: int | None = None


@dataclass(frozen=True)
class Written:
    """What a process hands back for an entry."""

    captions: tuple[tuple[str, tuple[str, ...]], ...]
    """(sentence, tokens), five of them."""
    digest: str


def flickr_entries(scale: float, test_images: int) -> list[Entry]:
    """Flickr30k: train and val grow with the scale, the test split has its own size."""
    sizes = {
        "train": _scaled(_FLICKR_TRAIN, scale),
        "val": _scaled(_FLICKR_VAL, scale),
        "test": test_images,
    }
    places = [(split, index) for split, size in sizes.items() for index in range(size)]
    return [
        Entry("flickr30k", split, index, split, f"{1_000_092_795 + 7_919 * number}.jpg")
        for number, (split, index) in enumerate(places)
    ]


def coco_entries(scale: float) -> list[Entry]:
    """COCO with Karpathy's splits: the pairs for pre-training, and a val and a test split."""
    return [
        _coco_entry(split, index)
        for split, size in _COCO_SIZES.items()
        for index in range(_scaled(size, scale))
    ]


def _coco_entry(split: str, index: int) -> Entry:
    folder = _COCO_FOLDERS[split]
    cocoid = _COCO_ID_STEP * index + _COCO_ID_OFFSETS[split]
    return Entry(
        collection=f"coco-{split}",
        world="train" if split == "restval" else split,
        index=index,
        split=split,
        filename=f"COCO_{folder}_{cocoid:012d}.jpg",
        filepath=folder,
        cocoid=cocoid,
    )


def _scaled(size: int, scale: float) -> int:
    return max(_SMALLEST_SPLIT, math.ceil(size * scale))


def scene_and_descriptions(seed: int, entry: Entry) -> tuple[Scene, list[Description]]:
    """The scene of an entry and its five captions."""
    scene = make_scene(seed, entry.collection, entry.world, entry.index)
    dice = Dice(seed, entry.collection, entry.world, entry.index, "captions")
    return scene, describe(scene, dice)


def write_picture(image_root: Path, seed: int, entry: Entry) -> Written:
    """Draw an entry and save it as a JPEG below the image folder."""
    scene, descriptions = scene_and_descriptions(seed, entry)
    pixels = render(scene, Dice(seed, entry.collection, entry.world, entry.index, "picture"))
    Image.fromarray(pixels).save(
        image_root / (entry.filepath or "") / entry.filename,
        format="JPEG",
        quality=_JPEG_QUALITY,
        subsampling=0,
    )
    captions = [description.text for description in descriptions]
    tokens = [tuple(description.tokens()) for description in descriptions]
    return Written(tuple(zip(captions, tokens, strict=True)), item_digest(scene, captions, pixels))


def write_karpathy(
    json_path: Path, dataset: str, entries: Sequence[Entry], written: Sequence[Written]
) -> None:
    """Save the JSON file of a collection, in the layout of Karpathy's data sets."""
    images = []
    sentence_id = 0
    for image_id, (entry, result) in enumerate(zip(entries, written, strict=True)):
        sentences = []
        for text, tokens in result.captions:
            sentences.append(
                {"tokens": tokens, "raw": text, "imgid": image_id, "sentid": sentence_id}
            )
            sentence_id += 1
        record: dict[str, Any] = {} if entry.filepath is None else {"filepath": entry.filepath}
        record["sentids"] = [sentence["sentid"] for sentence in sentences]
        record |= {"filename": entry.filename, "imgid": image_id, "split": entry.split}
        record["sentences"] = sentences
        if entry.cocoid is not None:
            record["cocoid"] = entry.cocoid
        images.append(record)
    json_path.write_text(json.dumps({"images": images, "dataset": dataset}), encoding="utf-8")
