"""ImageNet-21k: one folder a class, named by WordNet id, and `words.txt` with the names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.classes import ALL_CLASSES, ThingClass
from evals.suite_mini.dice import Dice
from evals.suite_mini.fingerprint import item_digest
from evals.suite_mini.part import Report
from evals.suite_mini.pictures import save_jpeg
from evals.suite_mini.portraits import Portrait, draw_portrait, make_portrait
from evals.suite_mini.request import SuiteRequest
from unimo2.formats.layout import ImageNet21kFiles

_FOLDER = "imagenet21k"
_NAMES = ImageNet21kFiles.CLASS_NAMES[0]
_IMAGES = 5_000


@dataclass(frozen=True)
class ClassPicture:
    """The work of one picture."""

    index: int

    @property
    def kind(self) -> ThingClass:
        """Classes take turns, so that they have equally many pictures."""
        return ALL_CLASSES[self.index % len(ALL_CLASSES)]

    @property
    def path(self) -> str:
        """Relative to the suite's root."""
        wnid = self.kind.wnid
        return f"{_FOLDER}/{wnid}/{wnid}_{self.index}.JPEG"

    def portrait(self, seed: int) -> Portrait:
        """What is to be seen."""
        return make_portrait(seed, (_FOLDER, "train", self.index), self.kind, ALL_CLASSES)

    def run(self, root: Path, seed: int) -> str:
        """Draw and save it; the digest of the item."""
        portrait = self.portrait(seed)
        pixels, _ = draw_portrait(portrait, Dice(seed, _FOLDER, self.index, "picture"))
        save_jpeg(root / self.path, pixels)
        return item_digest(portrait.scene, [self.kind.wnid], pixels)


class _ImageNet21k:
    """All classes, those of ImageNet among them, for pre-training with "a photo of [label]"."""

    name = "imagenet21k"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return sorted({f"{_FOLDER}/{job.kind.wnid}" for job in self.jobs(request)})

    def jobs(self, request: SuiteRequest) -> Sequence[ClassPicture]:
        return [ClassPicture(index) for index in range(request.scaled(_IMAGES))]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[str]) -> Report:
        lines = [f"{kind.wnid}\t{', '.join(kind.names)}\n" for kind in ALL_CLASSES]
        (root / _FOLDER / _NAMES).write_text("".join(lines), encoding="utf-8")
        return Report(counts={"train": len(results)}, unit="images", digests=results)

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [f"{_FOLDER}/{_NAMES}", *(job.path for job in self.jobs(request))]


PART = _ImageNet21k()
