"""The paper's tables combined with the measured results.

`reports.table(1)` has the numbers of the paper's Table 1 to compute with, `reports.published(1)`
the same as printed, and `reports.measured(1)` what was measured of it here.

Numbers measured on other data or by another protocol never share a column (`reports.selection`), and
results of another suite are in another table. Numbers on a sample of the data ("60 of 1,000") are
in no table of a report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from evals.metrics.ranking import Metric
from evals.records import Record
from evals.records.provenance import remarks
from reports import paper
from reports.levels import GROUP, Levels, level_rows
from reports.paper import published
from reports.render import Grid, Table
from reports.selection import (
    Column,
    ColumnBlock,
    Sheet,
    TableRow,
    arrange,
    columns_of,
    comparable,
    condition_of,
    described,
    gather,
    label_of,
    protocol_of,
    records_of,
    setting_name,
    short_data,
    size_of,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measured", "measured_tables", "published", "report_json", "report_tables", "table"]

NOT_MEASURED = "not measured"
AT_CHANCE = "*"
NOTHING = "-"  # no upper bound or baseline is known
REMARK = "remark"  # head of the last column, where there is one
MEASURED, COMPUTED = "measured", "computed"  # kinds of a number

Line = dict[str, Any]
"""A number with everything that is known of it, by the names of `COLUMNS`."""

COLUMNS = (
    *("suite", "benchmark", "setting", "split", "data", "size", "protocol"),
    *("recipe", "budget", "seed"),
    *("kind", "group", "model", "weights", "task", "metric"),
    *("value", "low", "high", "n", "chance", "at_chance", "remark"),
)


def table(number: int) -> pd.DataFrame:
    """One table of the paper.

    Args:
        number: 1 to 10.

    Returns:
        For tables of results (1-5 and 10) numbers to compute with, one a column under
        (task, metric) and a row per model, NaN where the paper has none; for the others the texts
        of `published`.

    Raises:
        UsageError: The paper has no such table.
    """
    import pandas as pd

    frame = published(number)
    if number not in paper.RESULT_TABLES:
        return frame
    return frame.apply(lambda column: pd.to_numeric(column.where(column != "-")))


def measured(
    number: int, records: Iterable[Record] | None = None, suite: str = "mini"
) -> pd.DataFrame:
    """What was measured of one table on one suite, a number per row.

    Args:
        number: Of the paper's table, 1 to 10.
        records: Newest last; the newest of each row and column counts. If None, those of the
            package and of the folder "runs" (`reports.selection.gather`).
        suite: Numbers of other suites are left out.

    Returns:
        Columns suite, benchmark, setting, split, data (start of the fingerprint), size, protocol;
        recipe, budget and seed of an ablation's training; kind, group, model, weights, task,
        metric, value, low, high (95 % interval), n, chance, at_chance, remark (what a zero-shot
        model had seen, if its number is not plainly zero-shot). Empty where nothing of it was
        measured.
    """
    import pandas as pd

    every = gather() if records is None else records
    found = long_lines(number, (record for record in every if record.suite == suite))
    lines = [line for _, sheet in found for line in sheet]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def report_tables(
    number: int, records: Iterable[Record], form: str = "text", levels: Levels | None = None
) -> list[Table]:
    """A table of the paper and, beneath it, tables of what was measured.

    Args:
        number: 1 to 10.
        records: From `evals.records.find`; those on samples of the data are named, not shown.
        form: "csv" has one number per column; all others have the paper's cells.
        levels: Of the embedded suite, whose upper bounds and baselines stand beneath.

    Raises:
        UsageError: The paper has no such table.
    """
    whole, left_out = comparable(records_of(number, records))
    if form == "csv":
        tables = _plain_tables(number, whole, levels)
    else:
        tables = [paper.as_printed(number), *measured_tables(number, whole, levels)]
    if left_out and len(tables) > 1:
        tables[-1] = tables[-1].with_notes(left_out)
    return tables


def report_json(
    number: int, records: Iterable[Record], levels: Levels | None = None
) -> dict[str, Any]:
    """The same as plain values: `{"table", "title", "notes", "published", "measured", "left_out"}`.

    Published numbers are texts with the printed precision and the split that they are of; measured
    ones are the records', with the columns of `measured`.

    Raises:
        UsageError: The paper has no such table.
    """
    whole, left_out = comparable(records_of(number, records))
    kept = ("row_group", "row_label", "column", "metric", "value")
    rows = zip(paper.number_rows(number), paper.splits(number), strict=True)
    return {
        "table": number,
        "title": paper.title(number),
        "notes": list(paper.notes(number)),
        "published": [{**{k: one[k] for k in kept}, "split": split} for one, split in rows],
        "measured": [line for _, sheet in long_lines(number, whole, levels) for line in sheet],
        "left_out": [*left_out, *arrange(number, whole)[1]],
    }


def _plain_tables(number: int, records: list[Record], levels: Levels | None) -> list[Table]:
    grid = paper.one_number_per_column(number)
    tables = [Table(paper.title(number), grid, paper.notes(number))]
    first, *rest = COLUMNS
    for title, lines in long_lines(number, records, levels):
        labels = [("", str(line[first])) for line in lines]
        cells = [[plain(line[name]) for name in rest] for line in lines]
        tables.append(Table(title, Grid(first, rest, labels, cells)))
    if len(tables) > 1:
        tables[-1] = tables[-1].with_notes(arrange(number, records)[1])
    return tables


def plain(value: object) -> str:
    """A number or text as CSV has it."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def long_lines(
    number: int, records: Iterable[Record], levels: Levels | None = None
) -> list[tuple[str, list[Line]]]:
    """What was measured of a table, a title and a line per number for each sheet.

    Args:
        number: Of the paper's table.
        records: Newest last.
        levels: Of the embedded suite; its upper bounds and baselines are of the kind "computed".
    """
    return [(sheet_title(sheet), _lines(sheet, levels)) for sheet in arrange(number, records)[0]]


