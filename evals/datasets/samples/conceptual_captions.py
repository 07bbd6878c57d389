"""Conceptual Captions: pictures from the web with one caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import conceptual_captions


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for pair in conceptual_captions(root / "conceptual_captions", split, skips, skips):
        yield Sample(pair.path, pair.path.name, (pair.text,))


SAMPLES = Samples(("train", "val"), _read)
