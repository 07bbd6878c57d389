"""The paper's tables and what was measured, put together.

`reports.table(1)` has the numbers of the paper's Table 1 to compute with, `reports.published(1)`
the same as printed, and `reports.measured(1, records)` what was measured of it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from evals.records import Record
from reports import paper
from reports.arranging import arrange, records_of
from reports.levels import Levels
from reports.measurements import comparable, long_frames, measured, measured_tables
from reports.paper import published
from reports.render import Table

__all__ = ["measured", "published", "report_json", "report_tables", "table"]


def table(number: int) -> pd.DataFrame:
    """One table of the paper.

    Args:
        number: 1 to 10.

    Returns:
        For tables of results (1-5 and 10) numbers to compute with, one a column under
        (task, metric) and a row a model, NaN where the paper has none; for the others the texts
        of `published`.

    Raises:
        UsageError: the paper has no such table.
    """
    frame = published(number)
    if number not in paper.RESULT_TABLES:
        return frame
    return frame.apply(lambda column: pd.to_numeric(column.where(column != "-")))


def report_tables(
    number: int,
    records: Iterable[Record],
    form: str = "text",
    levels: Levels | None = None,
) -> list[Table]:
    """A table of the paper and, beneath it, tables of what was measured.

    Args:
        number: 1 to 10.
        records: from `evals.records.find`; those on samples of the data are named, not shown.
        form: "csv" has one number a column; all others have the paper's cells.
        levels: of the embedded suite on disk, whose ceilings and floors stand beneath.

    Raises:
        UsageError: the paper has no such table.
    """
    whole, left_out = _whole(number, records)
    if form == "csv":
        tables = _plain_tables(number, whole, levels)
    else:
        tables = [paper.as_printed(number), *measured_tables(number, whole, levels)]
    if left_out and len(tables) > 1:
        last = tables[-1]
        tables[-1] = Table(last.title, last.frame, (*last.notes, *left_out))
    return tables


def report_json(
    number: int, records: Iterable[Record], levels: Levels | None = None
) -> dict[str, Any]:
    """The same as plain values: `{"table", "title", "notes", "published", "measured", "left_out"}`.

    Published numbers are texts with the printed precision and the split that they are of; measured ones are the records', with
    the columns of `measured`.

    Raises:
        UsageError: the paper has no such table.
    """
    whole, left_out = _whole(number, records)
    kept = ["row_group", "row_label", "column", "metric", "value", "split"]
    numbers = paper.numbers(number).assign(split=paper.splits(number))
    return {
        "table": number,
        "title": paper.title(number),
        "notes": list(paper.notes(number)),
        "published": numbers[kept].to_dict("records"),
        "measured": [
            {name: _json_value(value) for name, value in line.items()}
            for _, frame in long_frames(number, whole, levels)
            for line in frame.to_dict("records")
        ],
        "left_out": [*left_out, *arrange(number, whole)[1]],
    }


def _whole(number: int, records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """A table's records on whole splits, and a line for each on a sample."""
    return comparable(records_of(number, records))


def _plain_tables(number: int, records: list[Record], levels: Levels | None) -> list[Table]:
    tables = [Table(paper.title(number), published(number), paper.notes(number))]
    for title, found in long_frames(number, records, levels):
        tables.append(Table(title, found.set_index("suite").map(_plain)))
    if len(tables) > 1:
        last = tables[-1]
        tables[-1] = Table(last.title, last.frame, tuple(arrange(number, records)[1]))
    return tables


def _is_missing(value: object) -> bool:
    return value is None or value != value  # NaN is not equal to itself


def _plain(value: object) -> str:
    if _is_missing(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _json_value(value: object) -> object:
    """A frame's value as JSON has it."""
    if _is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
