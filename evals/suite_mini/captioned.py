"""Captioned pictures in Karpathy's layouts: Flickr30k, and COCO with its own annotation file.

A collection is a list of entries. An entry says which scene to draw and where its picture goes, and
is the job of drawing it; entries are independent of one another. Other data sets that speak of the
same pictures (VQA of COCO's, SNLI-VE of Flickr30k's) list the same entries and make their scenes anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.suite_mini.dice import Dice
from evals.suite_mini.language import Description, describe, tokenize
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.pictures import write_scene
from evals.suite_mini.render import SIDE
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import Scene, make_scene
from unimo2.formats.layout import CocoFiles, Flickr30kFiles

_FLICKR, _COCO = Flickr30kFiles(Path()), CocoFiles(Path())
_FLICKR_SIZES = {"train": 2_000, "val": 300}
_COCO_SIZES = {"train": 10_000, "restval": 2_000, "val": 300, "test": 300}
# COCO ids are unique over all splits, and not consecutive.
_COCO_ID_STEP, _COCO_ID_OFFSETS = 8, {"train": 1, "restval": 3, "val": 5, "test": 7}


@dataclass(frozen=True)
class Written:
    """What a process hands back for an entry."""

    captions: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class CaptionedEntry:
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
    captioned: bool = True
    """False for a picture of which nothing but questions is known."""

    @property
    def filename(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name of the folder that the picture lies in."""
        return self.path.split("/")[-2]

    @property
    def stem(self) -> str:
        """The file's name without its suffix; the Flickr30K_ID of SNLI-VE."""
        return self.filename.rpartition(".")[0]

    def run(self, root: Path, seed: int) -> Written:
        """Draw the picture and word its captions; see `evals.suite_mini.part.Job`."""
        scene, descriptions = scene_and_descriptions(seed, self)
        captions = [description.text for description in descriptions if self.captioned]
        dice = Dice(seed, self.collection, self.world, self.index, "picture")
        return Written(tuple(captions), write_scene(root / self.path, scene, dice, captions))


def flickr_entries(request: SuiteRequest) -> list[CaptionedEntry]:
    """Flickr30k: train and val grow with the scale, the test split has its own size.

    A larger test split begins with the smaller one; scenes are `make_scene(seed, "flickr30k",
    split, index)`.
    """
    sizes = {split: request.scaled(size) for split, size in _FLICKR_SIZES.items()}
    sizes["test"] = request.flickr_test
    places = [(split, index) for split, size in sizes.items() for index in range(size)]
    folder = _FLICKR.images.as_posix()
    return [
        CaptionedEntry(
            "flickr30k", split, index, split, f"{folder}/{1_000_092_795 + 7_919 * number}.jpg"
        )
        for number, (split, index) in enumerate(places)
    ]


def coco_entries(request: SuiteRequest) -> list[CaptionedEntry]:
    """COCO with Karpathy's splits: the pairs for pre-training, and a val and a test split.

    Train pictures lie in train2014, all others in val2014; `CaptionedEntry.cocoid` is the image id that
    VQA's questions and COCO's annotation files use.
    """
    return [
        _coco_entry(split, index)
        for split, size in _COCO_SIZES.items()
        for index in range(request.scaled(size))
    ]


def _coco_entry(split: str, index: int) -> CaptionedEntry:
    folder = "train2014" if split == "train" else "val2014"
    cocoid = _COCO_ID_STEP * index + _COCO_ID_OFFSETS[split]
    return CaptionedEntry(
        collection=f"coco-{split}",
        world="train" if split == "restval" else split,
        index=index,
        split=split,
        path=_COCO.image(folder, cocoid).as_posix(),
        cocoid=cocoid,
    )


def scene_of(seed: int, entry: CaptionedEntry) -> Scene:
    """What the picture of an entry shows."""
    return make_scene(seed, entry.collection, entry.world, entry.index)


def scene_and_descriptions(seed: int, entry: CaptionedEntry) -> tuple[Scene, list[Description]]:
    """The scene of an entry and its five captions, in the order of the annotation file."""
    scene = scene_of(seed, entry)
    dice = Dice(seed, entry.collection, entry.world, entry.index, "captions")
    return scene, describe(scene, dice)


def _karpathy(
    entries: Sequence[CaptionedEntry], written: Sequence[Written]
) -> list[dict[str, Any]]:
    """The images of a collection as Karpathy's JSON files list them."""
    images: list[dict[str, Any]] = []
    sentence_id = 0
    for image_id, (entry, result) in enumerate(zip(entries, written, strict=True)):
        sentences = [
            {"tokens": tokenize(text), "raw": text, "imgid": image_id, "sentid": number}
            for number, text in enumerate(result.captions, start=sentence_id)
        ]
        sentence_id += len(sentences)
        image: dict[str, Any] = {"sentids": [sentence["sentid"] for sentence in sentences]}
        image |= {"filename": entry.filename, "imgid": image_id, "split": entry.split}
        image |= {"sentences": sentences}
        # Only COCO has several folders, and names them.
        if entry.cocoid is not None:
            image = {"filepath": entry.folder, **image, "cocoid": entry.cocoid}
        images.append(image)
    return images


@dataclass(frozen=True)
class _CaptionedPart(SuitePart):
    name: str
    entries: Callable[[SuiteRequest], list[CaptionedEntry]]
    karpathy: str
    """Path of Karpathy's file."""
    references: str = ""
    """Path of COCO's own annotation file of val2014."""

    def jobs(self, request: SuiteRequest) -> Sequence[CaptionedEntry]:
        return self.entries(request)

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        return [path for path in (self.karpathy, self.references) if path]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Written]) -> Report:
        entries = self.entries(request)
        content = {"images": _karpathy(entries, results), "dataset": self.name}
        (root / self.karpathy).write_text(json.dumps(content), encoding="utf-8")
        if self.references:
            content = _references(entries, results)
            (root / self.references).write_text(json.dumps(content), encoding="utf-8")
        return Report(
            counts=dict(Counter(entry.split for entry in entries)),
            unit="images with 5 captions each",
            digests=[result.digest for result in results],
        )


def _references(entries: Sequence[CaptionedEntry], written: Sequence[Written]) -> dict[str, Any]:
    """The captions of all images in val2014 as COCO's own annotation file has them."""
    chosen = [
        (entry, result)
        for entry, result in zip(entries, written, strict=True)
        if entry.folder == "val2014"
    ]
    images = [
        {"license": 1, "file_name": entry.filename, "coco_url": "", "height": SIDE, "width": SIDE}
        | {"date_captured": "2026-01-01 00:00:00", "flickr_url": "", "id": entry.cocoid}
        for entry, _ in chosen
    ]
    captions = [(entry.cocoid, text) for entry, result in chosen for text in result.captions]
    annotations = [
        {"image_id": image, "id": number, "caption": text}
        for number, (image, text) in enumerate(captions, start=1)
    ]
    return {
        "info": {"description": "COCO captions of the mini suite", "version": "1.0", "year": 2026},
        "images": images,
        "licenses": [{"id": 1, "name": "Drawn by unimo2 data make-mini", "url": ""}],
        "annotations": annotations,
    }


FLICKR30K = _CaptionedPart("flickr30k", flickr_entries, _FLICKR.annotations.as_posix())
COCO = _CaptionedPart(
    "coco", coco_entries, _COCO.annotations.as_posix(), _COCO.references("val2014").as_posix()
)
