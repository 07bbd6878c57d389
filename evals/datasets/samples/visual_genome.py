"""Visual Genome: photos with phrases about their regions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.parsing import Skips
from unimo2.formats.visual_genome import read_regions

_PHRASES = 12  # of the fifty that an image has


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in read_regions(root / "visual_genome", skips, skips):
        lines = [f"{region.phrase} {region.box}" for region in image.regions[:_PHRASES]]
        rest = len(image.regions) - _PHRASES
        more = [f"and {rest} more"] if rest > 0 else []
        yield Sample(image.path, f"{image.id}: phrase (x, y, width, height)", (*lines, *more))


SAMPLES = Samples(("train",), _read)
