"""Listing: one line per record, and one line per table of the paper."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from evals.records import Record
from evals.registry import get_benchmark
from reports import paper
from reports.render import Grid, Table
from reports.selection import arrange, columns_of, comparable, setting_name, setting_of
from reports.tables import plain
from unimo2.errors import UsageError

_FIELDS = (
    *("suite", "benchmark", "model", "variant", "setting", "split"),
    *("metric", "value", "low", "high", "n", "sample", "date", "record"),
)


def record_lines(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Every record with its main metric.

    Args:
        records: newest last.

    Returns:
        A line a record, by suite, benchmark and model, the newest first: suite, benchmark, model,
        variant, setting, split, metric, value, low, high (95 % interval), n, sample ("60 of
        1,000", or None), date and record (its file). Of a record without metrics (the truth is
        the evaluation server's) the numbers are None.
    """
    lines = [_line(record) for record in records]
    lines.reverse()
    order = ("suite", "benchmark", "model")
    return sorted(lines, key=lambda line: tuple(str(line[name]) for name in order))


def _line(record: Record) -> dict[str, Any]:
    name = None
    with contextlib.suppress(UsageError):  # a benchmark of a package that is gone
        name = get_benchmark(record.benchmark).main_metric
    if name not in record.metrics:
        name = next(iter(record.metrics), None)
    metric = None if name is None else record.metrics[name]
    low, high = (None, None) if metric is None else metric.ci95
    values = (
        *(record.suite, record.benchmark, record.model, record.variant),
        setting_name(setting_of(record)),
        record.data.get("split"),
        *(name, None if metric is None else metric.value, low, high),
        None if metric is None else metric.n,
        record.data.get("note"),
        record.created[:10],
        None if record.path is None else record.path.as_posix(),
    )
    return dict(zip(_FIELDS, values, strict=True))


def table_lines(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The tables of the paper, and how many of their columns were measured.

    Args:
        records: newest last; those on samples of the data do not count.

    Returns:
        A line a table: table, title, columns (numbers a row that can be measured; 0 for tables of
        settings and data), measured (of them, on each suite: `{"mini": 4}`).
    """
    whole = comparable(records)[0]
    lines = []
    for table in paper.TABLES:
        columns = columns_of(table)
        filled: dict[str, set[int]] = {}
        for sheet in arrange(table, whole)[0]:
            here = filled.setdefault(sheet.suite, set())
            here |= {
                place
                for place, column in enumerate(columns)
                if any(row.metric(column) for row in sheet.rows)
            }
        lines.append(
            {
                "table": table,
                "title": paper.caption(table),
                "columns": len(columns),
                "measured": {suite: len(places) for suite, places in sorted(filled.items())},
            }
        )
    return lines


def listing(records: Sequence[Record], form: str = "text") -> list[Table]:
    """The same as two tables of texts.

    Args:
        records: newest last.
        form: "csv" has every field of `record_lines`, all others fewer and shorter columns.
    """
    lines = record_lines(records)
    if form == "csv":
        measured = _grid([{name: plain(line[name]) for name in _FIELDS} for line in lines], _FIELDS)
    else:
        measured = _grid(list(map(_short, lines)), _SHORT)
    tables = [
        {
            "table": str(line["table"]),
            "title": line["title"],
            "measured": _filled(line["columns"], line["measured"]),
        }
        for line in table_lines(records)
    ]
    how = "'unimo2 report --table N ...' shows tables; every number of a run is in its record."
    count = f"{len(lines):,} record{'' if len(lines) == 1 else 's'}"
    return [
        Table(f"Measured: {count}", measured, () if lines else ("Nothing was measured.",)),
        Table("Tables of the paper", _grid(tables, ("table", "title", "measured")), (how,)),
    ]


def _grid(lines: Sequence[dict[str, str]], names: Sequence[str]) -> Grid:
    """Lines as rows, the first name as their label."""
    first, *rest = names
    labels = [("", line[first]) for line in lines]
    return Grid(first, rest, labels, [[str(line[name]) for name in rest] for line in lines])


_SHORT = ("suite", "benchmark", "model", "setting", "split", "metric", "value", "n", "date")


def _short(line: dict[str, Any]) -> dict[str, str]:
    variant, sample, value = line["variant"], line["sample"], line["value"]
    interval = "" if value is None else f"{value:.1f} ({line['low']:.1f} to {line['high']:.1f})"
    return {
        **{name: line[name] for name in ("suite", "benchmark", "setting", "date")},
        "model": line["model"] + (f"+{variant}" if variant else ""),
        "split": str(line["split"]) + (f" ({sample})" if sample else ""),
        "metric": line["metric"] or "none: the truth is not public",
        "value": interval,
        "n": "" if value is None else f"{line['n']:,}",
    }


def _filled(columns: int, measured: dict[str, int]) -> str:
    if not columns:
        return "nothing to measure"
    if not measured:
        return f"none of {columns} columns"
    return "; ".join(f"{n} of {columns} columns on {suite}" for suite, n in measured.items())
