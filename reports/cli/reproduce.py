"""`unimo2 reproduce`: all that comes with the package, trained and measured again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.cli.ablate import (
    ABLATION_RECIPE,
    ABLATION_RERANK,
    DryRun,
    EngineName,
    FinetuneSet,
    GridRequest,
    Jobs,
    SlurmParameters,
    engine_of,
)
from unimo2.cli.options import AsJson, TrainingDevice, offering, recipes
from unimo2.console import print_json, say
from unimo2.files import PathUse

if TYPE_CHECKING:
    from evals.embedded import Measurement, Reproduction
    from evals.jobs import PlannedJob

_EVERY = "1-5"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    example = "Example: unimo2 reproduce --tables 1-3 --dry-run"
    app.command("reproduce", epilog=example)(reproduce)


def reproduce(
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables", metavar="N ...", help="Tables of the paper, 1-5 by default: 1-3, or 1 4."
        ),
    ] = None,
    config: Annotated[
        str,
        typer.Option(
            help="Recipe of all rows of Tables 4 and 5.", autocompletion=offering(recipes)
        ),
    ] = ABLATION_RECIPE,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seeds",
            metavar="SEED ...",
            min=0,
            help="Seeds of every row of Tables 4 and 5; the recipe's by default.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE ...", help="Change every recipe of pre-training."),
    ] = None,
    finetune_set: FinetuneSet = None,
    rerank: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=0,
            help="Fuse the K best pairs of each query by contrastive score; 0: every pair. By "
            f"default every pair, in Tables 4 and 5 {ABLATION_RERANK}.",
        ),
    ] = None,
    device: TrainingDevice = "auto",
    jobs: Jobs = 1,
    engine: EngineName = "local",
    slurm: SlurmParameters = None,
    output: Annotated[
        Path, typer.Option(help="Folder for runs, trainings included."), PathUse.WRITES_FOLDER
    ] = Path("runs"),
    dry_run: DryRun = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKOUT",
            help="Folder to copy records (evals/measured), weights and cards (zoo) to when all is "
            "done.",
        ),
        PathUse.WRITES_FOLDER,
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and measure again all that comes with the package: its models, and the paper's tables.

    In order: the embedded suite, the towers, UNIMO-2 and its peers, the nine fine-tuned models, their
    evaluations, and the ablations. What the runs folder has is not done again, and the same command
    goes on after an interruption.
    """
    from evals.datasets import suites
    from evals.embedded import Reproduction
    from evals.jobs import remaining, run_jobs

    numbers = _numbers(tables or [_EVERY])
    suite = suites.resolve(suites.MINI, None, needs=None)
    plan = Reproduction(
        suite, output, device, rerank or None, tuple(set_ or ()), tuple(finetune_set or ())
    )
    measured = _measurements([number for number in numbers if number <= 3])
    grid = GridRequest(
        tuple(number for number in numbers if number > 3),
        config,
        tuple(seeds or ()),
        ABLATION_RERANK if rerank is None else rerank,
    )

    def planned() -> list[PlannedJob]:
        models = plan.jobs(measured)
        return models + (grid.jobs(plan) if grid.tables else [])

    every = planned()
    if as_json:
        print_json({"jobs": [job.as_json() for job in every]})
    else:
        say(_plan_text(every))
    if dry_run:
        return
    run_jobs(every, engine_of(engine, jobs, output, device, slurm, as_json))
    if not as_json:
        say(remaining(planned()))
    if export is not None:
        _export(plan, measured, grid, export)


def _numbers(typed: Sequence[str]) -> list[int]:
    """Numbers of tables from "1-3" and "5"; UsageError for others."""
    from unimo2.errors import UsageError

    found: set[int] = set()
    for word in typed:
        match = re.fullmatch(r"([1-5])(?:-([1-5]))?", word)
        if match is None:
            raise UsageError(f"--tables {word}: expected tables from 1 to 5, such as 1-3 or 5")
        found |= {*range(int(match[1]), int(match[2] or match[1]) + 1)}
    if not found:
        raise UsageError(f"--tables {' '.join(typed)}: no table is in that range")
    return sorted(found)


def _measurements(numbers: Sequence[int]) -> list[Measurement]:
    """What fills the columns of Tables 1 to 3; one of MNLI's fills two."""
    from evals.embedded.reproducing import Measurement, measurable
    from reports.selection import ZERO_SHOT, blocks_of

    every = [
        Measurement(model, block.benchmark, block.splits[0], block.setting == ZERO_SHOT)
        for block in blocks_of(numbers)
        for model in measurable(block.benchmark, block.setting == ZERO_SHOT)
    ]
    return list(dict.fromkeys(every))


def _plan_text(jobs: Sequence[PlannedJob]) -> str:
    """Every job with its state and cost."""
    import pandas as pd

    from evals.jobs import State, remaining
    from reports.render import Table, to_text

    lines = [
        {
            "state": job.state.value,
            "cost": "-" if job.state is State.DONE else str(job.cost),
        }
        for job in jobs
    ]
    frame = pd.DataFrame(lines, index=pd.Index([job.name for job in jobs], name="job"))
    return to_text(Table("What comes with the package", frame, (remaining(jobs),)))


def _export(
    plan: Reproduction, measured: Sequence[Measurement], grid: GridRequest, target: Path
) -> None:
    """Copy what is done into a checkout."""
    from evals.ablation.running import export
    from evals.embedded import embedded_models, install

    found = plan.records_of(measured)
    found += grid.records(plan) if grid.tables else []
    written = export(found, target / "evals" / "measured")
    for model in embedded_models():
        if plan.is_trained(model):
            written += install(model, plan.output, target / "zoo")
    for path in written:
        say(f"wrote {path}", err=True)
