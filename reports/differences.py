"""Differences between rows of a table: paired where both runs kept their items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evals.compare import Resampled, paired, resample, sample_metrics
from evals.metrics.ranking import Metric
from evals.records import SAMPLES, Record
from unimo2.errors import Unimo2Error


@dataclass(frozen=True)
class PairedDifference:
    """A difference, ours less theirs.

    Attributes:
        by: In the metric's unit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        paired: The interval is of the same items; otherwise the runs are taken for independent,
            which is too wide where they share items.
    """

    by: float
    low: float
    high: float
    paired: bool

    @property
    def tied(self) -> bool:
        """Whether 0 lies in the interval."""
        return self.low <= 0.0 <= self.high

    def __str__(self) -> str:
        """The difference with its interval, "tied" and how it was found."""
        how = "paired" if self.paired else "unpaired"
        tied = ", tied" if self.tied else ""
        return f"{self.by:+.1f} ({self.low:+.1f} to {self.high:+.1f}, {how}){tied}"


def kept_items(record: Record) -> bool:
    """Whether the items of a run lie beside its record."""
    return record.path is not None and (record.path.parent / SAMPLES).is_file()


class Differences:
    """Differences between runs; the samples of each are read and resampled once."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[Path, int], Mapping[str, Resampled]] = {}

    def between(self, ours: Record, theirs: Record, measure: str) -> PairedDifference:
        """How one metric of a run differs from another's, both of the same data."""
        a, b = (self._resampled(one).get(measure) for one in (theirs, ours))
        if a is not None and b is not None:
            try:
                by, (low, high) = paired(a, b)
            except Unimo2Error:  # samples of other items than the record says
                return independent(ours.metrics[measure], theirs.metrics[measure])
            return PairedDifference(by, low, high, paired=True)
        return independent(ours.metrics[measure], theirs.metrics[measure])

    def _resampled(self, record: Record) -> Mapping[str, Resampled]:
        if record.path is None or not kept_items(record):
            return {}
        changed = (record.path.parent / SAMPLES).stat().st_mtime_ns
        if (record.path, changed) not in self._known:
            try:
                metrics = sample_metrics(record)
            except (Unimo2Error, KeyError, TypeError, ValueError):  # of another version
                metrics = {}
            shared = {name: metric for name, metric in metrics.items() if name in record.metrics}
            found = {name: resample(one) for name, one in shared.items()}
            self._known[record.path, changed] = found
        return self._known[record.path, changed]


def independent(ours: Metric, theirs: Metric) -> PairedDifference:
    """Ours less theirs, as if the two runs had no item in common."""
    halves = [(one.ci95[1] - one.ci95[0]) / 2 for one in (ours, theirs)]
    by, half = ours.value - theirs.value, float((halves[0] ** 2 + halves[1] ** 2) ** 0.5)
    return PairedDifference(by, by - half, by + half, paired=False)
