"""ImageNet-21k: images of a class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.imagenet import synset_images
from unimo2.formats.parsing import Skips


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in synset_images(root / "imagenet21k", skips):
        yield Sample(image.path, f"{image.path.name} ({image.wnid})", (", ".join(image.names),))


SAMPLES = Samples(("train",), _read)
