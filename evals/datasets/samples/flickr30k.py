"""Flickr30k: photos with five captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.karpathy import read_karpathy
from unimo2.formats.parsing import Skips


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    folder = root / "flickr30k"
    path, pictures = folder / "dataset_flickr30k.json", folder / "flickr30k-images"
    for image in read_karpathy(path, pictures, (split,)):
        yield Sample(image.path, image.filename, tuple(caption.text for caption in image.captions))


SAMPLES = Samples(("test", "val", "train"), _read)
