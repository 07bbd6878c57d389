"""`unimo2 ablate`: rows of the paper's Tables 4 and 5, trained and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from unimo2.console import print_json, say
from unimo2.files import PathUse

if TYPE_CHECKING:
    from evals.ablation import AblationRow, Planned, Study
    from evals.ablation.plan import Cell
    from evals.datasets.suites import Suite
    from evals.embedded import Reproduction
    from evals.jobs import Engine, PlannedJob
    from evals.records import Record
    from reports.grid import GridRows
    from unimo2.training.recipes import Recipe

_TABLES = (4, 5)
ABLATION_RECIPE = "ablation"
ABLATION_RERANK = 64  # a quarter of the pairs of 300 images and 1,500 captions

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        min=1,
        help="Jobs at once: processes with a GPU, or their share of the processor, each.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", help="local, or slurm for a cluster (extra 'slurm').", metavar="ENGINE"
    ),
    OneOf("local", "slurm"),
]
SlurmParameters = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE ...",
        help="Parameters of submitit's executor: timeout_min=600 slurm_partition=gpu.",
    ),
    Needs("engine"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost, and stop.")]
FinetuneSet = Annotated[
    list[str] | None,
    typer.Option(
        "--finetune-set",
        metavar="KEY=VALUE ...",
        help="Change the recipe of every fine-tuning: epochs=1 batch_size=16.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ablate", epilog="Example: unimo2 ablate --k 10 20 --dry-run")(ablate)


def ablate(
    table: Annotated[
        list[int] | None,
        typer.Option(
            "--table",
            metavar="N ...",
            min=_TABLES[0],
            max=_TABLES[-1],
            help="Add every row of the paper's Table 4 or 5, measured on all of its columns.",
        ),
    ] = None,
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
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="NAME ...",
            help="What every row is measured on: flickr-zero-shot, imagenet-zero-shot, or a task "
            "that it is fine-tuned for (flickr, coco, mnli ...). By default the table's columns; "
            "without --table flickr-zero-shot.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps per row; the recipe's by default."),
    ] = None,
    config: Annotated[
        str,
        typer.Option(
            help="Recipe shared by all rows: a name or a TOML file.",
            autocompletion=offering(recipes),
        ),
    ] = ABLATION_RECIPE,
    finetune_set: FinetuneSet = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed for weights, order, masks and dropout; the recipe's by default."
        ),
        Excludes("seeds"),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seeds", metavar="SEED ...", min=0, help="Every row once for each seed."),
    ] = None,
    data_root: DataRoot = None,
    suite: SuiteName = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Evaluate only the first N items of each split."),
    ] = None,
    rerank: Annotated[
        int,
        typer.Option(
            metavar="K",
            min=0,
            help="Fuse the K best pairs of each query by contrastive score; 0: every pair.",
        ),
    ] = ABLATION_RERANK,
    device: TrainingDevice = "auto",
    jobs: Jobs = 1,
    engine: EngineName = "local",
    slurm: SlurmParameters = None,
    output: Annotated[Path, typer.Option(help="Folder for runs."), PathUse.WRITES_FOLDER] = Path(
        "runs"
    ),
    dry_run: DryRun = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Folder to copy the rows' records to, laid out as evals/measured."),
        PathUse.WRITES_FOLDER,
        Excludes("dry_run"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate variants of one recipe for the same number of steps.

    What is done is not done again, whether its records lie in the runs folder or come with the
    package; an interrupted training or evaluation resumes where it stopped. A job that fails costs
    only those that need it.
    """
    from evals import ablation
    from evals.datasets import suites
    from reports.grid import GridRows, table_columns

    asked = GridRows(tuple(without or ()), tuple(k or ()), tuple(c or ()), one_to_one)
    tables = sorted({*(table or ())})
    measured = ablation.columns_named(columns or []) or (
        table_columns(tables) if tables else ablation.Study.columns
    )
    data = suites.resolve(suite, find_data_root(data_root, suite), needs=None)
    study = ablation.Study(
        data, output, device, limit, rerank or None, measured, tuple(finetune_set or ())
    )
    rows, notes = [], []
    every_seed: Sequence[int | None] = seeds or [seed]
    for one in every_seed:
        recipe = _recipe(config, budget, one)
        some, note = _rows(data, recipe, tables, asked, full)
        rows += some
        notes = [note] if note else []
    plan = _planned(study, rows)
    if not as_json:
        say(_plan_text(study, plan, notes))
    if not dry_run:
        _run(plan, engine_of(engine, jobs, output, device, slurm, as_json))
        plan = _planned(study, rows)
    done = [cell.record for planned in plan for cell in planned.cells if cell.record]
    if as_json:
        print_json(_as_json(plan))
    elif not dry_run:
        say(_table_text(done))
    if export is not None:
        from evals.ablation.running import export as copied

        for path in copied(_each_once(done), export):
            say(f"wrote {path}", err=True)


