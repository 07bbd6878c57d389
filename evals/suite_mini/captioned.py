"""Captioned pictures in Karpathy's layouts: Flickr30k, and COCO with its own annotation file.

A collection is a list of entries. An entry says which scene to draw and where its picture goes;
entries are independent of one another, so any process can write any of them. Other data sets that
speak of the same pictures (VQA of COCO's, SNLI-VE of Flickr30k's) list the same entries and make
their scenes anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.suite_mini.dice import Dice
from evals.suite_mini.language import Description, describe
from evals.suite_mini.part import Report
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.render import SIDE
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import Scene, make_scene
from unimo2.formats.layout import CocoFiles, Flickr30kFiles

FLICKR_IMAGES = Flickr30kFiles(Path()).images.as_posix()
COCO_FOLDER = "coco"
_FLICKR_SIZES = {"train": 2_000, "val": 300}
_COCO_SIZES = {"train": 10_000, "restval": 2_000, "val": 300, "test": 300}
_COCO_FOLDERS = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
# COCO ids are unique over all splits, and not consecutive.
_COCO_ID_STEP, _COCO_ID_OFFSETS = 8, {"train": 1, "restval": 3, "val": 5, "test": 7}


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
    path: str
    """Of the picture, relative to the suite's root."""
    cocoid: int | None = None

    @property
    def filename(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part."""
        return self.path.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The file's name without its suffix; the Flickr30K_ID of SNLI-VE."""
        return self.filename.rpartition(".")[0]


@dataclass(frozen=True)
class Written:
    """What a process hands back for an entry."""

    captions: tuple[tuple[str, tuple[str, ...]], ...]
    """(sentence, tokens), five of them."""
    digest: str


def flickr_entries(request: SuiteRequest) -> list[Entry]:
    """Flickr30k: train and val grow with the scale, the test split has its own size.

    A larger test split begins with the smaller one; scenes are `make_scene(seed, "flickr30k",
    split, index)`.
    """
    sizes = {split: request.scaled(size) for split, size in _FLICKR_SIZES.items()}
    sizes["test"] = request.flickr_test
    places = [(split, index) for split, size in sizes.items() for index in range(size)]
    return [
        Entry("flickr30k", split, index, split, f"{FLICKR_IMAGES}/{1_000_092_795 + 7_919 * n}.jpg")
        for n, (split, index) in enumerate(places)
    ]


def coco_entries(request: SuiteRequest) -> list[Entry]:
    """COCO with Karpathy's splits: the pairs for pre-training, and a val and a test split.

    Train pictures lie in train2014, all others in val2014; `Entry.cocoid` is the image id that
    VQA's questions and COCO's annotation files use.
    """
    return [
        _coco_entry(split, index)
        for split, size in _COCO_SIZES.items()
        for index in range(request.scaled(size))
    ]


def _coco_entry(split: str, index: int) -> Entry:
    folder = _COCO_FOLDERS[split]
    cocoid = _COCO_ID_STEP * index + _COCO_ID_OFFSETS[split]
    return Entry(
        collection=f"coco-{split}",
        world="train" if split == "restval" else split,
        index=index,
        split=split,
        path=CocoFiles(Path()).image(folder, cocoid).as_posix(),
        cocoid=cocoid,
    )


def scene_of(seed: int, entry: Entry) -> Scene:
    """What the picture of an entry shows."""
    return make_scene(seed, entry.collection, entry.world, entry.index)


def scene_and_descriptions(seed: int, entry: Entry) -> tuple[Scene, list[Description]]:
    """The scene of an entry and its five captions, in the order of the annotation file."""
    scene = scene_of(seed, entry)
    dice = Dice(seed, entry.collection, entry.world, entry.index, "captions")
    return scene, describe(scene, dice)


@dataclass(frozen=True)
class PictureJob:
    """Draw the picture of an entry and word its captions."""

    entry: Entry

    def run(self, root: Path, seed: int) -> Written:
        """Save the picture; see `evals.suite_mini.part.Job`."""
        entry = self.entry
        scene, descriptions = scene_and_descriptions(seed, entry)
        captions = [description.text for description in descriptions]
        tokens = [tuple(description.tokens()) for description in descriptions]
        dice = Dice(seed, entry.collection, entry.world, entry.index, "picture")
        digest = write_scene(root / entry.path, scene, dice, captions)
        return Written(tuple(zip(captions, tokens, strict=True)), digest)


def split_counts(entries: Sequence[Entry]) -> dict[str, int]:
    """Images by Karpathy's split."""
    return dict(Counter(entry.split for entry in entries))


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
        # Only COCO has several folders, and names them.
        record: dict[str, Any] = {}
        if entry.cocoid is not None:
            record["filepath"] = entry.folder.rpartition("/")[2]
        record["sentids"] = [sentence["sentid"] for sentence in sentences]
        record |= {"filename": entry.filename, "imgid": image_id, "split": entry.split}
        record["sentences"] = sentences
        if entry.cocoid is not None:
            record["cocoid"] = entry.cocoid
        images.append(record)
    json_path.write_text(json.dumps({"images": images, "dataset": dataset}), encoding="utf-8")


_FLICKR_JSON = Flickr30kFiles(Path()).annotations.as_posix()


class _Flickr30k:
    name = "flickr30k"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [FLICKR_IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[PictureJob]:
        return [PictureJob(entry) for entry in flickr_entries(request)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = flickr_entries(request)
        write_karpathy(root / _FLICKR_JSON, self.name, entries, results)
        return Report(
            counts=split_counts(entries),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_FLICKR_JSON, *(entry.path for entry in flickr_entries(request))]


FLICKR30K = _Flickr30k()


_COCO_JSON = CocoFiles(Path()).annotations.as_posix()
_ANNOTATIONS = f"{COCO_FOLDER}/annotations"
_REFERENCES = CocoFiles(Path()).references("val2014").as_posix()
_LICENCE = {"id": 1, "name": "Drawn by unimo2 data make-mini", "url": ""}


class _Coco:
    name = "coco"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [_ANNOTATIONS, *sorted({entry.folder for entry in coco_entries(request)})]

    def jobs(self, request: SuiteRequest) -> Sequence[PictureJob]:
        return [PictureJob(entry) for entry in coco_entries(request)]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = coco_entries(request)
        write_karpathy(root / _COCO_JSON, self.name, entries, results)
        _write_references(root / _REFERENCES, entries, results)
        return Report(
            counts=split_counts(entries),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_COCO_JSON, _REFERENCES, *(entry.path for entry in coco_entries(request))]


def _write_references(path: Path, entries: Sequence[Entry], written: Sequence[Written]) -> None:
    """Save the captions of all images in val2014 as COCO's own annotation file has them."""
    chosen = [
        (entry, result)
        for entry, result in zip(entries, written, strict=True)
        if entry.folder.endswith("val2014")
    ]
    images = [
        {"license": 1, "file_name": entry.filename, "coco_url": "", "height": SIDE, "width": SIDE}
        | {"date_captured": "2026-01-01 00:00:00", "flickr_url": "", "id": entry.cocoid}
        for entry, _ in chosen
    ]
    captions = [(entry.cocoid, text) for entry, result in chosen for text, _ in result.captions]
    annotations = [
        {"image_id": image, "id": number, "caption": text}
        for number, (image, text) in enumerate(captions, start=1)
    ]
    content = {
        "info": {"description": "COCO captions of the mini suite", "version": "1.0", "year": 2026},
        "images": images,
        "licenses": [_LICENCE],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content), encoding="utf-8")


COCO = _Coco()
