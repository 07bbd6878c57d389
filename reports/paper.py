"""The paper's Tables 1 to 10 as pandas DataFrames.

Li et al., "UNIMO-2: End-to-End Unified Vision-Language Grounded Learning", Findings of ACL 2022.
Every number is one row of `published/tableNN.csv`, as text with the printed precision:

    table, row        which table, and which of its rows from the top
    row_group, row_label, column, metric    where the number stands
    value             as printed
    bold              "yes" where our text of the paper still shows the number in bold
    note              what is odd about it

`published/columns.csv` has the columns in the paper's order, how the paper prints several numbers
in one cell, and which metric of which benchmark, split (or splits) and setting measures the same.
The first split is that of the paper's numbers, but for the rows of `published/splits.csv`, which has
the split of their own: the paper's own models were measured on Flickr30k's validation split (their
figures are fractions of its 1,014 images and 5,070 captions), all other systems on its test split.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from reports.render import Grid, Head, Table
from unimo2.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

CsvRow = dict[str, str]
"""One row of a file, by column."""

_FOLDER = Path(__file__).parent / "published"


@cache
def _read(name: str) -> tuple[CsvRow, ...]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


TABLES = tuple(int(one["table"]) for one in _read("titles.csv"))
# Those of results; the paper's others tell of data and settings.
RESULT_TABLES = tuple(
    dict.fromkeys(int(one["table"]) for one in _read("columns.csv") if one["benchmark"])
)


def number_rows(table: int) -> tuple[CsvRow, ...]:
    """The tidy rows of one table, in the paper's order.

    Raises:
        UsageError: The paper has no such table.
    """
    return _read(f"table{_checked(table):02d}.csv")


def column_rows(table: int) -> tuple[CsvRow, ...]:
    """The columns of one table, one row a number that a cell may hold."""
    return _of_table("columns.csv", table)


def numbers(table: int) -> pd.DataFrame:
    """`number_rows` as a frame; every field is text."""
    import pandas as pd

    return pd.DataFrame(number_rows(table))


def columns(table: int) -> pd.DataFrame:
    """`column_rows` as a frame; every field is text."""
    import pandas as pd

    return pd.DataFrame(column_rows(table))


def printed_columns(table: int) -> Iterator[list[CsvRow]]:
    """The columns as they are printed: the numbers of each, in order."""
    every = sorted(column_rows(table), key=lambda one: int(one["position"]))
    for _, members in groupby(every, key=lambda one: int(one["position"])):
        yield list(members)


def splits(table: int) -> list[str]:
    """The split that each of the numbers was measured on, "" where no benchmark measures it."""
    about = {(one["column"], one["metric"]): one for one in column_rows(table)}
    own = _own_splits(table)
    found = []
    for one in number_rows(table):
        column = about.get((one["column"], one["metric"]), {})
        first = column.get("split", "").partition(" ")[0]
        found.append(own.get((one["row"], column.get("benchmark", "")), first))
    return found


def title(table: int) -> str:
    """A table's number and the first sentence of the paper's caption."""
    return f"Table {table}: {caption(table)} ({_head(table)['source']}, as published)"


def caption(table: int) -> str:
    """What a table shows, without its number."""
    return _head(table)["title"]


def one_number_per_column(table: int) -> Grid:
    """One table with a row per model and a number per column, under (task, metric).

    Texts as printed ("51.3", "65.11"), "-" where the paper has none. Only tables of results (1-5
    and 10) have such a form; the others are given as printed.

    Raises:
        UsageError: The paper has no such table.
    """
    if table not in RESULT_TABLES:
        return as_printed(table).grid
    missing = _head(table)["missing"]
    rows = number_rows(table)
    found = {(one["row"], one["column"], one["metric"]): one["value"] for one in rows}
    each = _first_rows(rows)
    labels = [
        # A bare K or C says too little.
        f"{one['row_group']} {one['row_label']}" if one["row_label"].isdigit() else one["row_label"]
        for one in each
    ]
    heads = [(one["column"], one["metric"]) for one in column_rows(table)]
    cells = [[found.get((one["row"], *head), missing) for head in heads] for one in each]
    return Grid(_head(table)["corner"], heads, [("", label) for label in labels], cells)


def published(table: int) -> pd.DataFrame:
    """`one_number_per_column` as a frame of texts.

    Raises:
        UsageError: The paper has no such table.
    """
    frame = one_number_per_column(table).frame()
    if table in RESULT_TABLES:
        frame.columns = frame.columns.set_names(["task", "metric"])
    return frame


def as_printed(table: int) -> Table:
    """One table of the paper in the paper's own layout, several numbers in a cell.

    Raises:
        UsageError: The paper has no such table.
    """
    rows = sorted(number_rows(table), key=lambda one: int(one["row"]))
    missing = _head(table)["missing"]
    every = list(printed_columns(table))
    by_row = [list(members) for _, members in groupby(rows, key=lambda one: one["row"])]
    cells = [
        [join(_values(row, column), column[0]["separator"], missing) for column in every]
        for row in by_row
    ]
    labels = [(row[0]["row_group"], row[0]["row_label"]) for row in by_row]
    heads = _without_empty_lines([head_of(column) for column in every])
    return Table(title(table), Grid(_head(table)["corner"], heads, labels, cells), notes(table))


def notes(table: int) -> tuple[str, ...]:
    """What is odd about a table's numbers, a line each, naming the cells it is about."""
    found: dict[str, list[CsvRow]] = {}
    for one in number_rows(table):
        if one["note"]:
            found.setdefault(one["note"], []).append(one)
    lines = []
    for text, about in found.items():
        labels = ", ".join(dict.fromkeys(one["row_label"] for one in about))
        places = {(one["column"], one["metric"]): None for one in about}
        where = f" {' '.join(next(iter(places)))}".rstrip() if len(places) == 1 else ""
        lines.append(f"{labels}{where}: {text}")
    return (*lines, *_split_notes(table))