@dataclass(frozen=True)
class GridRequest:
    """Tables of ablations as a part of a larger plan.

    Attributes:
        tables: 4, 5 or both.
        config: Recipe of all rows.
        seeds: Of every row; none for the recipe's.
        rerank: K of shortlists; 0 for every pair.
    """

    tables: tuple[int, ...]
    config: str
    seeds: tuple[int, ...]
    rerank: int

    def plan(self, whole: Reproduction) -> list[Planned]:
        """The rows as they are now."""
        from evals import ablation
        from reports.grid import GridRows, table_columns

        study = ablation.Study(
            *(whole.suite, whole.output, whole.device, None, self.rerank or None),
            table_columns(self.tables),
            whole.tuning,
            whole.towers,
        )
        rows: list[AblationRow] = []
        for seed in self.seeds or (None,):
            recipe = _recipe(self.config, None, seed, whole.settings)
            rows += _rows(whole.suite, recipe, self.tables, GridRows(), False)[0]
        return _planned(study, rows)

    def jobs(self, whole: Reproduction) -> list[PlannedJob]:
        """What is left of them; rows wait for the towers that their recipe starts from."""
        from evals.ablation import jobs_of
        from evals.embedded.reproducing import towers_of, training_name
        from unimo2.training.recipes import load_recipe

        towers = tuple(map(training_name, towers_of(load_recipe(self.config))))
        return [replace(job, needs=job.needs or towers) for job in jobs_of(self.plan(whole))]

    def records(self, whole: Reproduction) -> list[Record]:
        """Of the cells that are done."""
        cells = (cell for planned in self.plan(whole) for cell in planned.cells)
        return _each_once([cell.record for cell in cells if cell.record])


def engine_of(
    kind: str,
    jobs: int,
    output: Path,
    device: str,
    slurm: Sequence[str] | None,
    quiet: bool,
) -> Engine:
    """The engine that the options name."""
    from evals.jobs.engine import Engine, slurm_parameters

    parameters = slurm_parameters(slurm or [])
    return Engine(kind, jobs, output / "jobs", device, parameters, quiet=quiet)


def _planned(study: Study, rows: Sequence[AblationRow]) -> list[Planned]:
    """The plan as it is now."""
    from evals import ablation
    from evals.ablation.estimates import Estimator

    found = ablation.find_records(study)
    return ablation.make_plan(study, rows, found, Estimator(study, found))


def _rows(
    suite: Suite, recipe: Recipe, tables: Sequence[int], asked: GridRows, full: bool
) -> tuple[list[AblationRow], str]:
    """The rows that were asked for, and how those of tables were scaled."""
    from evals.ablation import make_rows
    from reports.grid import table_rows
    from unimo2.modeling.fields import ModelFields
    from unimo2.training.recipes import model_fields

    found = table_rows(tables, model_fields(recipe, ModelFields))
    rows = make_rows(
        recipe,
        suite,
        (*found.tokens, *asked.tokens),
        (*found.sizes, *asked.sizes),
        found.one_to_one or asked.one_to_one,
        (*found.without, *asked.without),
        full,
    )
    return rows, found.note


def _recipe(
    config: str, budget: int | None, seed: int | None, settings: Sequence[str] = ()
) -> Recipe:
    from unimo2.training.recipes import load_recipe, override

    changes = {"steps": budget, "seed": seed}
    given = [f"{name}={value}" for name, value in changes.items() if value is not None]
    return override(load_recipe(config), [*settings, *given])


def _run(plan: Sequence[Planned], engine: Engine) -> None:
    """Do what is left of a plan."""
    from evals.ablation import jobs_of
    from evals.jobs import run_jobs

    run_jobs(jobs_of(plan), engine)


def _each_once(done: Sequence[Record]) -> list[Record]:
    return list({record.path: record for record in done}.values())


