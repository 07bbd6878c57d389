"""ImageNet: `train/<wnid>/*.JPEG`, `val/<wnid>/*.JPEG`, names of the classes, boxes of val.

Validation pictures lie in folders by class, as everybody sorts them, under the names that they are
distributed with; `LOC_val_solution.csv` names their classes as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.classes import IMAGENET_CLASSES, ThingClass
from evals.suite_mini.dice import Dice
from evals.suite_mini.fingerprint import item_digest
from evals.suite_mini.part import Report
from evals.suite_mini.pictures import save_jpeg
from evals.suite_mini.portraits import Portrait, draw_portrait, make_portrait
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import ImageNetFiles

_FOLDER = "imagenet"
_MAPPING, _SOLUTION = ImageNetFiles.MAPPING, ImageNetFiles.SOLUTION
_SIZES = {"train": 30 * len(IMAGENET_CLASSES), "val": 10 * len(IMAGENET_CLASSES)}
# ImageNet's public test split is called val.
_WORLDS = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class Drawn:
    """What a process hands back for a picture."""

    digest: str
    box: tuple[int, int, int, int]
    """Around the main thing: left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class ClassPicture:
    """The work of one picture."""

    split: str
    index: int

    @property
    def kind(self) -> ThingClass:
        """Classes take turns, so that they have equally many pictures."""
        return IMAGENET_CLASSES[self.index % len(IMAGENET_CLASSES)]

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        if self.split == "val":
            return f"ILSVRC2012_val_{self.index + 1:08d}"
        return f"{self.kind.wnid}_{self.index}"

    @property
    def path(self) -> str:
        """Relative to the suite's root."""
        return f"{_FOLDER}/{self.split}/{self.kind.wnid}/{self.stem}.JPEG"

    def portrait(self, seed: int) -> Portrait:
        """What is to be seen."""
        key = (f"{_FOLDER}-{self.split}", _WORLDS[self.split], self.index)
        return make_portrait(seed, key, self.kind, IMAGENET_CLASSES)

    def run(self, root: Path, seed: int) -> Drawn:
        """Draw and save it."""
        portrait = self.portrait(seed)
        dice = Dice(seed, _FOLDER, self.split, self.index, "picture")
        pixels, box = draw_portrait(portrait, dice)
        save_jpeg(root / self.path, pixels)
        return Drawn(
            digest=item_digest(portrait.scene, [self.kind.wnid], pixels),
            box=box,
        )


class _ImageNet:
    """Image classification: 120 classes, some of them fine-grained, some in no caption."""

    name = "imagenet"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return sorted({str(Path(job.path).parent.as_posix()) for job in self.jobs(request)})

    def jobs(self, request: SuiteRequest) -> Sequence[ClassPicture]:
        return [
            ClassPicture(split, index)
            for split, size in _SIZES.items()
            for index in range(request.scaled(size))
        ]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Drawn]) -> Report:
        jobs = self.jobs(request)
        lines = [f"{kind.wnid} {', '.join(kind.names)}\n" for kind in IMAGENET_CLASSES]
        (root / _FOLDER / _MAPPING).write_text("".join(lines), encoding="utf-8")
        rows = ["ImageId,PredictionString\n"]
        for job, drawn in zip(jobs, results, strict=True):
            if job.split == "val":
                # Every box ends with a space, as in the official file.
                rows.append(f"{job.stem},{job.kind.wnid} {' '.join(map(str, drawn.box))} \n")
        (root / _FOLDER / _SOLUTION).write_text("".join(rows), encoding="utf-8")
        return Report(
            counts=dict(Counter(job.split for job in jobs)),
            unit="images",
            digests=[drawn.digest for drawn in results],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        names = [f"{_FOLDER}/{_MAPPING}", f"{_FOLDER}/{_SOLUTION}"]
        return names + [job.path for job in self.jobs(request)]


PART = _ImageNet()
