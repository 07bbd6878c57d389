"""Compares two runs on the same data: paired differences of the metrics that both have.

A metric here is a function of sums over items (`SampleMetric`). Items come in units that are drawn
together (an image with its captions). The interval resamples units, the same for both runs; the
p-value exchanges the two runs' items in random units (a sign flip, where the metric is a mean),
which changes nothing but noise if the runs do not differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evals import records
from evals.benchmark import ItemMetric, SampleMetric
from evals.metrics.bootstrap import draws
from evals.metrics.ranking import RESAMPLES, Floats, Ints
from evals.records import RECORD, Record
from evals.registry import get_benchmark
from unimo2.console import tracked
from unimo2.errors import BadData, UsageError

PERMUTATIONS = 10_000
_ROUNDING = 1e-9
_PORTION = 1 << 23  # random numbers held at once
_KEPT = 1 << 26  # random numbers that are kept for the next metric or pair, which needs the same
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
        units: Units that are drawn together.
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
        seed: Seed for resampling and exchanging.
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
        seed: Seed for resampling and exchanging.
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
    metrics_a, metrics_b = sample_metrics(run_a), sample_metrics(run_b)
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
        seed: Seed for resampling and exchanging.
        resamples: Number of resamples of the interval.
        permutations: Number of permutations for the p-value.

    Returns:
        The difference.

    Raises:
        BadData: The runs do not hold the same items in the same units.
    """
    drawn_a, drawn_b = resample(a, seed, resamples), resample(b, seed, resamples)
    change, ci95 = paired(drawn_a, drawn_b)
    if isinstance(a, ItemMetric) or isinstance(b, ItemMetric):
        exchanged = _exchanged_items(cast(ItemMetric, a), cast(ItemMetric, b))
    else:
        exchanged = _exchanged_sums(a, b)
    units = len(set(drawn_b.units.tolist()))
    return Difference(
        a=drawn_a.value,
        b=drawn_b.value,
        difference=change,
        ci95=ci95,
        p_value=_p_value(exchanged, units, change, seed, permutations),
        n=len(b.items),
        units=units,
        tied=bool(ci95[0] <= 0.0 <= ci95[1]),
    )


@dataclass(frozen=True)
class Resampled:
    """A metric of one run in every resample of its units.

    Attributes:
        value: Value of all items.
        items: `[items]`, their ids.
        units: `[items]`, what is drawn together.
        drawn: `[resamples]`; those of two runs on the same items are of the same draws.
    """

    value: float
    items: NDArray[Any]
    units: NDArray[Any]
    drawn: Floats


def resample(
    metric: SampleMetric | ItemMetric, seed: int = 0, resamples: int = RESAMPLES
) -> Resampled:
    """Compute a metric in every resample of its units."""
    if isinstance(metric, ItemMetric):
        compute = metric.value
        given, truth = _in_order(metric)

        def of(counts: Ints) -> Floats:
            return compute(np.broadcast_to(given, counts.shape), truth, counts)

        once, units = np.ones((1, len(metric.items)), dtype=np.int64), metric.items
        value, count = float(of(once)[0]), len(units)
    else:
        sums, function, units = _unit_sums(metric), metric.value, metric.units

        def of(counts: Ints) -> Floats:
            return function(counts.astype(np.float64) @ sums)

        value, count = float(function(sums.sum(axis=0)[None])[0]), len(sums)
    drawn = np.concatenate([of(counts) for counts in _draws(count, seed, resamples)])
    return Resampled(value, metric.items, units, drawn)


def paired(a: Resampled, b: Resampled) -> tuple[float, tuple[float, float]]:
    """The difference b - a and its 95 % interval, as `difference` finds it.

    Raises:
        BadData: The runs do not hold the same items in the same units.
    """
    if not (np.array_equal(a.items, b.items) and np.array_equal(a.units, b.units)):
        _require_same_items(a.items, a.units, b.items, b.units)
    low, high = np.nanpercentile(b.drawn - a.drawn, [2.5, 97.5])
    return b.value - a.value, (float(low), float(high))


Exchange = Callable[[NDArray[np.int8]], Floats]
"""Which units change sides, `[exchanges, units]` of 0 and 1, to the differences `[exchanges]`."""


def _exchanged_sums(a: SampleMetric, b: SampleMetric) -> Exchange:
    of_a, of_b = _unit_sums(a), _unit_sums(b)
    total_a, total_b, change = of_a.sum(axis=0), of_b.sum(axis=0), of_b - of_a

    def differences(moved: NDArray[np.int8]) -> Floats:
        taken = moved.astype(np.float64) @ change
        return a.value(total_b - taken) - a.value(total_a + taken)

    return differences


def _exchanged_items(a: ItemMetric, b: ItemMetric) -> Exchange:
    """Of a metric that is recomputed for every exchange."""
    (of_a, _), (of_b, truth) = _in_order(a), _in_order(b)

    def values(given: Floats) -> Floats:
        return b.value(given, truth, np.ones(given.shape, dtype=np.int64))

    def differences(moved: NDArray[np.int8]) -> Floats:
        return np.concatenate(
            [
                values(np.where(part, of_a, of_b)) - values(np.where(part, of_b, of_a))
                for part in np.array_split(moved, _ITEM_PARTS)  # ranking holds several arrays
            ]
        )

    return differences


