"""`unimo2 report`: the paper's tables with what was measured beneath them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Form(str, Enum):
    """How tables are written."""

    text = "text"
    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)


def report(
    table: Annotated[
        list[int], typer.Option(metavar="N ...", help="Numbers of the paper's tables, 1 to 10.")
    ],
    form: Annotated[Form, typer.Option("--format", help="How to write them.")] = Form.text,
    runs: Annotated[Path, typer.Option(help="Folder of runs whose records are shown.")] = Path(
        "runs"
    ),
    output: Annotated[
        Path | None, typer.Option(help="File to write to; the terminal if left out.")
    ] = None,
) -> None:
    """Show tables of the paper and, beneath each, what was measured.

    Measured are the runs in the runs folder and those that come with the package. They stand in
    tables of their own, one for each suite and data set.
    """
    from evals import records
    from reports.render import render
    from reports.tables import report_tables
    from unimo2.files import write_text

    found = records.find([records.MEASURED, runs])
    tables = [item for number in table for item in report_tables(number, found, form.value)]
    text = render(tables, form.value)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, text)
        typer.echo(f"wrote {output}", err=True)
