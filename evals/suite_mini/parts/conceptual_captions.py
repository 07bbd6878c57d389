"""Conceptual Captions: a TSV of captions and addresses, pairs for pre-training, some of them noise."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.dice import Dice
from evals.suite_mini.language import Description
from evals.suite_mini.part import Report
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.web import WebJob, WebWritten, noise_counts
from unimo2.formats.layout import ConceptualCaptionsFiles

_FOLDER = "conceptual_captions"
_PAIRS = 4_000
_TSV = f"{_FOLDER}/{ConceptualCaptionsFiles.CAPTIONS['train']}"
_IMAGES = f"{_FOLDER}/{ConceptualCaptionsFiles.IMAGES['train']}"
_PUNCTUATION = re.compile(r"\s*([,.:])")


def cleaned(description: Description, dice: Dice) -> str:
    """As Google's filter leaves a text: lower case, punctuation apart."""
    return _PUNCTUATION.sub(r" \1", description.text.lower())


class _ConceptualCaptions:
    name = "conceptual_captions"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [_IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[WebJob]:
        return [
            WebJob(self.name, index, _image(_address(index)), cleaned)
            for index in range(request.scaled(_PAIRS))
        ]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[WebWritten]) -> Report:
        lines = [
            f"{result.caption.text}\t{_address(index)}\n" for index, result in enumerate(results)
        ]
        (root / _TSV).write_text("".join(lines), encoding="utf-8")
        return Report(
            counts={"train": len(results)},
            unit="pairs",
            digests=[result.digest for result in results],
            folded=noise_counts(results),
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_TSV, *(job.path for job in self.jobs(request))]


def _address(index: int) -> str:
    return f"http://pictures.example.org/{index % 97:02d}/drawing-{index:06d}.jpg"


def _image(address: str) -> str:
    """Named by the CRC-32 of the address, as ViLBERT's downloader does."""
    return f"{_IMAGES}/{zlib.crc32(address.encode('utf-8'))}.jpg"


PART = _ConceptualCaptions()