def _plan_text(study: Study, plan: Sequence[Planned], notes: Sequence[str]) -> str:
    """The plan as a table, with its protocol and its cost in the last lines."""
    import pandas as pd

    from reports.render import Table, to_text

    told: set[str] = set()  # jobs of rows above
    lines = []
    for planned in plan:
        training = planned.row.training
        line = {
            "recipe": planned.row.shared.name,
            "seed": str(training["seed"]),
            "K": _when(training, "K"),
            "C": _when(training, "C"),
            "steps": f"{training['budget']:,}",
            "state": planned.state,
            "training": _costs(planned.jobs, told) or "-",
        }
        lines.append(line | {cell.column.name: _cell(cell, told) for cell in planned.cells})
        told |= {job.name for job in planned.every_job}
    frame = pd.DataFrame(lines, index=pd.Index([p.row.variant for p in plan], name="row"))
    recipes = list(dict.fromkeys(planned.row.shared.name for planned in plan))
    for name in ("recipe", "seed"):
        if frame[name].nunique() == 1:
            del frame[name]
    names = "', '".join(recipes)
    title = f"Ablation of the recipe{'s' if len(recipes) > 1 else ''} '{names}'"
    below = (*notes, _protocol(study), *_fine_tuning(study, plan), _cost(plan))
    return to_text(Table(title, frame, below))


def _cell(cell: Cell, told: set[str]) -> str:
    return "done" if cell.record is not None else _costs(cell.jobs, told)


def _costs(jobs: Sequence[PlannedJob], told: set[str]) -> str:
    """What some jobs cost; those of a row above cost nothing more."""
    from unimo2.console import duration

    if jobs and told.issuperset(job.name for job in jobs):
        return "as above"
    seconds = [job.cost.seconds for job in jobs if job.name not in told]
    parts = ["not known" if one is None else duration(one) for one in seconds]
    known = next((place for place, one in enumerate(seconds) if one is not None), None)
    if known is not None:
        parts[known] = f"about {parts[known]}"
    return " + ".join(parts)


def _protocol(study: Study) -> str:
    """Protocol of the evaluations that score pairs."""
    names = [column.name for column in study.columns if column.scores_pairs]
    if study.rerank is None:
        how = "every image is fused with every text"
    else:
        how = (
            f"the {study.rerank} best pairs of each query by contrastive score are fused "
            "(--rerank 0 fuses every pair)"
        )
    return f"{', '.join(names)}: {how}." if names else "No column scores pairs."


def _fine_tuning(study: Study, plan: Sequence[Planned]) -> list[str]:
    """The recipes of fine-tuning, and what is done about parts that are switched off."""
    tuned = [column for column in study.columns if not column.zero_shot]
    if not tuned:
        return []
    names = [study.recipe(plan[0].row, column).name for column in tuned]
    changed = f" with {', '.join(study.tuning)}" if study.tuning else ""
    lines = [
        f"Fine-tuned by the recipes {', '.join(names)}{changed}, then evaluated (costs of both)."
    ]
    if any(planned.row.inference for planned in plan):
        lines.append(
            "gd-inference: fine-tuned from the full training's model with its dictionary off."
        )
    return lines


def _when(training: Mapping[str, Any], field: str) -> str:
    """K or C of a row; "-" where it has no dictionary."""
    if training["grounding"] == "none":
        return "-"
    whole = field == "K" and training["grounding"] == "nearest"
    return "each token" if whole else str(training[field])


def _cost(plan: Sequence[Planned]) -> str:
    from evals.ablation import jobs_of
    from evals.jobs import remaining

    left = sum(planned.state != "done" for planned in plan)
    if not left:
        return "All rows are done."
    return f"{left} of {len(plan)} rows remain: {remaining(jobs_of(plan))}"


def _table_text(done: Sequence[Record]) -> str:
    from reports.render import render
    from reports.selection import arrange
    from reports.tables import measured_tables

    tables = [
        t for number in _TABLES if arrange(number, done)[0] for t in measured_tables(number, done)
    ]
    return render(tables, "text")


def _as_json(plan: Sequence[Planned]) -> dict[str, Any]:
    """The plan with the results of what is done."""
    from evals.ablation import jobs_of

    jobs = jobs_of(plan)
    seconds = [job.cost.seconds for job in jobs]
    return {
        "rows": [_row_as_json(planned) for planned in plan],
        "jobs": [job.as_json() for job in jobs],
        "seconds": sum(one for one in seconds if one is not None),
        "unknown": seconds.count(None),
    }


def _row_as_json(planned: Planned) -> dict[str, Any]:
    from dataclasses import asdict

    kept = ("recipe", "K", "C", "grounding", "budget", "seed")
    return {
        "variant": planned.row.variant,
        "without": planned.row.without,
        **{key: planned.row.training[key] for key in kept},
        "state": planned.state,
        "columns": {
            cell.column.name: {
                "record": None if cell.record is None else str(cell.record.path),
                "jobs": [job.name for job in cell.jobs],
                "metrics": {
                    name: asdict(metric)
                    for name, metric in (cell.record.metrics if cell.record else {}).items()
                },
            }
            for cell in planned.cells
        },
    }
