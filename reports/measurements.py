"""What was measured, in the layout of the paper's tables.

Numbers measured on other data or by another protocol never share a column (`reports.arranging`), and
numbers of another suite share no table. Numbers on a sample of the data ("60 of 1,000") stand in no
table of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from evals.metrics.ranking import Metric
from evals.records import Record
from reports import paper
from reports.arranging import Row, Sheet, arrange, comparable
from reports.conditions import (
    FINETUNED,
    Block,
    Column,
    columns_of,
    described,
    label_of,
    protocol_of,
    short_data,
    size_of,
)
from reports.levels import GROUP, Levels, level_rows
from reports.render import Table

__all__ = ["comparable", "long_frames", "measured", "measured_tables"]

NOT_MEASURED = "not measured"
AT_CHANCE = "*"
NOTHING = "-"  # no ceiling or floor is known
MEASURED, COMPUTED = "measured", "computed"  # kinds of a number


def measured(table: int, records: Iterable[Record], suite: str = "mini") -> pd.DataFrame:
    """What was measured of one table on one suite, a number a row.

    Args:
        table: of the paper, 1 to 10.
        records: from `evals.records.find`, newest last; the newest of each row and column counts.
        suite: numbers of other suites are left out.

    Returns:
        Columns suite, benchmark, setting, split, data (start of the fingerprint), size, protocol;
        recipe, budget and seed of an ablation's training; kind, group, model, weights, task,
        metric, value, low, high (95 % interval), n, chance, at_chance. Empty where nothing of it
        was measured.
    """
    found = long_frames(table, (record for record in records if record.suite == suite))
    if not found:
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat([frame for _, frame in found], ignore_index=True)


def long_frames(
    table: int, records: Iterable[Record], levels: Levels | None = None
) -> list[tuple[str, pd.DataFrame]]:
    """As `measured`, a title and a frame for each sheet.

    Args:
        table: of the paper.
        records: newest last.
        levels: of the embedded suite; its ceilings and floors are rows of the kind "computed".
    """
    frames = []
    for sheet in arrange(table, records)[0]:
        lines = [
            _line(sheet, row, column, found)
            for row in sheet.rows
            for column in sheet.columns
            if (found := row.metric(column)) is not None
        ]
        for name, values in level_rows(levels, sheet):
            lines += [_level_line(sheet, name, one, value) for one, value in values.items()]
        frames.append((_title(sheet), pd.DataFrame(lines, columns=_COLUMNS)))
    return frames


def measured_tables(
    table: int, records: Iterable[Record], levels: Levels | None = None
) -> list[Table]:
    """The same in the paper's layout.

    Returns:
        Texts such as "65.3±2.4/88.1±1.7", "not measured" where there is none and "*" where a
        number is within noise of chance. For a table of results of which nothing was measured,
        one that says so; nothing for the others.
    """
    if table not in paper.RESULT_TABLES:
        return []
    sheets, remarks = arrange(table, records)
    if not sheets:
        empty = Sheet(table, "mini", 1, 1, [Row("", "mini", {})], columns_of(table))
        title = f"Table {table}, measured on the embedded suite (mini)"
        return [Table(title, _frame(empty, []), tuple(remarks))]
    tables = [_table(sheet, levels) for sheet in sheets]
    last = tables[-1]
    tables[-1] = Table(last.title, last.frame, (*last.notes, *remarks))
    return tables


def _table(sheet: Sheet, levels: Levels | None) -> Table:
    computed = level_rows(levels, sheet)
    return Table(_title(sheet), _frame(sheet, computed), _notes(sheet))


def _frame(sheet: Sheet, computed: Sequence[tuple[str, Mapping[Column, float]]]) -> pd.DataFrame:
    """Rows in the paper's layout, several numbers in a cell, and a remark at the end."""
    texts: dict[str, list[str]] = {}
    for head, separator, columns in _heads(sheet):
        cells = [
            paper.join(
                [("", _text(row.metric(column))) for column in columns], separator, NOT_MEASURED
            )
            for row in sheet.rows
        ]
        cells += [
            paper.join([("", _number(values.get(one))) for one in columns], separator, NOTHING)
            for _, values in computed
        ]
        texts[head] = cells
    remarks = [_remark(row, sheet.columns) for row in sheet.rows]
    if any(remarks):
        texts["remark"] = [*remarks, *("" for _ in computed)]
    keys = [(row.group, row.label) for row in sheet.rows] + [(GROUP, name) for name, _ in computed]
    if any(group for group, _ in keys):
        index: pd.Index = pd.MultiIndex.from_tuples(keys, names=["group", "Model"])
    else:
        index = pd.Index([label for _, label in keys], name="Model")
    return pd.DataFrame(texts, index=index)


def _heads(sheet: Sheet) -> list[tuple[str, str, list[Column]]]:
    """The head of each printed column, what stands between its numbers, and their columns."""
    wanted = paper.columns(sheet.table)
    by_name = {(column.task, column.metric): column for column in sheet.columns}
    heads = []
    for _, printed in wanted.groupby(wanted["position"].astype(int), sort=True):
        names = zip(printed["column"], printed["metric"], strict=True)
        columns = [by_name[name] for name in names if name in by_name]
        if columns:
            head = " ".join(part for part in paper.head_of(printed) if part)
            heads.append((head, str(printed["separator"].iloc[0]), columns))
    return heads


