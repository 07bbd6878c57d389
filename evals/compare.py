"""Two runs on the same data: the paired difference of every metric that both have.

A metric here is a function of sums over items (`SampleMetric`). Items come in units that are drawn
together (an image with its captions). The interval resamples units, the same for both runs; the
p-value exchanges the two runs' items in random units (a sign flip, where the metric is a mean),
which changes nothing but noise if the runs do not differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evals import records
from evals.benchmark import ItemMetric, SampleMetric
from evals.metrics.bootstrap import draws
from evals.metrics.ranking import RESAMPLES, Floats, Ints, bootstrap_counts
from evals.records import RECORD, Record
from evals.registry import get_benchmark
from unimo2.errors import BadData, UsageError

PERMUTATIONS = 10_000
_ROUNDING = 1e-9
_PORTION = 1 << 23  # random numbers held at once
_ITEM_PARTS = 8
# Of a record's data, what names the place that it came from and not the data itself.
# "tagged" counts object tags, which are part of the protocol.
_NOT_DATA = ("root_name", "note", "official", "tagged")
# Of a protocol, what says once more which model it is, or what other entries say.
_NOT_APART = ("lineage", "name")


@dataclass(frozen=True)
class Difference:
    """How one metric of run B differs from that of run A.

    Attributes:
        a: Value of run A, in the metric's unit.
        b: Value of run B.
        difference: b - a.
        ci95: Its 95 % interval, percentile bootstrap over units.
        p_value: Of the hypothesis that the runs do not differ, two-sided; not corrected for the
            number of metrics.
        n: Items.
        units: What is drawn together.
        tied: The interval contains 0.
    """

    a: float
    b: float
    difference: float
    ci95: tuple[float, float]
    p_value: float
    n: int
    units: int
    tied: bool


@dataclass(frozen=True)
class Comparison:
    """Two runs and what sets them apart.

    Attributes:
        a: Record of run A.
        b: Record of run B.
        part_a: Part of A's score that is compared instead of the whole, or None.
        differs: Protocol fields and others in which the runs differ, as (A's, B's).
        metrics: By name.
        seed: Of resampling and exchanging.
    """

    a: Record
    b: Record
    part_a: str | None
    differs: Mapping[str, tuple[Any, Any]]
    metrics: Mapping[str, Difference]
    seed: int


def compare(a: Path, b: Path, seed: int = 0, part_a: str | None = None) -> Comparison:
    """Compare two finished runs.

    Args:
        a: A run folder, its record.json, or the folder of a model's runs (its newest run).
        b: Likewise.
        seed: Of resampling and exchanging.
        part_a: Compare with this part of A's score, for example "contrastive"; None for all of it.

    Returns:
        The comparison.

    Raises:
        MissingData: No such run, or one without samples.
        UsageError: The runs measure different things, or have no metric in common.
        BadData: A record or samples that do not fit each other.
    """
    run_a, run_b = _read(a), _read(b)
    _require_same_data(run_a, run_b)
    metrics_a, metrics_b = _metrics(run_a), _metrics(run_b)
    if part_a is not None:
        ending = f"[{part_a}]"
        metrics_a = {
            name.removesuffix(ending): metric
            for name, metric in metrics_a.items()
            if name.endswith(ending)
        }
    shared = [name for name in metrics_b if name in metrics_a]
    if not shared:
        raise UsageError(f"{a} and {b} have no metric in common that samples can be compared by")
    return Comparison(
        a=run_a,
        b=run_b,
        part_a=part_a,
        differs=_differences(run_a, run_b),
        metrics={name: difference(metrics_a[name], metrics_b[name], seed) for name in shared},
        seed=seed,
    )


def difference(
    a: SampleMetric | ItemMetric,
    b: SampleMetric | ItemMetric,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
) -> Difference:
    """The paired difference b - a of one metric.

    Args:
        a: The metric over run A's items.
        b: Over run B's, the same items in any order.
        seed: Of resampling and exchanging.
        resamples: Of the interval.
        permutations: Of the p-value.

    Returns:
        The difference.

    Raises:
        BadData: The runs do not hold the same items in the same units.
    """
    if isinstance(a, ItemMetric) or isinstance(b, ItemMetric):
        return _item_difference(
            cast(ItemMetric, a), cast(ItemMetric, b), seed, resamples, permutations
        )
    _require_same_items(a.items, a.units, b.items, b.units)
    sums_a, sums_b = _unit_sums(a), _unit_sums(b)
    units = list(sums_a)
    of_a = np.stack([sums_a[unit] for unit in units])  # [units, statistics]
    of_b = np.stack([sums_b[unit] for unit in units])
    value_a, value_b = (float(a.value(s.sum(axis=0)[None])[0]) for s in (of_a, of_b))
    drawn = bootstrap_counts(len(units), resamples, seed).astype(np.float64)
    total_a, total_b, change = of_a.sum(axis=0), of_b.sum(axis=0), of_b - of_a

    def exchanged(moved: NDArray[np.int64]) -> Floats:
        taken = moved.astype(np.float64) @ change
        return a.value(total_b - taken) - a.value(total_a + taken)

    return _difference(
        value_a,
        value_b,
        drawn=b.value(drawn @ of_b) - a.value(drawn @ of_a),
        p_value=_p_value(exchanged, len(units), value_b - value_a, seed, permutations),
        items=len(a.items),
        units=len(units),
    )


def _difference(
    a: float, b: float, drawn: Floats, p_value: float, items: int, units: int
) -> Difference:
    """The result, of the differences `drawn` in the resamples."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Difference(
        a=a,
        b=b,
        difference=b - a,
        ci95=(float(low), float(high)),
        p_value=p_value,
        n=items,
        units=units,
        tied=bool(low <= 0.0 <= high),
    )


