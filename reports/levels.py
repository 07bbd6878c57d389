"""Upper bounds and baselines of the embedded suite beside what was measured on it.

They are computed from the scenes when the suite is made, and kept in its `suite.json`: what a reader
who knows every scene reaches, and what guessing, the majority class and a single modality reach.
They hold for the split that a benchmark is usually measured on. The suite also keeps the fingerprint
of what each benchmark reads from it, so that a number's data is recognised without reading any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.datasets import suites
from evals.datasets.suites import MINI
from evals.records import Record
from evals.registry import keep_fingerprints
from reports.selection import Column, Sheet
from unimo2.errors import BadData

GROUP = "Computed from the scenes, not measured"


@dataclass(frozen=True)
class Levels:
    """The levels of one suite.

    Attributes:
        values: By benchmark and metric, as in `suite.json`.
        fingerprints: Of the split that they hold for, by benchmark.
    """

    values: Mapping[str, Mapping[str, Mapping[str, Any]]]
    fingerprints: Mapping[str, str]

    @classmethod
    def at(cls, root: Path, tell: Callable[[str], None] = lambda line: None) -> Levels | None:
        """Those of the suite in a folder; None if no embedded suite is there.

        Args:
            root: The folder. A suite that was drawn by an earlier version is read once, and keeps
                its fingerprints.
            tell: Called with a line before that, which takes some seconds.
        """
        try:
            content = suites.description(root)
        except BadData:
            return None
        if content is None or content["suite"] != MINI:
            return None
        if suites.KEPT not in content:
            tell(f"reading {root} once, for the fingerprints of its benchmarks ...")
        kept = keep_fingerprints(root)
        # The first split of each is the one that the benchmark is usually measured on.
        first = {name: next(iter(by_split.values()), "") for name, by_split in kept.items()}
        return cls(content.get("levels", {}), first)

    def of(self, record: Record, measure: str) -> dict[str, float]:
        """The levels that a record's number may be compared with.

        Args:
            record: What was measured.
            measure: Name of the metric.

        Returns:
            By name: "ideal reader", "chance", "majority answer", "bag of words alone"; empty where
            none is known, or the record is of other data than the suite's.
        """
        level = self.values.get(record.benchmark, {}).get(measure)
        own = self.fingerprints.get(record.benchmark)
        if level is None or record.suite != MINI or own != record.data.get("fingerprint"):
            return {}
        named = {
            "ideal reader": level.get("ideal"),
            "chance": level.get("chance"),
            "majority answer": level.get("majority"),
        }
        alone = level.get("one_modality", {})
        named |= {f"{reader.removesuffix(' only')} alone": alone[reader] for reader in alone}
        return {name: float(value) for name, value in named.items() if value is not None}


def level_rows(levels: Levels | None, sheet: Sheet) -> list[tuple[str, Mapping[Column, float]]]:
    """Upper bounds and baselines as rows of a sheet.

    Args:
        levels: Of the suite, or None.
        sheet: What was measured.

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
