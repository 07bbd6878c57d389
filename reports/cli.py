"""`unimo2 report`, `ablate` and `compare`: the paper's tables and measured results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.guard import Excludes, Needs, OneOf
from unimo2.cli.options import (
    AsJson,
    DataRoot,
    SuiteName,
    TrainingDevice,
    find_data_root,
    offering,
    recipes,
)
from unimo2.console import json_text, print_json, say, terminal_width
from unimo2.files import PathUse
from zoo.cli import model_names

if TYPE_CHECKING:
    from evals.ablation import AblationRow, Planned, Study
    from evals.datasets.suites import Suite
    from evals.records import Record
    from reports.levels import Levels
    from unimo2.training.recipes import Recipe

_TABLES = (4, 5)
_FIGURES = ("k-sweep", "c-sweep", "without", "retrieval", "training", "dictionary")
_RECIPE, _CORPORA_RECIPE = "ablation", "ablation-corpora"
_RERANK = 64  # a quarter of the pairs of 300 images and 1,500 captions


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
    app.command("ablate", epilog="Example: unimo2 ablate --k 10 20 --dry-run")(ablate)
    example = "Example: unimo2 compare runs/mini/flickr/a runs/mini/flickr/b"
    app.command("compare", epilog=example)(compare)


def ablate(
    k: Annotated[
        list[int] | None,
        typer.Option(
            "--k", metavar="K ...", min=1, help="Add rows with these numbers of grounded tokens."
        ),
    ] = None,
    c: Annotated[
        list[int] | None,
        typer.Option("--c", metavar="C ...", min=1, help="Add rows with these dictionary sizes."),
    ] = None,
    one_to_one: Annotated[
        bool, typer.Option("--one-to-one", help="Add a row that maps every token to its nearest.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART ...",
            help="Add rows without gd, gd-inference, gt, text, images or both; and the full one.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Add a row for the unchanged recipe, to compare with.")
    ] = False,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps per row; the recipe's by default.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help=f"Recipe shared by all rows: a name or a TOML file. If left out {_RECIPE}; "
            f"{_CORPORA_RECIPE} for --without, if that names text, images or both.",
            autocompletion=offering(recipes),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed for weights, order, masks and dropout; the recipe's by default."
        ),
    ] = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Evaluate only the first N images of the split.")
    ] = None,
    rerank: Annotated[
        int,
        typer.Option(
            metavar="K",
            min=0,
            help="Fuse the K best pairs of each query by contrastive score; 0: every pair.",
        ),
    ] = _RERANK,
    device: TrainingDevice = "auto",
    output: Annotated[Path, typer.Option(help="Folder for runs."), PathUse.WRITES_FOLDER] = Path(
        "runs"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and its cost, and stop.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Folder to copy the rows' records to, laid out as evals/measured."),
        PathUse.WRITES_FOLDER,
        Excludes("dry_run"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate variants of one recipe for the same number of steps.

    Rows that are done are not trained again, whether they lie in the runs folder or come with the
    package; an interrupted one resumes where it stopped.
    """
    from evals import ablation
    from evals.ablation.plan import Estimator
    from evals.datasets import suites

    root = find_data_root(data_root, suite)
    data = suites.resolve(suite, root, needs=None)
    study = ablation.Study(data, output, device, limit, rerank or None)
    pick = partial(_recipe, budget=budget, seed=seed)
    rows = _rows(study.suite, pick, config, k or [], c or [], one_to_one, without or [], full)
    plan = ablation.make_plan(study, rows, Estimator(study.rerank))
    if not as_json:
        say(_plan_text(study, plan))
    found = [] if dry_run else _run(study, plan, quiet=as_json)
    if as_json:
        print_json(_as_json(plan, found))
    elif not dry_run:
        say(_table_text(found))
    if export is not None and not dry_run:
        from evals.ablation.running import export as copied

        for path in copied(found, export):
            say(f"wrote {path}", err=True)


def _rows(
    suite: Suite,
    pick: Callable[[str], Recipe],
    config: str | None,
    tokens: Sequence[int],
    sizes: Sequence[int],
    one_to_one: bool,
    without: Sequence[str],
    full: bool,
) -> list[AblationRow]:
    """The rows that were asked for; two recipes where one that was not named has too few corpora."""
    from evals.ablation import make_rows
    from evals.ablation.rows import CORPORA

    if config is not None or CORPORA.isdisjoint(without):
        recipe = pick(config or _RECIPE)
        return make_rows(recipe, suite, tokens, sizes, one_to_one, without, full)
    rows: list[AblationRow] = []
    if tokens or sizes or one_to_one:
        rows = make_rows(pick(_RECIPE), suite, tokens, sizes, one_to_one, full=full)
    return rows + make_rows(pick(_CORPORA_RECIPE), suite, without=without)


