"""A finished run on a terminal: its table, and what is needed to judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from evals.registry import get_benchmark
from unimo2.cli.console import output
from unimo2.errors import UsageError

if TYPE_CHECKING:
    from evals.metrics.ranking import Metric
    from evals.official import Comparison
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
_NOT_COUNTS = ("fingerprint", "root_name", "split", "official", "note")
_PARTS_SHOWN = 12  # of a metric: VQA has some 65 question types, which the record holds


def as_content(record: Record) -> dict[str, Any]:
    """What `--json` prints of a run: the metrics, the record's path, what was measured on what."""
    content = record.to_dict()
    shown = ("metrics", "suite", "benchmark", "model", "variant", "data", "notes")
    return {**{key: content[key] for key in shown}, "record": str(record.path)}


def show(record: Record) -> None:
    """Print a run's table and what is needed to judge it."""
    from evals.progress import duration
    from evals.protocol import texts

    console = output()
    if record.metrics:
        both_ways = _DIRECTIONS.keys() & {name.partition("/")[0] for name in record.metrics}
        console.print(_retrieval(record) if both_ways else _metrics(record))
    else:
        console.print(_title(record), markup=False)
    data = record.data
    counts = " x ".join(
        f"{count:,} {unit}" for unit, count in data.items() if unit not in _NOT_COUNTS
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
            # No wrapping or markup: a path must come out in one piece.
            console.print(f"{name:<8}{fact}", soft_wrap=True, markup=False, highlight=False)
    ties = max((metric.ties for metric in record.metrics.values()), default=0)
    for note in [*record.notes, *([f"ties: {ties} queries"] if ties else [])]:
        console.print(f"note    {note}", soft_wrap=True, markup=False, style="yellow")


def beside(compared: Comparison) -> None:
    """Print published numbers beside a run's."""
    for place, line in enumerate(compared.lines()):
        head = "official" if place == 0 else ""
        output().print(f"{head:<10}{line}", soft_wrap=True, markup=False, highlight=False)


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


def _retrieval(record: Record) -> Table:
    """Recall both ways; the parts of the score alone are left to the record."""
    table = _empty(_title(record), ("retrieval of", "recall"))
    for name, metric in record.metrics.items():
        if "[" in name:
            continue
        direction, recall = name.split("/")
        table.add_row(_DIRECTIONS[direction], recall, *_cells(metric), end_section=recall == "R@10")
    return table


def _metrics(record: Record) -> Table:
    """Every metric; of many subsets of one kind the largest, and how many more there are."""
    metrics = record.metrics
    shown: dict[str, Metric | None] = {}
    kinds: dict[str, list[str]] = {}
    for name in metrics:
        kinds.setdefault(name.partition("=")[0], []).append(name)
    for kind, names in kinds.items():
        largest = sorted(names, key=lambda name: -metrics[name].n)[:_PARTS_SHOWN]
        shown |= {name: metrics[name] for name in names if name in largest}
        if len(names) > len(largest):
            more = f"{len(names) - len(largest)} more {kind.partition('[')[2]}s are in the record"
            shown[more] = None
    return metric_table(_title(record), shown)


def metric_table(title: str, metrics: Mapping[str, Metric | None], simple: bool = False) -> Table:
    """One row per metric.

    Args:
        title: Above the table.
        metrics: By name; None for a row without numbers.
        simple: Without lines between the cells.
    """
    table = _empty(title, ("metric",), simple)
    for name, metric in metrics.items():
        # A subset in brackets is not markup.
        cells = [""] * 5 if metric is None else _cells(metric)
        table.add_row(name.replace("[", r"\["), *cells)
    return table


def summary(rows: Sequence[tuple[str, Record | str]], title: str) -> None:
    """One table of several benchmarks, a line for each, with what could not be measured.

    Args:
        rows: Benchmark as on the command line, and its record or why there is none.
        title: Above the table.
    """
    console = output()
    table = _empty(title, ("benchmark", "model", "split", "metric"))
    for benchmark, found in rows:
        if isinstance(found, str):
            continue
        main = {name: metric for name, metric in found.metrics.items() if "[" not in name}
        for number, (name, metric) in enumerate(main.items()):
            first = (benchmark, found.model, found.data["split"]) if number == 0 else ("", "", "")
            table.add_row(*first, name, *_cells(metric), end_section=number == len(main) - 1)
        if not main:
            table.add_row(benchmark, found.model, found.data["split"], "no truth here", *[""] * 5)
    if table.row_count:
        console.print(table)
    for benchmark, found in rows:
        if isinstance(found, str):
            console.print(f"{benchmark:<20}not measured: {found}", soft_wrap=True, markup=False)


def _empty(title: str, names: Sequence[str], simple: bool = False) -> Table:
    """A table with columns for names and for a metric."""
    from rich import box

    lines = box.SIMPLE if simple else box.HEAVY_HEAD
    table = Table(title=title, title_justify="left", box=lines)
    for name in names:
        table.add_column(name, justify="right" if name == "recall" else "left", overflow="fold")
    for name in ("%", "95 % interval", "chance", "n"):
        table.add_column(name, justify="right")
    table.add_column("")
    return table


def _cells(metric: Metric) -> tuple[str, ...]:
    return (
        f"{metric.value:.2f}",
        f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}",
        "" if metric.chance is None else f"{metric.chance:.2f}",
        f"{metric.n:,}",
        metric.mark,
    )
