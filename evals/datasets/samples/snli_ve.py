"""SNLI-VE: photos of Flickr30k with sentences that follow, may be or cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples, by_picture
from unimo2.formats.parsing import MISSING_IMAGE, Skips
from unimo2.formats.snli_ve import NO_MAJORITY, read_pairs


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    yield from by_picture(_lines(root, split, skips))


def _lines(root: Path, split: str, skips: Skips) -> Iterator[tuple[Path, str]]:
    """Photo, and label with sentence."""
    for pair in read_pairs(root / "snli_ve" / f"snli_ve_{split}.jsonl"):
        path = root / "flickr30k" / "flickr30k-images" / f"{pair.image}.jpg"
        if path.is_file():
            yield path, f"{pair.label or NO_MAJORITY}: {pair.hypothesis}"
        else:
            skips.add(MISSING_IMAGE, str(path))


SAMPLES = Samples(("test", "dev", "train"), _read)
