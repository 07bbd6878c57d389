"""ImageNet-1k: photos of a class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.imagenet import MAPPING, read_labels, read_synsets
from unimo2.formats.parsing import MISSING_IMAGE, Skips


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    folder = root / "imagenet"
    names = {synset.wnid: synset.names for synset in read_synsets(folder / MAPPING)}
    for image in read_labels(folder / split):
        if image.path is None:
            skips.add(MISSING_IMAGE, image.name)
        else:
            label = ", ".join(names.get(image.wnid, ("a class without a name",)))
            yield Sample(image.path, f"{image.name} ({image.wnid})", (label,))


SAMPLES = Samples(("val", "train"), _read)