def _text(metric: Metric | None) -> str:
    if metric is None:
        return ""
    low, high = metric.ci95
    mark = AT_CHANCE if metric.at_chance else ""
    return f"{metric.value:.1f}±{(high - low) / 2:.1f}{mark}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _remark(row: Row, columns: Sequence[Column]) -> str:
    metrics = [metric for column in columns if (metric := row.metric(column)) is not None]
    if metrics and all(metric.at_chance for metric in metrics):
        return "within noise of chance"
    return ""


def _title(sheet: Sheet) -> str:
    title = f"Table {sheet.table}, measured on suite {sheet.suite}"
    training = next(iter(sheet.about.values())).protocol.get("training")
    if training is not None:
        title += (
            f"; each row trained for {training['budget']:,} steps "
            f"(recipe {training['recipe']}, seed {training['seed']}, base {training['base']})"
        )
    if sheet.count > 1:
        title += f" ({sheet.place} of {sheet.count}: by data and protocol)"
    return title


def _notes(sheet: Sheet) -> tuple[str, ...]:
    every = [metric for row in sheet.rows for one in sheet.columns if (metric := row.metric(one))]
    notes = _conditions(sheet)
    notes.append("± half the width of the 95 % interval (its ends are in --format csv and json).")
    if sheet.suite != "paper":
        notes.append("Other data than the paper's: not comparable with the published table.")
    samples = {record.data.get("note") for row in sheet.rows for record in row.records.values()}
    notes += [f"A sample of the data: {text}." for text in sorted(filter(None, samples))]
    notes += _weights(sheet)
    marked = sorted({m.chance for m in every if m.at_chance and m.chance is not None})
    if marked:
        levels = ", ".join(f"{chance:.2g}" for chance in marked)
        notes.append(f"{AT_CHANCE} within noise of chance (chance level {levels} %).")
    return tuple(notes)


def _conditions(sheet: Sheet) -> list[str]:
    """Which data and protocol each column is of, and of how many items."""
    columns: dict[str, list[str]] = {}
    sizes: dict[str, set[int]] = {}
    for column in sheet.columns:
        record = sheet.about.get(column.block)
        if record is None:
            continue
        text = described(record)
        shared = sum(one.task == column.task and one.block != column.block for one in sheet.columns)
        columns.setdefault(text, []).append(
            f"{column.task} {column.metric}" if shared else column.task
        )
        found = (row.metric(column) for row in sheet.rows)
        sizes.setdefault(text, set()).update(metric.n for metric in found if metric)
    return [
        f"{', '.join(dict.fromkeys(names))}: {text}; "
        f"n = {' or '.join(f'{n:,}' for n in sorted(sizes[text]))} a number."
        for text, names in columns.items()
    ]


def _weights(sheet: Sheet) -> list[str]:
    """Which fine-tuned weights stand in the row of the model that they come from."""
    notes = []
    for row in sheet.rows:
        names = {record.model: None for record in row.records.values()}
        others = [name for name in names if name != row.label.partition("+")[0]]
        if others and not row.group and "training" not in _first(row).protocol:
            notes.append(f"Row {row.label}: fine-tuned weights are those of {', '.join(others)}.")
    return notes


def _first(row: Row) -> Record:
    return next(iter(row.records.values()))


_COLUMNS = [
    *("suite", "benchmark", "setting", "split", "data", "size", "protocol"),
    *("recipe", "budget", "seed"),
    *("kind", "group", "model", "weights", "task", "metric"),
    *("value", "low", "high", "n", "chance", "at_chance"),
]


def _about(sheet: Sheet, block: Block, record: Record) -> dict[str, Any]:
    training = record.protocol.get("training") or {}
    return {
        "suite": sheet.suite,
        "benchmark": block.benchmark,
        "setting": "fine-tuned" if block.setting == FINETUNED else block.setting,
        "split": record.data.get("split"),
        "data": short_data(record),
        "size": size_of(record),
        "protocol": protocol_of(record),
        **{name: training.get(name) for name in ("recipe", "budget", "seed")},
    }


def _line(sheet: Sheet, row: Row, column: Column, found: Metric) -> dict[str, Any]:
    record = row.records[column.block]
    low, high = found.ci95
    return {
        **_about(sheet, column.block, record),
        "kind": MEASURED,
        "group": row.group,
        "model": row.label,
        "weights": label_of(record),
        "task": column.task,
        "metric": column.metric,
        "value": found.value,
        "low": low,
        "high": high,
        "n": found.n,
        "chance": found.chance,
        "at_chance": found.at_chance,
    }


def _level_line(sheet: Sheet, name: str, column: Column, value: float) -> dict[str, Any]:
    return {
        **_about(sheet, column.block, sheet.about[column.block]),
        **{"kind": COMPUTED, "group": GROUP, "model": name, "weights": ""},
        **{"task": column.task, "metric": column.metric, "value": value},
    }