def _lines(sheet: Sheet, levels: Levels | None) -> list[Line]:
    found = [
        _line(sheet, row, column, metric)
        for row in sheet.rows
        for column in sheet.columns
        if (metric := row.metric(column)) is not None
    ]
    for name, values in level_rows(levels, sheet):
        for column, value in values.items():
            about = _about(sheet, column.block, sheet.about[column.block])
            about |= {"kind": COMPUTED, "group": GROUP, "model": name, "weights": ""}
            about |= {"task": column.task, "metric": column.metric, "value": value, "remark": ""}
            found.append({key: about.get(key) for key in COLUMNS})
    return found


def _line(sheet: Sheet, row: TableRow, column: Column, found: Metric) -> Line:
    record = row.records[column.block]
    low, high = found.ci95
    return {
        **_about(sheet, column.block, record),
        **{"kind": MEASURED, "group": row.group, "model": row.label, "weights": label_of(record)},
        **{"task": column.task, "metric": column.metric, "value": found.value},
        **{"low": low, "high": high, "n": found.n},
        **{"chance": found.chance, "at_chance": found.at_chance},
        "remark": "; ".join(remarks(record.protocol)),
    }


def _about(sheet: Sheet, block: ColumnBlock, record: Record) -> Line:
    training = record.protocol.get("training") or {}
    return {
        "suite": sheet.suite,
        "benchmark": block.benchmark,
        "setting": setting_name(block.setting),
        "split": record.data.get("split"),
        "data": short_data(record),
        "size": size_of(record),
        "protocol": protocol_of(record),
        **{name: training.get(name) for name in ("recipe", "budget", "seed")},
    }


# The paper's layout.


