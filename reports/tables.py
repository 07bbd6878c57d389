"""The paper's tables and what was measured, put together.

`reports.table(1)` has the numbers of the paper's Table 1 to compute with, `reports.published(1)`
the same as printed, and `reports.measured(1, records)` what was measured of it here.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from evals.records import Record
from reports import paper
from reports.layout import Table
from reports.measurements import comparable, long_frames, measured, measured_tables
from reports.paper import published

__all__ = ["measured", "published", "report_tables", "table"]


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


def report_tables(number: int, records: Iterable[Record], form: str = "text") -> list[Table]:
    """A table of the paper and, beneath it, tables of what was measured.

    Args:
        number: 1 to 10.
        records: from `evals.records.find`; those on samples of the data are named, not shown.
        form: "csv" has one number a column; all others have the paper's cells.

    Raises:
        UsageError: the paper has no such table.
    """
    whole, left_out = comparable(records)
    if form == "csv":
        tables = _plain_tables(number, whole)
    else:
        tables = [paper.as_printed(number), *measured_tables(number, whole)]
    if left_out and len(tables) > 1:
        last = tables[-1]
        tables[-1] = Table(last.title, last.frame, (*last.notes, *left_out))
    return tables


def _plain_tables(number: int, records: list[Record]) -> list[Table]:
    tables = [Table(paper.title(number), published(number), paper.notes(number))]
    for title, found in long_frames(number, records):
        tables.append(Table(title, found.set_index("suite").map(_plain)))
    return tables


def _plain(value: object) -> str:
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
