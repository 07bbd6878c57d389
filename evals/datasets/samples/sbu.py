"""SBU: photos with what their owners wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.sampling import Sample, Samples
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import sbu


def _read(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for pair in sbu(root / "sbu", skips, skips):
        yield Sample(pair.path, pair.path.name, (pair.text,))


SAMPLES = Samples(("train",), _read)