def measured_tables(
    number: int, records: Iterable[Record], levels: Levels | None = None
) -> list[Table]:
    """What was measured, in the paper's layout.

    Returns:
        Texts such as "65.3±2.4/88.1±1.7", "not measured" where there is none and "*" where a
        number is within noise of chance. For a table of results of which nothing was measured,
        one that says so; nothing for the others.
    """
    if number not in paper.RESULT_TABLES:
        return []
    sheets, left_out = arrange(number, records)
    if not sheets:
        empty = Sheet(number, "mini", 1, 1, [TableRow("", "mini", {})], columns_of(number))
        title = f"Table {number}, measured on the embedded suite (mini)"
        return [Table(title, _grid(empty, []), tuple(left_out))]
    tables = [
        Table(sheet_title(sheet), _grid(sheet, level_rows(levels, sheet)), sheet_notes(sheet))
        for sheet in sheets
    ]
    tables += [seed_table(sheets[0].table, rows) for rows in _over_seeds(sheets)]
    tables[-1] = tables[-1].with_notes(left_out)
    return tables


def _grid(sheet: Sheet, computed: Sequence[tuple[str, Mapping[Column, float]]]) -> Grid:
    """Rows in the paper's layout, several numbers in a cell, and a remark at the end."""
    columns = []
    for _, separator, members in sheet_heads(sheet):
        texts = [[_text(row.metric(one)) for one in members] for row in sheet.rows]
        levels = [[_number(values.get(one)) for one in members] for _, values in computed]
        cells = [paper.join([("", t) for t in cell], separator, NOT_MEASURED) for cell in texts]
        cells += [paper.join([("", t) for t in cell], separator, NOTHING) for cell in levels]
        columns.append(cells)
    heads = [head for head, _, _ in sheet_heads(sheet)]
    remarked = [row_remark(row, sheet.columns) for row in sheet.rows]
    if any(remarked):
        heads.append(REMARK)
        columns.append([*remarked, *("" for _ in computed)])
    labels = [(row.group, row.label) for row in sheet.rows]
    labels += [(GROUP, name) for name, _ in computed]
    return Grid("Model", heads, labels, list(map(list, zip(*columns, strict=True))))


def sheet_heads(sheet: Sheet) -> list[tuple[str, str, list[Column]]]:
    """The head of each printed column, what stands between its numbers, and their columns."""
    by_name = {(column.task, column.metric): column for column in sheet.columns}
    heads = []
    for printed in paper.printed_columns(sheet.table):
        names = [(one["column"], one["metric"]) for one in printed]
        columns = [by_name[name] for name in names if name in by_name]
        if columns:
            head = " ".join(part for part in paper.head_of(printed) if part)
            heads.append((head, printed[0]["separator"], columns))
    return heads


def _text(metric: Metric | None) -> str:
    if metric is None:
        return ""
    low, high = metric.ci95
    mark = AT_CHANCE if metric.at_chance else ""
    return f"{metric.value:.1f}±{(high - low) / 2:.1f}{mark}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def row_remark(row: TableRow, columns: Sequence[Column]) -> str:
    """What a reader of a row must know: numbers at chance, and what a zero-shot model had seen."""
    metrics = [metric for column in columns if (metric := row.metric(column)) is not None]
    found = []
    if metrics and all(metric.at_chance for metric in metrics):
        found.append("within noise of chance")
    for record in row.records.values():
        found += remarks(record.protocol)
    return "; ".join(dict.fromkeys(found))


# Rows of an ablation that were trained with several seeds.

SeedRows = Mapping[tuple[str, str], Sequence[TableRow]]
"""Rows by group and label; each differs from the others of its name in the seed alone."""


def _over_seeds(sheets: Sequence[Sheet]) -> list[SeedRows]:
    """For each ablation with several seeds its rows of two seeds or more."""
    found: dict[str, dict[tuple[str, str], dict[int, TableRow]]] = {}
    for sheet in sheets:
        if sheet.place > 1:  # another protocol
            continue
        for row in sheet.rows:
            training = _training(row)
            if training is not None:
                home = found.setdefault(_same(sheet.suite, training), {})
                rows = home.setdefault((row.group, row.label), {})
                if _unseeded(training) == _unseeded(_training(next(iter(rows.values()), row))):
                    rows[training["seed"]] = row
    several = [
        {name: list(by_seed.values()) for name, by_seed in home.items() if len(by_seed) > 1}
        for home in found.values()
    ]
    return [rows for rows in several if rows]


