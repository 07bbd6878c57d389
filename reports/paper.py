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

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reports.render import Table
from unimo2.errors import UsageError

TABLES = range(1, 11)
RESULT_TABLES = (1, 2, 3, 4, 5, 10)

_FOLDER = Path(__file__).parent / "published"


def numbers(table: int) -> pd.DataFrame:
    """The tidy rows of one table, in the paper's order; every field is text.

    Raises:
        UsageError: the paper has no such table.
    """
    return _read(f"table{_checked(table):02d}.csv")


def columns(table: int) -> pd.DataFrame:
    """The columns of one table, one row a number that a cell may hold; every field is text."""
    every = _read("columns.csv")
    return every[every["table"] == str(_checked(table))].reset_index(drop=True)


def splits(table: int) -> list[str]:
    """The split that each of `numbers(table)` was measured on, "" where no benchmark measures it."""
    wanted = columns(table)
    keys = zip(wanted["column"], wanted["metric"], strict=True)
    about = dict(zip(keys, zip(wanted["benchmark"], wanted["split"], strict=True), strict=True))
    own = _own_splits(table)
    found = []
    for _, one in numbers(table).iterrows():
        benchmark, usual = about.get((one["column"], one["metric"]), ("", ""))
        first = usual.split()[0] if usual else ""
        found.append(own.get((one["row"], benchmark), first))
    return found


def title(table: int) -> str:
    """A table's number and the first sentence of the paper's caption."""
    return f"Table {table}: {caption(table)} (UNIMO-2 paper, as published)"


def caption(table: int) -> str:
    """What a table shows, without its number."""
    return str(_head(table)["title"])


def published(table: int) -> pd.DataFrame:
    """One table of the paper with the numbers as printed.

    Args:
        table: 1 to 10.

    Returns:
        Texts ("51.3", "65.11"), "-" where the paper has none. Tables of results (1-5 and 10) have
        one number a column, under (task, metric), and a row a model; the others have the paper's
        cells.

    Raises:
        UsageError: the paper has no such table.
    """
    if table in RESULT_TABLES:
        return _one_number_a_column(table)
    return as_printed(table).frame


def as_printed(table: int) -> Table:
    """One table of the paper in the paper's own layout, several numbers in a cell.

    Raises:
        UsageError: the paper has no such table.
    """
    rows, wanted = numbers(table), columns(table)
    missing = _head(table)["missing"]
    cells: dict[object, list[str]] = {}
    for _, column in wanted.groupby(wanted["position"].astype(int), sort=True):
        cells[head_of(column)] = [
            join(_values(row, column), column["separator"].iloc[0], missing)
            for _, row in rows.groupby(rows["row"].astype(int), sort=True)
        ]
    frame = pd.DataFrame(cells, index=_grouped_index(table))
    frame.columns = _columns(cells)
    return Table(title(table), frame, notes(table))


def notes(table: int) -> tuple[str, ...]:
    """What is odd about a table's numbers, a line each, naming the cells it is about."""
    rows = numbers(table)
    lines = []
    for text, about in rows[rows["note"] != ""].groupby("note", sort=False):
        labels = ", ".join(dict.fromkeys(about["row_label"]))
        places = dict.fromkeys(zip(about["column"], about["metric"], strict=True))
        where = f" {' '.join(next(iter(places)))}".rstrip() if len(places) == 1 else ""
        lines.append(f"{labels}{where}: {text}")
    return (*lines, *_split_notes(table))


def _split_notes(table: int) -> list[str]:
    """A line that names the rows whose Flickr30k figures are of the validation split."""
    chosen = [row for row, _ in _own_splits(table)]
    if not chosen:
        return []
    rows = numbers(table).drop_duplicates("row")
    labels = rows[rows["row"].isin(chosen)]["row_label"]
    every = len(labels) == len(rows)
    wanted = columns(table)
    names = dict.fromkeys(wanted[wanted["benchmark"] == "flickr"]["column"])
    rest = (
        "" if every else ", the other rows' of its test split (1,000): the paper compares the two"
    )
    return [
        f"{'All rows' if every else ', '.join(labels)}: figures of {', '.join(names)} are of "
        f"Flickr30k's validation split (1,014 images){rest}"
    ]