def _split_notes(table: int) -> list[str]:
    """A line that names the rows whose Flickr30k figures are of the validation split."""
    chosen = {row for row, _ in _own_splits(table)}
    if not chosen:
        return []
    rows = _first_rows(number_rows(table))
    labels = [one["row_label"] for one in rows if one["row"] in chosen]
    every = len(labels) == len(rows)
    names = {one["column"]: None for one in column_rows(table) if one["benchmark"] == "flickr"}
    rest = (
        "" if every else ", the other rows' of its test split (1,000): the paper compares the two"
    )
    return [
        f"{'All rows' if every else ', '.join(labels)}: figures of {', '.join(names)} are of "
        f"Flickr30k's validation split (1,014 images){rest}"
    ]


def _own_splits(table: int) -> dict[tuple[str, str], str]:
    """The split of rows that have one of their own, by row and benchmark."""
    return {(o["row"], o["benchmark"]): o["split"] for o in _of_table("splits.csv", table)}


def head_of(column: Sequence[CsvRow]) -> tuple[str, str, str]:
    """The three lines of a printed column's head: its group, its name, what its cells hold."""
    return column[0]["column_group"], column[0]["column"], column[0]["printed"]


def join(values: list[tuple[str, str]], separator: str, missing: str) -> str:
    """Set the numbers of a cell as the paper does.

    Args:
        values: (metric, value) for each number that the cell may hold, "" for a missing value.
        separator: between the numbers; "{}" is a set, "()" sets the second in parentheses.
        missing: Placeholder for a missing number.
    """
    texts = [value for _, value in values]
    if not any(texts):
        return missing
    if separator == "{}":
        return texts[0] if len(texts) == 1 else f"{{{', '.join(texts)}}}"
    if separator == "()":
        return texts[0] + (f"({texts[1]})" if texts[1] else "")
    if separator == "; ":
        return "; ".join(f"{value} for {name}" if name else value for name, value in values)
    return separator.join(text or missing for text in texts)


def _values(row: Sequence[CsvRow], column: Sequence[CsvRow]) -> list[tuple[str, str]]:
    """The numbers of one cell; those that no column announces (epochs, choices) as they come."""
    here = [(one["metric"], one["value"]) for one in row if one["column"] == column[0]["column"]]
    if column[0]["separator"] in ("{}", "; "):
        return here
    found = dict(here)
    if [one["metric"] for one in column] == [""]:
        return [("", found.get("", ""))]
    return [(one["metric"], found.get(one["metric"], "")) for one in column]


def _first_rows(rows: Iterable[CsvRow]) -> list[CsvRow]:
    """The first of the numbers of each printed row."""
    found: dict[str, CsvRow] = {}
    for one in rows:
        found.setdefault(one["row"], one)
    return list(found.values())


def _without_empty_lines(heads: Sequence[tuple[str, ...]]) -> list[Head]:
    """Heads without the lines that are empty in every head."""
    kept = [line for line in zip(*heads, strict=True) if any(line)]
    return list(kept[0]) if len(kept) == 1 else list(zip(*kept, strict=True))


def _head(table: int) -> CsvRow:
    return _of_table("titles.csv", table)[0]


def _checked(table: int) -> int:
    if table not in TABLES:
        known = f"{TABLES[0]} to {TABLES[-1]}"
        raise UsageError(f"the paper has no Table {table}; its tables are {known}")
    return table


def _of_table(name: str, table: int) -> tuple[CsvRow, ...]:
    number = str(_checked(table))
    return tuple(one for one in _read(name) if one["table"] == number)