def _item_difference(
    a: ItemMetric, b: ItemMetric, seed: int, resamples: int, permutations: int
) -> Difference:
    """The paired difference of a metric that is computed anew for every draw of items."""
    _require_same_items(a.items, a.items, b.items, b.items)
    place = {item: number for number, item in enumerate(a.items.tolist())}
    of_a, of_b, truth = a.given[[place[item] for item in b.items.tolist()]], b.given, b.truth
    count = len(truth)

    def values(given: Floats, counts: Ints) -> Floats:
        return b.value(np.broadcast_to(given, counts.shape), truth, counts)

    def exchanged(moved: NDArray[np.int64]) -> Floats:
        found = []
        for part in np.array_split(moved, _ITEM_PARTS):  # ranking holds several arrays of its size
            once, left = np.ones_like(part), np.where(part, of_b, of_a)
            found.append(values(np.where(part, of_a, of_b), once) - values(left, once))
        return np.concatenate(found)

    once = np.ones((1, count), dtype=np.int64)
    value_a, value_b = (float(values(given, once)[0]) for given in (of_a, of_b))
    drawn = [
        values(of_b, counts) - values(of_a, counts) for counts in draws(count, seed, resamples)
    ]
    return _difference(
        value_a,
        value_b,
        drawn=np.concatenate(drawn),
        p_value=_p_value(exchanged, count, value_b - value_a, seed, permutations),
        items=count,
        units=count,
    )


