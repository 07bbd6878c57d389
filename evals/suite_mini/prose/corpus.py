"""What the two text corpora have in common: jobs of many paragraphs, and files of many lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.dice import Dice
from evals.suite_mini.part import Report
from evals.suite_mini.prose.books import book_paragraph
from evals.suite_mini.prose.pages import page_paragraph
from evals.suite_mini.request import SuiteRequest
from evals.suite_mini.world import make_scene

_PARAGRAPHS_A_JOB = 50


@dataclass(frozen=True)
class TextJob:
    """A run of paragraphs about scenes of the training world."""

    corpus: str
    """"bookwiki" or "openwebtext"."""
    start: int
    stop: int

    def run(self, root: Path, seed: int) -> list[str]:
        """The paragraphs, each one line without a line end."""
        return [self._paragraph(seed, index) for index in range(self.start, self.stop)]

    def _paragraph(self, seed: int, index: int) -> str:
        scene = make_scene(seed, self.corpus, "train", index)
        dice = Dice(seed, self.corpus, "train", index, "text")
        if self.corpus == "bookwiki":
            return book_paragraph(scene, dice)
        # A scene and its neighbour are often made of the same parts: good to compare.
        other = make_scene(seed, self.corpus, "train", index ^ 1)
        return page_paragraph(scene, other, dice)


@dataclass(frozen=True)
class TextPart:
    """One plain-text corpus: a folder of files, a paragraph a line.

    Attributes:
        name: of the data set, its folder too.
        paragraphs: at scale 1.
        paragraphs_a_file: how many lines each file has.
        stem: of the files' names.
    """

    name: str
    paragraphs: int
    paragraphs_a_file: int
    stem: str

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        """The corpus's own."""
        return (self.name,)

    def jobs(self, request: SuiteRequest) -> Sequence[TextJob]:
        """Runs of paragraphs."""
        total = request.scaled(self.paragraphs)
        return [
            TextJob(self.name, start, min(start + _PARAGRAPHS_A_JOB, total))
            for start in range(0, total, _PARAGRAPHS_A_JOB)
        ]

    def finish(self, root: Path, request: SuiteRequest, results: Sequence[Sequence[str]]) -> Report:
        """Write the files."""
        lines = [line for result in results for line in result]
        for number, name in enumerate(self.files(request)):
            start = number * self.paragraphs_a_file
            text = "\n".join(lines[start : start + self.paragraphs_a_file])
            (root / name).write_bytes(f"{text}\n".encode())
        return Report(
            counts={"all": len(lines)},  # as the catalogue calls a corpus without splits
            unit="lines of one paragraph each",
            digests=[hashlib.sha256(line.encode()).hexdigest() for line in lines],
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        """As many as the paragraphs fill."""
        count = -(-request.scaled(self.paragraphs) // self.paragraphs_a_file)
        return [f"{self.name}/{self.stem}{number:03d}.txt" for number in range(count)]