def _own_splits(table: int) -> dict[tuple[str, str], str]:
    """The split of rows that have one of their own, by row and benchmark."""
    every = _read("splits.csv")
    here = every[every["table"] == str(_checked(table))]
    keys = zip(here["row"], here["benchmark"], strict=True)
    return dict(zip(keys, here["split"], strict=True))


def head_of(column: pd.DataFrame) -> tuple[str, str, str]:
    """The three lines of a column's head: its group, its name, what its cells hold."""
    first = column.iloc[0]
    return first["column_group"], first["column"], first["printed"]


def join(values: list[tuple[str, str]], separator: str, missing: str) -> str:
    """Set the numbers of a cell as the paper does.

    Args:
        values: (metric, value) for each number that the cell may hold, "" for a missing value.
        separator: between the numbers; "{}" is a set, "()" sets the second in parentheses.
        missing: what stands for a missing number.
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


def _values(row: pd.DataFrame, column: pd.DataFrame) -> list[tuple[str, str]]:
    """The numbers of one cell; those that no column announces (epochs, choices) as they come."""
    here = row[row["column"] == column["column"].iloc[0]]
    if column["separator"].iloc[0] in ("{}", "; "):
        return list(zip(here["metric"], here["value"], strict=True))
    found = dict(zip(here["metric"], here["value"], strict=True))
    if list(column["metric"]) == [""]:
        return [("", found.get("", ""))]
    return [(metric, found.get(metric, "")) for metric in column["metric"]]


def _one_number_a_column(table: int) -> pd.DataFrame:
    rows, wanted = numbers(table), columns(table)
    missing, corner = _head(table)["missing"], _head(table)["corner"]
    found = {
        (row, column, metric): value
        for row, column, metric, value in zip(
            rows["row"], rows["column"], rows["metric"], rows["value"], strict=True
        )
    }
    each = rows.drop_duplicates("row")
    labels = [
        f"{group} {label}" if label.isdigit() else label  # a bare K or C says too little
        for group, label in zip(each["row_group"], each["row_label"], strict=True)
    ]
    keys = list(zip(wanted["column"], wanted["metric"], strict=True))
    data = {key: [found.get((row, *key), missing) for row in each["row"]] for key in keys}
    frame = pd.DataFrame(data, index=pd.Index(labels, name=corner))
    frame.columns = pd.MultiIndex.from_tuples(keys, names=["task", "metric"])
    return frame


def _grouped_index(table: int) -> pd.Index:
    each = numbers(table).drop_duplicates("row")
    corner = _head(table)["corner"]
    if not each["row_group"].any():
        return pd.Index(each["row_label"], name=corner)
    pairs = zip(each["row_group"], each["row_label"], strict=True)
    return pd.MultiIndex.from_tuples(pairs, names=["group", corner])


def _columns(heads: Iterable[object]) -> pd.Index:
    """Heads as a MultiIndex, without the lines that are empty in every head."""
    lines = [line for line in zip(*map(tuple, heads), strict=True) if any(line)]  # type: ignore[arg-type]
    return pd.Index(lines[0]) if len(lines) == 1 else pd.MultiIndex.from_arrays(lines)


def _head(table: int) -> pd.Series:
    heads = _read("titles.csv")
    return heads[heads["table"] == str(_checked(table))].iloc[0]


def _checked(table: int) -> int:
    if table not in TABLES:
        raise UsageError(f"the paper has no Table {table}; its tables are 1 to {TABLES[-1]}")
    return table


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(_FOLDER / name, dtype=str, keep_default_na=False)