def _recipe(config: str, budget: int | None, seed: int | None) -> Recipe:
    from unimo2.training.recipes import load_recipe, override

    changes = {"steps": budget, "seed": seed}
    given = [f"{name}={value}" for name, value in changes.items() if value is not None]
    return override(load_recipe(config), given)


def _run(study: Study, plan: Sequence[Planned], quiet: bool) -> list[Record]:
    """Run the rows that are not done, with bars on a terminal."""
    from contextlib import nullcontext

    from evals.ablation.running import evaluator, run, trainer
    from unimo2.console import showing
    from unimo2.training.logging import TrainingBar

    def announce(planned: Planned) -> None:
        if not quiet:
            say(f"row {planned.row.variant}: {planned.state}", err=True)

    return run(
        study,
        plan,
        trainer(study, (lambda: nullcontext(None)) if quiet else TrainingBar),
        evaluator(study, lambda: showing(quiet)),
        announce,
    )


def _plan_text(study: Study, plan: Sequence[Planned]) -> str:
    """The plan as a table, with its protocol and its cost in the last lines."""
    import pandas as pd

    from reports.render import Table, to_text

    lines = [
        {
            "K": _when(planned.row.training, "K"),
            "C": _when(planned.row.training, "C"),
            "steps": f"{planned.row.training['budget']:,}",
            "state": planned.state,
            "training": _time(planned, planned.train_seconds),
            "evaluation": _time(planned, planned.evaluate_seconds),
        }
        for planned in plan
    ]
    frame = pd.DataFrame(lines, index=pd.Index([p.row.variant for p in plan], name="row"))
    recipes = list(dict.fromkeys(planned.row.shared.name for planned in plan))
    if len(recipes) > 1:
        frame.insert(0, "recipe", [planned.row.shared.name for planned in plan])
    names = "', '".join(recipes)
    title = f"Ablation of the recipe{'s' if len(recipes) > 1 else ''} '{names}'"
    return to_text(Table(title, frame, (_protocol(study), _cost(plan))))


def _protocol(study: Study) -> str:
    """Protocol of the rows' evaluation."""
    if study.rerank is None:
        return "Evaluated zero-shot on Flickr30k, every image with every caption."
    return (
        f"Evaluated zero-shot on Flickr30k: the {study.rerank} best pairs of each query by "
        "contrastive score are fused (--rerank 0 fuses every pair)."
    )


def _when(training: Mapping[str, Any], field: str) -> str:
    """K or C of a row; "-" where it has no dictionary."""
    if training["grounding"] == "none":
        return "-"
    whole = field == "K" and training["grounding"] == "nearest"
    return "each token" if whole else str(training[field])


def _time(planned: Planned, seconds: float | None) -> str:
    from unimo2.console import duration

    if planned.state == "done":
        return "-"
    return "not known" if seconds is None else f"about {duration(seconds)}"


def _cost(plan: Sequence[Planned]) -> str:
    from unimo2.console import duration

    left = [planned for planned in plan if planned.state != "done"]
    if not left:
        return "All rows are done."
    seconds = _seconds(plan)
    bases = ", ".join(dict.fromkeys(planned.basis for planned in left))
    return (
        f"{len(left)} of {len(plan)} rows remain, about {duration(seconds)} "
        f"(estimated from {bases})."
    )


def _seconds(plan: Sequence[Planned]) -> float:
    """Remaining rows, with an estimate where possible."""
    return sum((p.train_seconds or 0.0) + (p.evaluate_seconds or 0.0) for p in plan)


def _table_text(done: Sequence[Record]) -> str:
    from reports.render import render
    from reports.selection import arrange
    from reports.tables import measured_tables

    tables = [
        t for number in _TABLES if arrange(number, done)[0] for t in measured_tables(number, done)
    ]
    return render(tables, "text")


def _as_json(plan: Sequence[Planned], done: Sequence[Record]) -> dict[str, Any]:
    """The plan and, once the rows are done, the results."""
    from dataclasses import asdict

    rows: list[dict[str, Any]] = []
    for place, planned in enumerate(plan):
        training = planned.row.training
        record = done[place] if done else planned.record
        metrics = {} if record is None else record.metrics
        rows.append(
            {
                "variant": planned.row.variant,
                "without": planned.row.without,
                **{
                    key: training[key]
                    for key in ("recipe", "K", "C", "grounding", "budget", "seed")
                },
                "state": "done" if done else planned.state,
                "train_seconds": planned.train_seconds,
                "evaluate_seconds": planned.evaluate_seconds,
                "basis": planned.basis,
                "record": None if record is None else str(record.path),
                "metrics": {name: asdict(metric) for name, metric in metrics.items()},
            }
        )
    return {"rows": rows, "seconds": _seconds(plan)}


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
