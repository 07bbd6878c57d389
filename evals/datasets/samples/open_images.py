"""Open Images: photos with the labels that people verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.open_images import read_open_images
from unimo2.formats.parsing import Skips


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in read_open_images(root / "open_images", skips, skips):
        yield Sample(image.path, image.path.name, (", ".join(image.labels),))


SAMPLES = Samples(("train",), _read)