def _p_value(exchanged: Exchange, units: int, found: float, seed: int, permutations: int) -> float:
    """Share of random exchanges whose difference is at least as large, the observed one included.

    Args:
        exchanged: The difference in an exchange.
        units: Their number.
        found: The observed difference.
        seed: Seed for the exchanges.
        permutations: Their number.

    Returns:
        The share.
    """
    as_large = 0
    portions = -(-permutations // _size_of_portion(units))
    exchanges = _exchanges(units, seed, permutations)
    for moved in tracked(exchanges, "exchanging at random", "portions", portions):
        drawn = exchanged(moved)
        as_large += int(np.count_nonzero(~(np.abs(drawn) < abs(found) - _ROUNDING)))
    return (1 + as_large) / (1 + permutations)


def _draws(units: int, seed: int, resamples: int) -> Iterable[Ints]:
    """`draws`, kept where they are not too many."""
    if units * resamples > _KEPT:
        return draws(units, seed, resamples)
    return (part.astype(np.int64) for part in _kept_draws(units, seed, resamples))


@lru_cache(maxsize=1)
def _kept_draws(units: int, seed: int, resamples: int) -> tuple[NDArray[np.int32], ...]:
    return tuple(part.astype(np.int32) for part in draws(units, seed, resamples))


def _exchanges(units: int, seed: int, permutations: int) -> Iterable[NDArray[np.int8]]:
    """Which units change sides, `[portion, units]` of 0 and 1; kept where they are not too many."""
    few = units * permutations <= _KEPT
    return (_kept_exchanges if few else _made_exchanges)(units, seed, permutations)


@lru_cache(maxsize=1)
def _kept_exchanges(units: int, seed: int, permutations: int) -> tuple[NDArray[np.int8], ...]:
    return tuple(_made_exchanges(units, seed, permutations))


def _size_of_portion(units: int) -> int:
    """How many exchanges are drawn at once."""
    return max(1, _PORTION // units)


def _made_exchanges(units: int, seed: int, permutations: int) -> Iterator[NDArray[np.int8]]:
    generator = np.random.default_rng([seed, 1])  # not the stream that the interval draws from
    portion = _size_of_portion(units)
    for start in range(0, permutations, portion):
        size = (min(portion, permutations - start), units)
        yield generator.integers(0, 2, size=size).astype(np.int8)


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


def _unit_sums(metric: SampleMetric) -> Floats:
    """The statistics of each unit summed over its items, `[units, statistics]`, sorted by unit."""
    order = np.argsort(metric.units, kind="stable")
    _, starts = np.unique(metric.units[order], return_index=True)
    sums: Floats = np.add.reduceat(metric.statistics[order], starts, axis=0)
    return sums


def _read(path: Path) -> Record:
    """A run by its folder or record; of a folder of runs the newest that is finished."""
    if path.is_dir() and not (path / RECORD).exists():
        runs = [records.read(found) for found in path.glob(f"*/{RECORD}")]
        if runs:
            return max(runs, key=lambda record: (record.created, str(record.path)))
    return records.read(path)


def _in_order(metric: ItemMetric) -> tuple[Floats, Floats]:
    """Predictions and truths, sorted by item."""
    order = np.argsort(metric.items)
    return metric.given[order], metric.truth[order]


def sample_metrics(run: Record) -> dict[str, SampleMetric | ItemMetric]:
    """A run's metrics as functions of its samples, by its benchmark.

    Raises:
        MissingData: The run kept no samples.
        BadData: They cannot be read.
    """
    folder = cast(Path, run.path).parent
    return dict(get_benchmark(run.benchmark).sample_metrics(records.read_samples(folder)))


def _require_same_data(a: Record, b: Record) -> None:
    """Refuse runs whose items are not the same."""
    facts = {**_apart(vars(a), vars(b), ("benchmark", "suite")), **_apart(a.data, b.data)}
    prints = facts.pop("fingerprint", None)
    for field in _NOT_DATA:
        facts.pop(field, None)
    for field, (ours, theirs) in facts.items():
        raise UsageError(f"the runs cannot be compared: {field} {ours} and {theirs}")
    if prints is not None:
        raise UsageError(
            "the runs cannot be compared: they measure different data (its fingerprints differ: "
            f"{prints[0][:12]} and {prints[1][:12]})"
        )
    for field, (ours, theirs) in _apart(a.protocol, b.protocol, ("task", "recall_at")).items():
        raise UsageError(f"the runs cannot be compared: {field} {ours} and {theirs}")


def _differences(a: Record, b: Record) -> dict[str, tuple[Any, Any]]:
    """How the runs differ: model, weights, dtype, device and protocol."""
    fields = ("model", "variant", "weights_sha256", "dtype", "device", "seed")
    protocol = sorted({*a.protocol, *b.protocol} - {*_NOT_APART})
    return {**_apart(vars(a), vars(b), fields), **_apart(a.protocol, b.protocol, protocol)}


def _apart(
    a: Mapping[str, Any], b: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Fields whose values differ, as (A's, B's); of all fields by name if none are named.

    Of two mappings the fields that differ are named one by one: "training.K".
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted(a.keys() | b.keys()) if names is None else names:
        ours, theirs = a.get(name), b.get(name)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            found |= {f"{name}.{inner}": both for inner, both in _apart(ours, theirs).items()}
        elif ours != theirs:
            found[name] = ours, theirs
    return found
