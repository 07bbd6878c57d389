"""What the GLUE tasks of the suite have in common: rows made one by one, splits, and files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.suite_mini.part import Level, Report
from evals.suite_mini.request import SuiteRequest

_ROWS_A_JOB = 40
_SURPLUS = 0.15
"""Rows made beyond a split's size: those that occurred before are left out."""


@dataclass(frozen=True)
class GlueRow:
    """One sentence or pair, with its label or score.

    Attributes:
        sentences: one or two.
        target: the label as the file writes it, or the score as text.
        genre: MNLI's and STS-B's; CoLA's source.
        extra: what else the file holds, in a layout's own order.
    """

    sentences: tuple[str, ...]
    target: str
    genre: str = ""
    extra: tuple[str, ...] = ()


Make = Callable[[int, str, str, int], GlueRow]
"""(seed, stream, world, index) -> row; a function at module level."""


@dataclass(frozen=True)
class Split:
    """One file of a task.

    Attributes:
        name: of the split, and of its file without ".tsv".
        world: "train", "val" or "test": the scenes that its sentences are about.
        rows: at scale 1.
    """

    name: str
    world: str
    rows: int

    @property
    def labelled(self) -> bool:
        """GLUE keeps the labels of test files on its server."""
        return not self.name.startswith("test")


@dataclass(frozen=True)
class RowsJob:
    """A run of rows of one split."""

    make: Make
    stream: str
    world: str
    start: int
    stop: int

    def run(self, root: Path, seed: int) -> list[GlueRow]:
        """The rows; nothing is written."""
        return [
            self.make(seed, self.stream, self.world, index)
            for index in range(self.start, self.stop)
        ]


Layout = Callable[[Split, Sequence[GlueRow]], list[list[str]]]
"""Header, if there is one, and rows of a file, cell by cell."""
Levels = Callable[[Mapping[str, Sequence[GlueRow]]], dict[str, Level]]
"""Rows by split -> level by metric."""


@dataclass(frozen=True)
class GluePart:
    """One GLUE task of the suite.

    Attributes:
        name: its name in `unimo2 data list`, and of its benchmark.
        folder: as GLUE's archive calls it.
        splits: the training split first.
        make: one row.
        layout: of the files.
        levels: ceilings and floors, from the rows of all splits.
    """

    name: str
    folder: str
    splits: tuple[Split, ...]
    make: Make
    layout: Layout
    levels: Levels

    def folders(self, request: SuiteRequest) -> Sequence[str]:
        """The task's own, below glue/."""
        return (f"glue/{self.folder}",)

    def jobs(self, request: SuiteRequest) -> Sequence[RowsJob]:
        """Runs of rows, split by split."""
        return [job for split in self.splits for job in self._split_jobs(split, request)]

    def _split_jobs(self, split: Split, request: SuiteRequest) -> list[RowsJob]:
        total = request.scaled(split.rows)
        total += max(8, round(_SURPLUS * total))
        return [
            RowsJob(
                self.make,
                f"{self.name}-{split.name}",
                split.world,
                start,
                min(start + _ROWS_A_JOB, total),
            )
            for start in range(0, total, _ROWS_A_JOB)
        ]

    def finish(
        self, root: Path, request: SuiteRequest, results: Sequence[Sequence[GlueRow]]
    ) -> Report:
        """Write the files.

        A row whose sentences came before, in whichever split, is left out.
        """
        remaining = iter(results)
        rows: dict[str, list[GlueRow]] = {}
        seen: set[tuple[str, ...]] = set()
        for split in self.splits:
            kept: list[GlueRow] = []
            for _ in self._split_jobs(split, request):
                for row in next(remaining):
                    if row.sentences not in seen:
                        kept.append(row)
                    seen.add(row.sentences)
            rows[split.name] = kept[: request.scaled(split.rows)]
        for split in self.splits:
            cells = self.layout(split, rows[split.name])
            text = "".join("\t".join(line) + "\n" for line in cells)
            (root / self._file(split)).write_bytes(text.encode())
        return Report(
            counts={name: len(kept) for name, kept in rows.items()},
            unit="rows",
            digests=[_digest(row) for kept in rows.values() for row in kept],
            levels={self.name: self.levels(rows)},
        )

    def files(self, request: SuiteRequest) -> Sequence[str]:
        """One a split."""
        return [self._file(split) for split in self.splits]

    def _file(self, split: Split) -> str:
        return f"glue/{self.folder}/{split.name}.tsv"


def _digest(row: GlueRow) -> str:
    text = "\n".join([*row.sentences, row.target, row.genre, *row.extra])
    return hashlib.sha256(text.encode()).hexdigest()


def majority_share(train: Sequence[GlueRow], measured: Sequence[GlueRow]) -> float:
    """Percent of the measured rows that have the commonest label of the training rows."""
    label = Counter(row.target for row in train).most_common(1)[0][0]
    return 100.0 * sum(row.target == label for row in measured) / len(measured)
