"""`--official`: the protocol published in a card, and the difference from its published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from evals.benchmark import Benchmark
from evals.registry import canonical, shown
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from evals.records import Record
    from zoo.cards import Card, Published

# Options of a run that change the machine's work and not what is measured; `limit` is told by the data.
_FREE = {
    *("data_root", "suite", "split", "limit", "device", "dtype", "trust_remote_code", "batch_size"),
    *("seed", "features", "output", "fresh", "model", "no_check"),
}


def find(card: Card, benchmark: Benchmark, split: str | None) -> Published:
    """The protocol that a card calls its own on a benchmark.

    Args:
        card: Card of the model.
        benchmark: That it is measured on.
        split: Of the data; None for the first that the card has numbers of.

    Returns:
        The published numbers with their protocol.

    Raises:
        UsageError: The card has none.
    """
    every = [one for one in card.published.get(benchmark.name, ()) if one.official]
    found = [one for one in every if split in (None, one.split)]
    if found:
        return found[0]
    splits = ", ".join(str(one.split) for one in every)
    other = sorted(
        shown(name) for name, some in card.published.items() if any(one.official for one in some)
    )
    there = f"it has one of the splits {splits}" if every else (
        f"it has one of {', '.join(other)}" if other else "it has none"
    )  # fmt: skip
    asked = shown(benchmark.name) + (f", split {split}" if every else "")
    raise UsageError(
        f"the card '{card.name}' names no protocol of its own for {asked} ({there}): leave --official out"
    )


def options(published: Published, benchmark: Benchmark, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `evals.run` that make a published protocol.

    Args:
        published: From `find`.
        benchmark: That is measured.
        given: What the user asked for.

    Returns:
        All options, those of the protocol in their places.

    Raises:
        UsageError: The user asks for another protocol.
    """
    wanted = {canonical(name): value for name, value in published.options.items()}
    wanted["zero_shot"] = published.setting == "zero-shot"
    usual = {one.name: one.default for one in fields(benchmark.Options)} | {"zero_shot": False}
    for name, value in given.items():
        if name in _FREE or value is None or value == usual.get(name):
            continue
        if value != wanted.get(name, usual.get(name)):
            raise UsageError(
                f"--official sets the protocol ({published.protocol}): leave --{shown(name)} out"
            )
    found = {**given, **wanted}
    return {**found, "split": published.split} if published.split else found


@dataclass(frozen=True)
class PublishedDifference:
    """Measured minus published.

    Attributes:
        metric: Its name in the record.
        published: The published number.
        measured: Ours; None where the record lacks it.
        difference: Measured minus published; None where they are not to be compared.
        ci95: Interval of the difference, the published number taken as exact.
    """

    metric: str
    published: float
    measured: float | None
    difference: float | None
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class OfficialComparison:
    """A record beside published numbers.

    Attributes:
        published: The numbers and their protocol.
        refused: Why they are not compared; None if they are.
        differences: A line for each number.
    """

    published: Published
    refused: str | None
    differences: tuple[PublishedDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {
            "protocol": self.published.protocol,
            "source": self.published.source,
            "not_compared": self.refused,
            "metrics": [dict(vars(one)) for one in self.differences],
        }

    def lines(self) -> list[str]:
        """For a terminal: one line per number, and one where they are not compared."""
        found = []
        for one in self.differences:
            text = f"{one.metric} {one.published:g}"
            if one.difference is not None and one.ci95 is not None:
                low, high = one.ci95
                text += f", measured {one.measured:.2f}: {one.difference:+.2f} ({low:+.2f} to {high:+.2f})"
            found.append(text)
        if self.refused:
            found.append(f"not compared: {self.refused}")
        return [*found, f"{self.published.protocol} [{self.published.source}]"]


def compare(record: Record, published: Published) -> OfficialComparison:
    """Measured minus published, where both are of the same data.

    Args:
        record: Of a run by the options that `options` gives.
        published: From `find`.

    Returns:
        The comparison, which says why numbers are not compared.
    """
    refused = _refused(record, published)
    found = []
    for name, value in published.metrics.items():
        metric = record.metrics.get(name)
        if metric is None or refused:
            measured = None if metric is None else metric.value
            found.append(PublishedDifference(name, value, measured, None, None))
            continue
        low, high = metric.ci95
        ends = (low - value, high - value)
        found.append(PublishedDifference(name, value, metric.value, metric.value - value, ends))
    return OfficialComparison(published, refused, tuple(found))


def _refused(record: Record, published: Published) -> str | None:
    """Why a record's numbers do not stand beside published ones."""
    data = record.data
    if data.get("split") != published.split and published.split:
        return f"the published numbers are of the split {published.split}, not {data.get('split')}"
    if not data.get("official"):
        note = f": {data['note']}" if data.get("note") else ""
        return (
            f"the data are other than those of the published numbers (suite {record.suite}, "
            f"{data.get('root_name')}{note})"
        )
    if not record.metrics.keys() & published.metrics.keys():
        return "no such metric was measured; the truth of the split is not public"
    return None
