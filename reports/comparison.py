"""Two runs side by side: the table of their paired differences, and the items that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evals.compare import PERMUTATIONS, Comparison, Difference
from evals.metrics.ranking import RESAMPLES
from evals.records import Record, protocol
from reports.examples import Example
from reports.render import Grid, Table
from reports.selection import label_of
from reports.site_parts import in_words, spaced

HEADS = ("A", "B", "B - A", "95 % interval", "p", "n", "verdict")
RIGHT_TO_WRONG, WRONG_TO_RIGHT = "From right to wrong", "From wrong to right"
LOST, GAINED = "Most lost", "Most gained"  # of items that are graded


def comparison_table(found: Comparison) -> Table:
    """A row per metric: both values, the difference with interval and p-value.

    Args:
        found: The comparison.

    Returns:
        The table; its notes say which runs these are, what sets them apart and how the interval and
        p-value were found.
    """
    cells = [_cells(metric) for metric in found.metrics.values()]
    labels = [("", name) for name in found.metrics]
    title = f"{found.a.benchmark} {found.a.data.get('split')} split, suite {found.a.suite}: B - A"
    return Table(title, Grid("metric", HEADS, labels, cells), _notes(found))


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The same as plain values: the runs, what differs between them, and the metrics by name."""
    runs = {
        letter: {"record": str(run.path), "model": run.model, "variant": run.variant}
        for letter, run in (("a", found.a), ("b", found.b))
    }
    return {
        "runs": runs,
        "part_a": found.part_a,
        "benchmark": found.a.benchmark,
        "suite": found.a.suite,
        "data": dict(found.a.data),
        "differs": {name: list(pair) for name, pair in found.differs.items()},
        "resamples": RESAMPLES,
        "permutations": PERMUTATIONS,
        "seed": found.seed,
        "metrics": {name: asdict(metric) for name, metric in found.metrics.items()},
    }


def _cells(metric: Difference) -> list[str]:
    higher = "B is higher" if metric.difference > 0 else "B is lower"
    return [
        f"{metric.a:.2f}",
        f"{metric.b:.2f}",
        f"{metric.difference:+.2f}",
        f"{metric.ci95[0]:+.2f} to {metric.ci95[1]:+.2f}",
        f"{metric.p_value:.4f}",
        f"{metric.n:,}",
        "tied" if metric.tied else higher,
    ]


def _notes(found: Comparison) -> tuple[str, ...]:
    part = "" if found.part_a is None else f", the {found.part_a} part of its score alone"
    units = next(iter(found.metrics.values())).units
    return (
        f"A  {label_of(found.a)}{part}: {found.a.path}",
        f"B  {label_of(found.b)}: {found.b.path}",
        *(f"{name}: A {ours}, B {theirs}" for name, (ours, theirs) in found.differs.items()),
        f"interval: {RESAMPLES:,} resamples of {units:,} units, the same for both runs; p: "
        f"{PERMUTATIONS:,} random exchanges of the runs' units, two-sided, each metric separately",
    )


def told_apart(found: Comparison) -> list[tuple[str, str]]:
    """What sets two runs apart, with sentences for the values of a protocol."""
    told = [protocol.texts(one.protocol) for one in (found.a, found.b)]
    lines = []
    for name, values in found.differs.items():
        said = [own.get(name, value) for own, value in zip(told, values, strict=True)]
        lines.append((spaced(name), f"{in_words(said[0])} (A), {in_words(said[1])} (B)"))
    return lines


def changed_items(
    before: Sequence[Example], after: Sequence[Example]
) -> dict[str, list[tuple[Example, Example]]]:
    """Items of two runs that went from right to wrong and back, as (A's, B's)."""
    known = {one.key: one for one in before}
    found: dict[str, list[tuple[Example, Example]]] = {RIGHT_TO_WRONG: [], WRONG_TO_RIGHT: []}
    for one in after:
        old = known.get(one.key)
        if old is None or old.right is None or one.right is None or old.right == one.right:
            continue
        found[RIGHT_TO_WRONG if old.right else WRONG_TO_RIGHT].append((old, one))
    return found


def graded_items(
    before: Sequence[Example], after: Sequence[Example]
) -> dict[str, list[tuple[Example, Example]]]:
    """Items of two runs that lost and gained score, as (A's, B's), the most changed first."""
    known = {one.key: one for one in before}
    pairs = [(known[one.key], one) for one in after if one.key in known]
    by = [((b.score or 0.0) - (a.score or 0.0), (a, b)) for a, b in pairs]
    by.sort(key=lambda one: one[0])
    return {
        LOST: [pair for change, pair in by if change < 0],
        GAINED: [pair for change, pair in reversed(by) if change > 0],
    }


def pairs_of(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Pairs of the newest runs of different labels on the same data, the newest pairs first."""
    groups: dict[tuple[Any, ...], dict[str, Record]] = {}
    for record in records:
        key = (record.suite, record.benchmark, record.data.get("split"))
        groups.setdefault((*key, record.data.get("fingerprint")), {})[label_of(record)] = record
    found = [
        (a, b)
        for same in groups.values()
        for place, a in enumerate(list(same.values()))
        for b in list(same.values())[place + 1 :]
    ]
    return sorted(found, key=lambda pair: max(one.created for one in pair), reverse=True)


def verdict(found: Mapping[str, Difference]) -> str:
    """The first metric's difference in a few words."""
    name, first = next(iter(found.items()))
    return f"{name} {first.difference:+.2f} ({_cells(first)[-1]})"
