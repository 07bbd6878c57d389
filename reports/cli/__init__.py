"""`unimo2 report` and `compare`: the paper's tables and measured results."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.guard import Excludes, Needs, OneOf
from unimo2.cli.options import AsJson, offering
from unimo2.console import json_text, say, terminal_width
from unimo2.files import PathUse
from zoo.cli import model_names

if TYPE_CHECKING:
    from evals.records import Record
    from reports.levels import Levels

_FIGURES = ("k-sweep", "c-sweep", "without", "retrieval", "training", "dictionary")


class TableFormat(str, Enum):
    """Formats of tables."""

    text = "text"
    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("report", epilog="Example: unimo2 report --table 1 4 --format md")(report)
    example = "Example: unimo2 compare runs/mini/flickr/a runs/mini/flickr/b"
    app.command("compare", epilog=example)(compare)


def report(
    table: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N ...",
            min=1,
            max=10,
            autocompletion=offering([str(number) for number in range(1, 11)]),
            help="Numbers of the paper's tables, 1 to 10; if left out, list what there is.",
        ),
        Excludes("html", "figure", "card"),
    ] = None,
    form: Annotated[
        TableFormat,
        typer.Option("--format", help="Output format."),
        Excludes("html", "figure", "card"),
    ] = TableFormat.text,
    runs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of runs whose records are shown; 'runs' by default, if it exists."
        ),
        PathUse.READS_FOLDER,
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the mini suite, for its upper bounds and baselines; by default its "
            "usual place. With --html also of real data, for texts and images of runs on it."
        ),
        PathUse.READS_FOLDER,
        Excludes("figure", "card"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File to write to; the terminal if left out."),
        PathUse.WRITES_FILE,
        Excludes("html"),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Folder to write the report site to; it opens offline."),
        PathUse.WRITES_FOLDER,
        Excludes("figure", "card"),
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option(
            help="Draw k-sweep, c-sweep, without, retrieval, training or dictionary to --output, "
            "a file in .svg, .pdf or .png.",
            autocompletion=offering(_FIGURES),
        ),
        OneOf(*_FIGURES),
        Needs("output"),
        Excludes("card"),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--embed-images/--no-images",
            help="Images on the site: thumbnails of every data set, or references to their files; "
            "by default thumbnails of the mini suite only.",
        ),
        Needs("html"),
    ] = None,
    dictionary: Annotated[
        str | None,
        typer.Option(help="Model whose grounded dictionary the site shows (takes a minute)."),
        Needs("html"),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--watch", help="With --html: rewrite the site after each change, until Ctrl-C."
        ),
        Needs("html"),
    ] = False,
    card: Annotated[
        str | None,
        typer.Option(
            "--model-card",
            metavar="MODEL",
            autocompletion=offering(model_names),
            help="Write a model's card for the Hugging Face hub, with its results.",
        ),
    ] = None,
) -> None:
    """Show the paper's tables, each with the measured results below it.

    Measured are the runs in the runs folder and those that come with the package. Numbers of other
    suites, data sets or protocols never share a column. Without --table: one line for each record,
    and which tables there are. --html writes a site with tables, figures, runs and their items.
    """
    from reports.selection import gather
    from unimo2.errors import UsageError

    if follow and html is None:
        raise UsageError("--watch needs --html, the folder of the site")
    if html is not None:
        _site(html, runs, data_root, images, dictionary, follow)
        return
    if figure is not None:
        _figure(figure, runs, output)
        return
    found = gather(runs)
    if card is not None:
        from reports.model_card import model_card

        text = model_card(card, found)
    elif table:
        text = _tables(table, found, form, _levels(data_root, found), _width(output))
    else:
        text = _listing(found, form, _width(output))
    _write(text, output)


def _width(output: Path | None) -> int | None:
    """Columns of the terminal; None for a file or a pipe."""
    return terminal_width() if output is None else None


def _write(text: str, output: Path | None) -> None:
    """Print a document, or write it to a file."""
    from reports.render import save

    if output is None:
        say(text.removesuffix("\n"))
    else:
        save(text, output)
        say(f"wrote {output}", err=True)


def _site(
    folder: Path,
    runs: Path | None,
    data_root: Path | None,
    images: bool | None,
    dictionary: str | None,
    follow: bool,
) -> None:
    from reports.selection import RUNS
    from reports.site import Built, SiteRequest, build
    from reports.watching import watch
    from unimo2.console import announce, showing

    def written(found: Built, seconds: float | None = None) -> None:
        left_out = f", {found.left_out:,} left out by the budget" if found.left_out else ""
        took = "" if seconds is None else f" in {seconds:.1f} s"
        announce(
            f"wrote {found.index}{took} ({found.pages:,} pages, {found.pictures:,} "
            f"images{left_out}, {found.size / 1e6:.1f} MB)"
        )

    how = {None: "suite", True: "all", False: "none"}[images]
    request = SiteRequest(runs, data_root, how, dictionary)
    with showing():
        if follow:
            announce(
                f"watching {runs or RUNS}: {folder} is written again after each change; reload "
                "its pages in the browser; Ctrl-C stops"
            )
            watch(folder, request, written)
        found = build(folder, request, announce)
    written(found)


def _figure(name: str, runs: Path | None, output: Path | None) -> None:
    from reports.figures import figure
    from unimo2.errors import UsageError

    if output is None:
        raise UsageError("--figure needs --output, a file in .svg, .pdf or .png")
    figure(name, runs=runs).save(output)
    say(f"wrote {output}", err=True)


def _tables(
    numbers: Sequence[int],
    found: Sequence[Record],
    form: TableFormat,
    levels: Levels | None,
    width: int | None,
) -> str:
    from reports.render import render
    from reports.tables import report_json, report_tables

    if form is TableFormat.json:
        return _json([report_json(number, found, levels) for number in numbers])
    tables = [one for number in numbers for one in report_tables(number, found, form.value, levels)]
    return render(tables, form.value, width)


def _listing(found: Sequence[Record], form: TableFormat, width: int | None) -> str:
    from reports.listing import listing, record_lines, table_lines
    from reports.render import render

    if form is TableFormat.json:
        return _json({"records": record_lines(found), "tables": table_lines(found)})
    return render(listing(found, form.value), form.value, width)


def _levels(data_root: Path | None, found: Sequence[Record]) -> Levels | None:
    """Upper bounds and baselines of the mini suite, if it exists and was measured on."""
    from evals.datasets.suites import MINI
    from evals.suite_mini import default_root
    from reports.levels import Levels
    from unimo2.errors import MissingData

    def tell(line: str) -> None:
        say(line, err=True)

    if data_root is not None:
        levels = Levels.at(data_root, tell)
        if levels is None:
            raise MissingData(f"--data-root {data_root}: no mini suite found there")
        return levels
    return Levels.at(default_root(), tell) if any(one.suite == MINI for one in found) else None


def _json(content: object) -> str:
    return json_text(content) + "\n"


def compare(
    run_a: Annotated[
        Path, typer.Argument(help="Run folder, or a model's folder of runs."), PathUse.READS
    ],
    run_b: Annotated[
        Path, typer.Argument(help="Likewise; the difference is B - A."), PathUse.READS
    ],
    part_a: Annotated[
        str | None,
        typer.Option(help="Use only one part of A's score: itm or contrastive."),
        OneOf("itm", "contrastive"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed for the bootstrap and the permutation test.", min=0)
    ] = 0,
    form: Annotated[
        TableFormat, typer.Option("--format", help="Output format.")
    ] = TableFormat.text,
    output: Annotated[
        Path | None,
        typer.Option(help="File to write to; the terminal if left out."),
        PathUse.WRITES_FILE,
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs item by item: differences of all metrics with intervals and p-values."""
    from evals.compare import compare as compare_runs
    from reports.comparison import comparison_json, comparison_table
    from reports.render import render
    from unimo2.console import showing, stage

    as_json = as_json or form is TableFormat.json
    with showing(quiet=as_json), stage("comparing item by item"):
        found = compare_runs(run_a, run_b, seed, part_a)
    if as_json:
        text = _json(comparison_json(found))
    else:
        text = render([comparison_table(found)], form.value, _width(output))
    _write(text, output)
