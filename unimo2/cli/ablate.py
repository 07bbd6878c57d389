"""`unimo2 ablate`: the same training with one thing changed, a row each (paper, Table 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimo2.cli.data_root import VARIABLE, find_data_root

if TYPE_CHECKING:
    from evals.ablation import Planned, Study
    from evals.records import Record
    from unimo2.recipes import Recipe

_TABLE = 5


class Device(str, Enum):
    """Where rows are trained and evaluated."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ablate")(ablate)


def ablate(
    k: Annotated[
        list[int] | None,
        typer.Option("--k", metavar="K ...", help="Rows with these numbers of grounded tokens."),
    ] = None,
    c: Annotated[
        list[int] | None,
        typer.Option("--c", metavar="C ...", help="Rows with these sizes of the dictionary."),
    ] = None,
    one_to_one: Annotated[
        bool, typer.Option("--one-to-one", help="A row that maps every token to its nearest.")
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps of each row; the recipe's if not given."),
    ] = None,
    config: Annotated[
        str, typer.Option(help="The recipe that all rows share: a name or a TOML file.")
    ] = "ablation",
    seed: Annotated[
        int | None,
        typer.Option(help="Of weights, order, masks and dropout; the recipe's if not given."),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help=f"Folder of data sets; {VARIABLE} or the mini suite if left out."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="mini or paper; by default what the data root holds.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Evaluate on the first images of the split only.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train and evaluate.")] = Device.auto,
    output: Annotated[Path, typer.Option(help="The runs folder.")] = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and its cost, do nothing.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Folder to copy the rows' records to, as in evals/measured."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Train and evaluate variants of one recipe for the same number of steps.

    Rows that are done are not trained again, whether they lie in the runs folder or come with the
    package; an interrupted one goes on where it stopped.
    """
    from evals import ablation, suites
    from evals.ablation.cost import Estimator

    root = find_data_root(data_root, suite)
    recipe = _recipe(config, budget, seed)
    study = ablation.Study(suites.resolve(suite, root), output, device.value, limit)
    rows = ablation.make_rows(recipe, study.suite, k or (), c or (), one_to_one)
    plan = ablation.make_plan(study, rows, Estimator())
    if not as_json:
        typer.echo(_plan_text(recipe, plan))
    found = [] if dry_run else _run(study, plan, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(_as_json(plan, found), indent=2))
    elif not dry_run:
        typer.echo(_table_text(found))
    if export is not None and not dry_run:
        for path in ablation.export(found, export):
            typer.echo(f"wrote {path}", err=True)


def _recipe(config: str, budget: int | None, seed: int | None) -> Recipe:
    from unimo2.recipes import load_recipe, override

    changes = {"steps": budget, "seed": seed}
    given = [f"{name}={value}" for name, value in changes.items() if value is not None]
    return override(load_recipe(config), given)


def _run(study: Study, plan: Sequence[Planned], quiet: bool) -> list[Record]:
    """Do the rows that are not done, with bars on a terminal."""
    from contextlib import nullcontext

    from rich.console import Console
    from transformers.utils.logging import disable_progress_bar

    from evals import ablation
    from evals.ablation.steps import evaluator, trainer
    from evals.progress import shown
    from unimo2.progress import TrainingBar

    disable_progress_bar()  # of reading weights: an instant

    def announce(planned: Planned) -> None:
        if not quiet:
            typer.echo(f"row {planned.row.variant}: {planned.state}", err=True)

    return ablation.run(
        study,
        plan,
        trainer(study, (lambda: nullcontext(None)) if quiet else TrainingBar),
        evaluator(study, lambda: shown(Console(stderr=True), quiet)),
        announce,
    )


def _plan_text(recipe: Recipe, plan: Sequence[Planned]) -> str:
    """The plan as a table, with its cost in the last line."""
    import pandas as pd

    from reports.layout import Table
    from reports.render import to_text

    rows = {
        planned.row.variant: {
            "K": _when(planned.row.training, "topk", "K"),
            "C": str(planned.row.training["C"]),
            "steps": f"{planned.row.training['budget']:,}",
            "state": planned.state,
            "training": _time(planned, planned.train_seconds),
            "evaluation": _time(planned, planned.evaluate_seconds),
        }
        for planned in plan
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("row")
    return to_text(Table(f"Ablation of the recipe '{recipe.name}'", frame, (_cost(plan),)))


def _when(training: Mapping[str, Any], grounding: str, field: str) -> str:
    return str(training[field]) if training["grounding"] == grounding else "each token"


def _time(planned: Planned, seconds: float | None) -> str:
    from evals.progress import duration

    if planned.state == "done":
        return "-"
    return "not known" if seconds is None else f"about {duration(seconds)}"


def _cost(plan: Sequence[Planned]) -> str:
    from evals.progress import duration

    left = [planned for planned in plan if planned.state != "done"]
    if not left:
        return "Every row is done."
    seconds = _seconds(plan)
    bases = ", ".join(dict.fromkeys(planned.basis for planned in left))
    return (
        f"{len(left)} of {len(plan)} rows are to be done, about {duration(seconds)} "
        f"(estimated from {bases})."
    )


def _seconds(plan: Sequence[Planned]) -> float:
    """What is left to do, as far as it can be estimated."""
    return sum((p.train_seconds or 0.0) + (p.evaluate_seconds or 0.0) for p in plan)


def _table_text(done: Sequence[Record]) -> str:
    from reports.measurements import measured_tables
    from reports.render import render

    return render(measured_tables(_TABLE, done), "text")


def _as_json(plan: Sequence[Planned], done: Sequence[Record]) -> dict[str, Any]:
    """The plan and, once the rows are done, what was measured."""
    from dataclasses import asdict

    rows: list[dict[str, Any]] = []
    for place, planned in enumerate(plan):
        training = planned.row.training
        record = done[place] if done else planned.record
        metrics = {} if record is None else record.metrics
        rows.append(
            {
                "variant": planned.row.variant,
                **{key: training[key] for key in ("K", "C", "grounding", "budget", "seed")},
                "state": "done" if done else planned.state,
                "train_seconds": planned.train_seconds,
                "evaluate_seconds": planned.evaluate_seconds,
                "basis": planned.basis,
                "record": None if record is None else str(record.path),
                "metrics": {name: asdict(metric) for name, metric in metrics.items()},
            }
        )
    return {"rows": rows, "seconds": _seconds(plan)}