def _p_value(
    exchanged: Callable[[NDArray[np.int64]], Floats],
    units: int,
    found: float,
    seed: int,
    permutations: int,
) -> float:
    """Share of random exchanges whose difference is at least as large, the observed one included.

    Args:
        exchanged: Which units change sides, `[exchanges, units]` of 0 and 1, to the differences
            `[exchanges]`.
        units: Their number.
        found: The observed difference.
        seed: Of the exchanges.
        permutations: Their number.

    Returns:
        The share.
    """
    generator = np.random.default_rng([seed, 1])  # not the stream that the interval draws from
    portion = max(1, _PORTION // units)
    as_large = 0
    for start in range(0, permutations, portion):
        size = (min(portion, permutations - start), units)
        drawn = exchanged(generator.integers(0, 2, size=size))
        as_large += int(np.count_nonzero(~(np.abs(drawn) < abs(found) - _ROUNDING)))
    return (1 + as_large) / (1 + permutations)


def _require_same_items(
    items_a: NDArray[Any], units_a: NDArray[Any], items_b: NDArray[Any], units_b: NDArray[Any]
) -> None:
    """Refuse samples of other items, or of the same items in other units."""
    unit_of_a = dict(zip(items_a.tolist(), units_a.tolist(), strict=True))
    unit_of_b = dict(zip(items_b.tolist(), units_b.tolist(), strict=True))
    if unit_of_a != unit_of_b or len(items_a) != len(items_b):
        odd = sorted({str(item) for item, _ in unit_of_a.items() ^ unit_of_b.items()})
        named = f": {', '.join(odd[:3])}" if odd else ""
        raise BadData(f"the samples of the two runs are not of the same items{named}")


def _unit_sums(metric: SampleMetric) -> dict[Any, Floats]:
    """The statistics of each unit summed over its items."""
    order = np.argsort(metric.units, kind="stable")
    units, starts = np.unique(metric.units[order], return_index=True)
    sums = np.add.reduceat(metric.statistics[order], starts, axis=0)
    return dict(zip(units.tolist(), sums, strict=True))


def _read(path: Path) -> Record:
    """A run by its folder or record; of a folder of runs the newest that is finished."""
    if path.is_dir() and not (path / RECORD).exists():
        runs = [records.read(found) for found in path.glob(f"*/{RECORD}")]
        if runs:
            return max(runs, key=lambda record: (record.created, str(record.path)))
    return records.read(path)


def _metrics(run: Record) -> dict[str, SampleMetric | ItemMetric]:
    """A run's metrics as functions of its samples, by its benchmark."""
    folder = cast(Path, run.path).parent
    return dict(get_benchmark(run.benchmark).sample_metrics(records.read_samples(folder)))


def _require_same_data(a: Record, b: Record) -> None:
    """Refuse runs whose items are not the same."""
    for field in ("benchmark", "suite"):
        ours, theirs = getattr(a, field), getattr(b, field)
        if ours != theirs:
            raise UsageError(f"the runs cannot be compared: {field} {ours} and {theirs}")
    for field in sorted((a.data.keys() | b.data.keys()) - set(_NOT_DATA) - {"fingerprint"}):
        ours, theirs = a.data.get(field), b.data.get(field)
        if ours != theirs:
            raise UsageError(f"the runs cannot be compared: {field} {ours} and {theirs}")
    if a.data["fingerprint"] != b.data["fingerprint"]:
        raise UsageError(
            "the runs cannot be compared: they measure different data (its fingerprints differ: "
            f"{a.data['fingerprint'][:12]} and {b.data['fingerprint'][:12]})"
        )
    for field in ("task", "recall_at"):
        ours, theirs = a.protocol.get(field), b.protocol.get(field)
        if ours != theirs:
            raise UsageError(f"the runs cannot be compared: {field} {ours} and {theirs}")


def _differences(a: Record, b: Record) -> dict[str, tuple[Any, Any]]:
    """What sets the runs apart: model, weights, number format, device and protocol."""
    found: dict[str, tuple[Any, Any]] = {}
    for field in ("model", "variant", "weights_sha256", "dtype", "device", "seed"):
        ours, theirs = getattr(a, field), getattr(b, field)
        if ours != theirs:
            found[field] = (ours, theirs)
    for field in sorted((a.protocol.keys() | b.protocol.keys()) - set(_NOT_APART)):
        ours, theirs = a.protocol.get(field), b.protocol.get(field)
        if ours != theirs:
            found[field] = (ours, theirs)
    return found
