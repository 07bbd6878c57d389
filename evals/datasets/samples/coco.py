"""COCO: photos with five captions or more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.karpathy import read_karpathy
from unimo2.formats.parsing import Skips


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    folder = root / "coco"
    for image in read_karpathy(folder / "dataset_coco.json", folder, (split,)):
        yield Sample(image.path, image.filename, tuple(caption.text for caption in image.captions))


SAMPLES = Samples(("test", "val", "train", "restval"), _read)
