"""SBU captioned photos: addresses and their owners' words, pairs for pre-training, some noise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from evals.suite_mini.dice import Dice
from evals.suite_mini.language import Description
from evals.suite_mini.part import Report
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.web import WebJob, WebWritten, noise_counts
from unimo2.formats.layout import SbuFiles

_FOLDER = "sbu"
_PAIRS = 4_000
_JSON, _IMAGES = f"{_FOLDER}/{SbuFiles.JSON}", f"{_FOLDER}/{SbuFiles.IMAGES}"
_OWNERS = 311
_BEFORE = (
    "my favourite one so far.",
    "another one from last summer.",
    "i made this for my sister.",
    "found this in an old box.",
    "from the weekend.",
    "practice again.",
)
_AFTER = (
    "what do you think?",
    "made with my new pencils.",
    "more to come soon.",
    "taken with my phone.",
    "best seen large.",
    "not my best work.",
)
_CHATTER = 0.3
"""How often an owner says something before the description, and something after it."""


def in_owners_words(description: Description, dice: Dice) -> str:
    """What the owner says of the picture, with a little talk around it."""
    before = dice.pick(_BEFORE) + " " if dice.chance(_CHATTER) else ""
    after = " " + dice.pick(_AFTER) if dice.chance(_CHATTER) else ""
    text = description.text if dice.chance(0.5) else description.text.lower()
    if after and text[-1] != ".":
        text += "."
    return before + text + after


class _Sbu:
    name = "sbu"

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        return [_IMAGES]

    def jobs(self, request: SuiteRequest) -> Sequence[WebJob]:
        return [
            WebJob(self.name, index, f"{_IMAGES}/{_file_name(index)}", in_owners_words)
            for index in range(request.scaled(_PAIRS))
        ]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[WebWritten]) -> Report:
        indices = range(len(results))
        content = {
            "image_urls": [f"http://photos.example.org/{_file_name(index)}" for index in indices],
            "user_ids": [f"{Dice(_FOLDER, index).below(_OWNERS):08d}@N00" for index in indices],
            "captions": [result.caption.text for result in results],
        }
        (root / _JSON).write_text(json.dumps(content), encoding="utf-8")
        return Report(
            counts={"train": len(results)},
            unit="pairs",
            digests=[result.digest for result in results],
            folded=noise_counts(results),
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        return [_JSON, *(job.path for job in self.jobs(request))]


def _file_name(index: int) -> str:
    """Flickr's names: a number and a secret."""
    secret = hashlib.sha256(f"sbu {index}".encode()).hexdigest()[:10]
    return f"{2_300_000_000 + 104_729 * index}_{secret}.jpg"


PART = _Sbu()
