"""A finished run on a terminal: its table, and what is needed to judge it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evals.metrics.ranking import Metric
    from evals.records import Record

TITLES = {
    "flickr": "Flickr30k retrieval",
    "vqa": "VQA v2",
    "snli_ve": "SNLI-VE",
    "coco": "COCO captions",
    "imagenet": "ImageNet",
    "sst2": "SST-2",
    "mnli": "MNLI",
    "cola": "CoLA",
    "stsb": "STS-B",
}
# What of a protocol is worth a line, with the word before it.
_FACTS = {
    "score": "score",
    "pairs": "pairs",
    "prompt": "prompt",
    "beam_size": "beams",
    "image_size": "pixels",
}
_NOT_COUNTS = ("fingerprint", "root_name", "split", "official", "note")
_WIDTH = 120  # of tables in a file or a pipe
_PARTS_SHOWN = 12  # of a metric: VQA has some 65 question types, which the record holds


def console_for_tables() -> Console:
    """Standard output; where it is no terminal, wide enough that no name in a table is broken."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def as_content(record: Record) -> dict[str, Any]:
    """What `--json` prints of a run: the metrics, the record's path, what was measured on what."""
    content = record.to_dict()
    shown = ("metrics", "suite", "benchmark", "model", "variant", "data", "notes")
    return {**{key: content[key] for key in shown}, "record": str(record.path)}


def as_text(record: Record) -> str:
    """`as_content` as JSON."""
    return json.dumps(as_content(record), indent=2)


def show(record: Record, console: Console) -> None:
    """Print a run's table and what is needed to judge it.

    Args:
        record: Of the run.
        console: A rich console on standard output.
    """
    from evals.progress import duration
    from evals.protocol import texts

    if record.metrics:
        table = _retrieval(record) if record.benchmark == "flickr" else _metrics(record)
        console.print(table)
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


def _title(record: Record) -> str:
    how = "zero-shot" if record.protocol["zero_shot"] else "fine-tuned"
    return (
        f"{TITLES.get(record.benchmark, record.benchmark)}, {how}: model {record.model}, suite "
        f"{record.suite}, {record.data['split']} split"
    )


def _retrieval(record: Record) -> Table:
    """Recall both ways; the parts of the score alone are left to the record."""
    table = _empty(_title(record), ("retrieval of", "recall"))
    for name, metric in record.metrics.items():
        if "[" in name:
            continue
        direction, recall = name.split("/")
        words = {"image_retrieval": "images", "text_retrieval": "texts"}[direction]
        table.add_row(words, recall, *_cells(metric), end_section=recall == "R@10")
    return table


def _metrics(record: Record) -> Table:
    """Every metric; of many subsets of one kind the largest, and how many more there are."""
    table = _empty(_title(record), ("metric",))
    metrics = record.metrics
    kinds: dict[str, list[str]] = {}
    for name in metrics:
        kinds.setdefault(name.partition("=")[0], []).append(name)
    for kind, names in kinds.items():
        largest = sorted(names, key=lambda name: -metrics[name].n)[:_PARTS_SHOWN]
        for name in (name for name in names if name in largest):
            # A subset in brackets is no markup.
            table.add_row(name.replace("[", r"\["), *_cells(metrics[name]))
        if len(names) > len(largest):
            more = f"{len(names) - len(largest)} more {kind.partition('[')[2]}s are in the record"
            table.add_row(more, *[""] * 5)
    return table


def summary(rows: Sequence[tuple[str, Record | str]], console: Console) -> None:
    """One table of several benchmarks, a line for each, with what could not be measured.

    Args:
        rows: Benchmark as on the command line, and its record or why there is none.
        console: A rich console on standard output.
    """
    table = _empty("all benchmarks", ("benchmark", "model", "split", "metric"))
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


def _empty(title: str, names: Sequence[str]) -> Table:
    """A table with columns for names and for a metric."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
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
