"""Ceilings and floors of the embedded suite beside what was measured on it.

They are computed from the scenes when the suite is made, and kept in its `suite.json`: what a reader
who knows every scene reaches, what guessing, the commonest answer, and one modality alone reach.
They hold for the split that a benchmark is usually measured on, and stand beside a number only if
the data on disk has the very fingerprint of its record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals import suites
from evals.benchmark import Request
from evals.records import Record
from evals.registry import get_benchmark
from evals.suite_mini import read_suite
from evals.suites import MINI
from reports.arranging import Sheet
from reports.conditions import Column
from unimo2.errors import UsageError

GROUP = "Computed from the scenes, not measured"


@dataclass
class Levels:
    """The levels of one suite on disk.

    Attributes:
        root: its folder.
        values: by benchmark and metric, as in `suite.json`.
    """

    root: Path
    values: Mapping[str, Mapping[str, Mapping[str, Any]]]
    _fingerprints: dict[str, str | None] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, root: Path) -> Levels | None:
        """Those of the suite in a folder; None if no embedded suite is there."""
        content = read_suite(root)
        return None if content is None else cls(root, content.get("levels", {}))

    def of(self, record: Record, measure: str) -> dict[str, float]:
        """The levels that a record's number may be compared with.

        Args:
            record: what was measured.
            measure: name of the metric.

        Returns:
            By name: "ideal reader", "chance", "majority answer", "bag of words alone"; empty where
            none is known, or the record is of other data than the suite's.
        """
        level = self.values.get(record.benchmark, {}).get(measure)
        if level is None or not self._fits(record):
            return {}
        named = {
            "ideal reader": level.get("ideal"),
            "chance": level.get("chance"),
            "majority answer": level.get("majority"),
        }
        alone = level.get("one_modality", {})
        named |= {f"{reader.removesuffix(' only')} alone": alone[reader] for reader in alone}
        return {name: float(value) for name, value in named.items() if value is not None}

    def _fits(self, record: Record) -> bool:
        """Whether the record is of this suite's own data, on the split of the levels."""
        split = get_benchmark(record.benchmark).default_split
        if record.suite != MINI or record.data.get("split") != split:
            return False
        if record.benchmark not in self._fingerprints:
            self._fingerprints[record.benchmark] = self._fingerprint(record.benchmark, split)
        return bool(self._fingerprints[record.benchmark] == record.data["fingerprint"])

    def _fingerprint(self, benchmark: str, split: str) -> str | None:
        """Of the split on disk, by the benchmark's own reader; None if it cannot be read."""
        options = get_benchmark(benchmark).Options()
        request = Request(benchmark, MINI, split=split, options=options)
        try:
            suite = suites.resolve(MINI, self.root)
            return get_benchmark(benchmark).read(suite, request).fingerprint
        except UsageError:
            return None


def level_rows(levels: Levels | None, sheet: Sheet) -> list[tuple[str, Mapping[Column, float]]]:
    """Ceilings and floors as rows of a sheet.

    Args:
        levels: of the suite on disk, or None.
        sheet: what was measured.

    Returns:
        For each kind of level its name and its value by column; empty without any.
    """
    if levels is None:
        return []
    rows: dict[str, dict[Column, float]] = {}
    for column in sheet.columns:
        record = sheet.about.get(column.block)
        found = {} if record is None else levels.of(record, column.measure)
        for name, value in found.items():
            rows.setdefault(name, {})[column] = value
    first: Sequence[str] = ("ideal reader", "chance", "majority answer")
    names = [*(name for name in first if name in rows), *sorted(set(rows) - set(first))]
    return [(name, rows[name]) for name in names]