def _training(row: TableRow) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = next(iter(row.records.values())).protocol.get("training")
    return found


def _same(suite: str, training: Mapping[str, Any]) -> str:
    return json.dumps([suite, *(training.get(name) for name in ("recipe", "budget", "data"))])


def _unseeded(training: Mapping[str, Any] | None) -> str:
    """A training without its seed."""
    told = training or {}
    config = {name: value for name, value in told.get("config", {}).items() if name != "seed"}
    return json.dumps([told.get("model"), config], sort_keys=True)


def seed_table(number: int, rows: SeedRows) -> Table:
    """Means over seeds, with the standard deviation of a single training.

    Args:
        number: Of the paper's table.
        rows: Of one ablation.
    """
    first = next(iter(rows.values()))[0]
    training = _training(first) or {}
    suite = next(iter(first.records.values())).suite
    seeds = sorted({(_training(row) or {})["seed"] for some in rows.values() for row in some})
    sheet = Sheet(number, suite, 1, 1, [first], columns_of(number))
    heads = sheet_heads(sheet)
    cells = [
        [
            paper.join([("", _spread(some, one)) for one in members], separator, NOT_MEASURED)
            for _, separator, members in heads
        ]
        for some in rows.values()
    ]
    title = (
        f"Table {number}, means over seeds {', '.join(map(str, seeds))}, suite {suite}; each row "
        f"trained for {training['budget']:,} steps (recipe {training['recipe']})"
    )
    note = "± the standard deviation over seeds (n - 1); in brackets the number of seeds."
    grid = Grid("Model", [head for head, _, _ in heads], list(rows), cells)
    return Table(title, grid, (note,))


def _spread(rows: Sequence[TableRow], column: Column) -> str:
    """Mean and standard deviation of one number, of the rows that have it by one protocol."""
    found = [(row.records[column.block], row.metric(column)) for row in rows if row.metric(column)]
    values = [
        metric.value
        for record, metric in found
        if metric is not None and condition_of(record) == condition_of(found[0][0])
    ]
    if len(values) < 2:
        return ""
    return f"{mean(values):.1f}±{stdev(values):.1f} ({len(values)})"


def sheet_title(sheet: Sheet) -> str:
    """Which table, on which suite, and of which training if it is one of an ablation."""
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


def sheet_notes(sheet: Sheet) -> tuple[str, ...]:
    """What is needed to judge a sheet's numbers."""
    every = [metric for row in sheet.rows for one in sheet.columns if (metric := row.metric(one))]
    notes = _conditions(sheet)
    notes.append("± half the width of the 95 % interval (its ends are in --format csv and json).")
    if sheet.suite != "paper":
        notes.append("Other data than the paper's: not comparable with the published table.")
    samples = {record.data.get("note") for row in sheet.rows for record in row.records.values()}
    notes += [f"A sample of the data: {text}." for text in sorted(filter(None, samples))]
    notes += _weights(sheet) + _precisions(sheet)
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


def _precisions(sheet: Sheet) -> list[str]:
    """In what the rows of an ablation were trained; rows of two precisions differ in that too."""
    rows: dict[str, list[str]] = {}
    for row in sheet.rows:
        precision = (_training(row) or {}).get("cost", {}).get("precision")
        if precision:
            rows.setdefault(precision, []).append(row.label)
    if len(rows) == 1:
        return [f"Trained in {next(iter(rows))}."]
    each = "; ".join(f"{', '.join(labels)} in {name}" for name, labels in rows.items())
    return [f"Rows differ in the precision of training too: {each}."] if rows else []


def _weights(sheet: Sheet) -> list[str]:
    """Which fine-tuned weights stand in the row of the model that they come from."""
    notes = []
    for row in sheet.rows:
        names = {record.model: None for record in row.records.values()}
        others = [name for name in names if name != row.label.partition("+")[0]]
        if others and not row.group and _training(row) is None:
            notes.append(f"Row {row.label}: fine-tuned weights are those of {', '.join(others)}.")
    return notes
