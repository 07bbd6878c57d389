"""`unimo2 report`: the paper's tables with what was measured beneath them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evals.records import Record
    from reports.levels import Levels


class Form(str, Enum):
    """How tables are written."""

    text = "text"
    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)


def report(
    table: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N ...", help="Numbers of the paper's tables, 1 to 10; without, what there is."
        ),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How to write them.")] = Form.text,
    runs: Annotated[Path, typer.Option(help="Folder of runs whose records are shown.")] = Path(
        "runs"
    ),
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Where the mini suite lies, for its ceilings and floors; by default its own place."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write to; the terminal if left out.")
    ] = None,
) -> None:
    """Show tables of the paper and, beneath each, what was measured.

    Measured are the runs in the runs folder and those that come with the package. Numbers of other
    suites, data sets or protocols never share a column. Without --table: one line for each record,
    and which tables there are.
    """
    from evals import records
    from unimo2.files import write_text

    found = records.find([records.MEASURED, runs])
    if table:
        text = _tables(table, found, form, _levels(data_root, found))
    else:
        text = _listing(found, form)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, text)
        typer.echo(f"wrote {output}", err=True)


def _tables(
    numbers: Sequence[int], found: Sequence[Record], form: Form, levels: Levels | None
) -> str:
    from reports.render import render
    from reports.tables import report_json, report_tables

    if form is Form.json:
        return _json([report_json(number, found, levels) for number in numbers])
    tables = [one for number in numbers for one in report_tables(number, found, form.value, levels)]
    return render(tables, form.value)


def _listing(found: Sequence[Record], form: Form) -> str:
    from reports.listing import listing, record_lines, table_lines
    from reports.render import render

    if form is Form.json:
        return _json({"records": record_lines(found), "tables": table_lines(found)})
    return render(listing(found, form.value), form.value)


def _levels(data_root: Path | None, found: Sequence[Record]) -> Levels | None:
    """Ceilings and floors of the mini suite, if it is there and something was measured on it."""
    from evals.suite_mini import default_root
    from evals.suites import MINI
    from reports.levels import Levels
    from unimo2.errors import MissingData

    if data_root is not None:
        levels = Levels.at(data_root)
        if levels is None:
            raise MissingData(f"--data-root {data_root}: no mini suite is there")
        return levels
    return Levels.at(default_root()) if any(one.suite == MINI for one in found) else None


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
