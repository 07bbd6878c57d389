"""Labelled pictures of one main thing: ImageNet with 120 classes, ImageNet-21k with some more.

ImageNet has `train/<wnid>/*.JPEG`, `val/<wnid>/*.JPEG`, names of the classes, boxes of val: validation
pictures lie in folders by class, as everybody sorts them, under the names that they are distributed
with; `LOC_val_solution.csv` names their classes as well. ImageNet-21k has one folder a class, named by
WordNet id, and `words.txt` with the names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.suite_mini.classes import ALL_CLASSES, IMAGENET_CLASSES, ThingClass
from evals.suite_mini.dice import Dice
from evals.suite_mini.part import Report, SuitePart
from evals.suite_mini.pictures import item_digest, save_jpeg
from evals.suite_mini.portraits import Portrait, draw_portrait, make_portrait
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import ImageNet21kFiles, ImageNetFiles

_SIZES = {"train": 30 * len(IMAGENET_CLASSES), "val": 10 * len(IMAGENET_CLASSES)}
_SIZE_21K = 5_000

Box = tuple[int, int, int, int]
"""Around the main thing: left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class Drawn:
    """What a process hands back for a picture."""

    digest: str
    box: Box


@dataclass(frozen=True)
class ClassPicture:
    """The work of one picture."""

    folder: str
    split: str
    """"" if the collection has none: it is of the training world."""
    index: int

    @property
    def classes(self) -> tuple[ThingClass, ...]:
        """All of the collection."""
        return IMAGENET_CLASSES if self.folder == "imagenet" else ALL_CLASSES

    @property
    def kind(self) -> ThingClass:
        """Classes take turns, so that they have equally many pictures."""
        return self.classes[self.index % len(self.classes)]

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        if self.split == "val":
            return f"ILSVRC2012_val_{self.index + 1:08d}"
        return f"{self.kind.wnid}_{self.index}"

    @property
    def path(self) -> str:
        """Relative to the suite's root."""
        return "/".join([self.folder, *self._split, self.kind.wnid, f"{self.stem}.JPEG"])

    @property
    def _split(self) -> list[str]:
        return [self.split] if self.split else []

    def portrait(self, seed: int) -> Portrait:
        """What is to be seen."""
        # ImageNet's public test split is called val.
        world = "test" if self.split == "val" else "train"
        key = ("-".join([self.folder, *self._split]), world, self.index)
        return make_portrait(seed, key, self.kind, self.classes)

    def draw(self, portrait: Portrait, seed: int) -> tuple[NDArray[np.uint8], Box]:
        """Pixels, and the box around the main thing."""
        dice = Dice(seed, self.folder, *self._split, self.index, "picture")
        return draw_portrait(portrait, dice)

    def run(self, root: Path, seed: int) -> Drawn:
        """Draw and save it."""
        portrait = self.portrait(seed)
        pixels, box = self.draw(portrait, seed)
        save_jpeg(root / self.path, pixels)
        return Drawn(item_digest(portrait.scene, [self.kind.wnid], pixels), box)


class _ImageNet(SuitePart):
    """Image classification: 120 classes, some of them fine-grained, some in no caption."""

    name = "imagenet"

    def jobs(self, request: SuiteRequest) -> Sequence[ClassPicture]:
        return [
            ClassPicture(self.name, split, index)
            for split, size in _SIZES.items()
            for index in range(request.scaled(size))
        ]

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{self.name}/{ImageNetFiles.MAPPING}", f"{self.name}/{ImageNetFiles.SOLUTION}"]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Drawn]) -> Report:
        jobs = self.jobs(request)
        mapping, solution = (root / path for path in self.annotations(request))
        lines = [f"{kind.wnid} {', '.join(kind.names)}\n" for kind in IMAGENET_CLASSES]
        mapping.write_text("".join(lines), encoding="utf-8")
        rows = ["ImageId,PredictionString\n"]
        for job, drawn in zip(jobs, results, strict=True):
            if job.split == "val":
                # Every box ends with a space, as in the official file.
                rows.append(f"{job.stem},{job.kind.wnid} {' '.join(map(str, drawn.box))} \n")
        solution.write_text("".join(rows), encoding="utf-8")
        counts = dict(Counter(job.split for job in jobs))
        return Report(counts, "images", [drawn.digest for drawn in results])


class _ImageNet21k(SuitePart):
    """All classes, those of ImageNet among them, for pre-training with "a photo of [label]"."""

    name = "imagenet21k"

    def jobs(self, request: SuiteRequest) -> Sequence[ClassPicture]:
        return [ClassPicture(self.name, "", index) for index in range(request.scaled(_SIZE_21K))]

    def annotations(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{self.name}/{ImageNet21kFiles.CLASS_NAMES[0]}"]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Drawn]) -> Report:
        (names,) = (root / path for path in self.annotations(request))
        lines = [f"{kind.wnid}\t{', '.join(kind.names)}\n" for kind in ALL_CLASSES]
        names.write_text("".join(lines), encoding="utf-8")
        return Report({"train": len(results)}, "images", [drawn.digest for drawn in results])


IMAGENET, IMAGENET21K = _ImageNet(), _ImageNet21k()
