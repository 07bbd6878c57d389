"""Output of a finished run: its table and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.records import NOT_COUNTS
from evals.registry import get_benchmark
from unimo2.console import note, print_table, say, visible
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from evals.cli.official import OfficialComparison
    from evals.metrics.ranking import Metric
    from evals.records import Record

# What of a protocol is worth a line, with the word before it.
_FACTS = {
    "score": "score",
    "pairs": "pairs",
    "prompt": "prompt",
    "beam_size": "beams",
    "image_size": "pixels",
}
_DIRECTIONS = {"image_retrieval": "images", "text_retrieval": "texts"}
Groups = Sequence[tuple[str, Sequence[Sequence[str]]]]
"""Rows of cells under the name of their group; see `unimo2.console.table_lines`."""
_PARTS_SHOWN = 12  # of a metric: VQA has some 65 question types, which the record holds


def as_content(record: Record) -> dict[str, Any]:
    """JSON output for a run: metrics, record path, model and data."""
    content = record.to_dict()
    shown = ("metrics", "suite", "benchmark", "model", "variant", "data", "notes")
    return {**{key: content[key] for key in shown}, "record": str(record.path)}


def show(record: Record) -> None:
    """Print a run's table and what is needed to judge it."""
    from evals.records.protocol import texts
    from unimo2.console import duration

    if not record.metrics:
        say(_title(record))
    elif _DIRECTIONS.keys() & {name.partition("/")[0] for name in record.metrics}:
        _print_metrics(_title(record), "recall", _retrieval(record))
    else:
        _print_metrics(_title(record), "metric", [("", _metrics(record))])
    data = record.data
    counts = " x ".join(
        f"{count:,} {unit}" for unit, count in data.items() if unit not in NOT_COUNTS
    )
    pace = ", ".join(
        f"{value:,.0f} {unit.removesuffix('_per_second')}/s"
        for unit, value in record.throughput.items()
    )
    told = texts(record.protocol)
    facts = {
        **{word: told.get(key) for key, word in _FACTS.items()},
        "data": f"{data['root_name']}, {counts}",
        "time": f"{duration(record.seconds)}, {pace}",
        "memory": f"{record.peak_memory_mb:,.0f} MiB at most",
        "device": f"{record.device}, {record.dtype}",
        "record": str(record.path),
    }
    weight = record.protocol.get("contrastive_weight")
    if weight is not None:
        facts["score"] = f"ITM logit + {weight:g} x contrastive score"
    for name, fact in facts.items():
        if fact is not None:
            say(f"{name:<8}{visible(str(fact))}")
    ties = max((metric.ties for metric in record.metrics.values()), default=0)
    for remark in [*record.notes, *([f"ties: {ties} queries"] if ties else [])]:
        note(remark)


def beside(compared: OfficialComparison) -> None:
    """Print published numbers beside a run's."""
    for place, line in enumerate(compared.lines()):
        head = "official" if place == 0 else ""
        say(f"{head:<10}{visible(line)}")


def _name(benchmark: str) -> str:
    """A benchmark's title; its name where it is not installed here."""
    try:
        return get_benchmark(benchmark).title
    except UsageError:
        return benchmark


def _title(record: Record) -> str:
    how = "zero-shot" if record.protocol["zero_shot"] else "fine-tuned"
    return (
        f"{_name(record.benchmark)}, {how}: model {record.model}, suite "
        f"{record.suite}, {record.data['split']} split"
    )


def _retrieval(record: Record) -> Groups:
    """Recall both ways; the parts of the score alone are left to the record."""
    rows: dict[str, list[list[str]]] = {}
    for name, metric in record.metrics.items():
        if "[" not in name:
            direction, recall = name.split("/")
            rows.setdefault(direction, []).append([recall, *_cells(metric)])
    return [(f"retrieval of {_DIRECTIONS[name]}", found) for name, found in rows.items()]


def _metrics(record: Record) -> list[list[str]]:
    """Every metric; of many subsets of one kind the largest, and how many more there are."""
    metrics = record.metrics
    rows: list[list[str]] = []
    kinds: dict[str, list[str]] = {}
    for name in metrics:
        kinds.setdefault(name.partition("=")[0], []).append(name)
    for kind, names in kinds.items():
        largest = sorted(names, key=lambda name: -metrics[name].n)[:_PARTS_SHOWN]
        rows += [[name, *_cells(metrics[name])] for name in names if name in largest]
        if len(names) > len(largest):
            more = f"{len(names) - len(largest)} more {kind.partition('[')[2]}s are in the record"
            rows.append([more, *[""] * len(_HEADS)])
    return rows


def show_scored(title: str, metrics: Mapping[str, Metric]) -> None:
    """Print one row per metric under a title."""
    _print_metrics(title, "metric", [("", [[name, *_cells(one)] for name, one in metrics.items()])])


def _print_metrics(title: str, label: str, groups: Groups) -> None:
    print_table(title, (label, *_HEADS), groups, numbers=range(1, 1 + _NUMBERS))


def summary(rows: Sequence[tuple[str, Record | str]], title: str) -> None:
    """One table of several benchmarks, a line for each, with what could not be measured.

    Args:
        rows: Benchmark as on the command line, and its record or why there is none.
        title: Above the table.
    """
    groups = []
    for benchmark, found in rows:
        if isinstance(found, str):
            continue
        about = f"{benchmark}: model {found.model}, {found.data['split']} split"
        main = {name: metric for name, metric in found.metrics.items() if "[" not in name}
        cells = [[name, *_cells(metric)] for name, metric in main.items()]
        groups.append((about, cells or [["no truth here", *[""] * len(_HEADS)]]))
    if groups:
        _print_metrics(title, "metric", groups)
    for benchmark, found in rows:
        if isinstance(found, str):
            say(f"{benchmark:<20}not measured: {visible(found)}")


# Of a metric's columns; the last one is the mark.
_HEADS = ("%", "95 % interval", "chance", "n", "")
_NUMBERS = 4


def _cells(metric: Metric) -> tuple[str, ...]:
    return (
        f"{metric.value:.2f}",
        f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
        "" if metric.chance is None else f"{metric.chance:.2f}",
        f"{metric.n:,}",
        metric.mark,
    )
