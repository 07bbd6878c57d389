"""`unimo2 pretrain`: train a model from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.console import is_first_process, say

if TYPE_CHECKING:
    from unimo2.training.recipes import Recipe
    from unimo2.training.trainer import TrainSummary

# What a corpus says about itself beside its fingerprint.
_COUNTS = ("images", "captions", "blocks", "tokens")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pretrain")(pretrain)


def pretrain(
    config: Annotated[
        str, typer.Option(help="A configuration's name (mini) or a TOML file.")
    ] = "mini",
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="UNIMO2_DATA", help="Folder of data sets; the mini suite if left out."),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for model/, checkpoint/, log.jsonl and train.json.")
    ] = Path("runs/pretrain"),
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, masks and dropout.")] = None,
    resume: Annotated[
        str,
        typer.Option(
            help="auto: go on where a run in the output folder stopped; changed: the same, with "
            "other training values from there on; never: start over."
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the configuration: batch_size=32, model.fusion_layers=6."
        ),
    ] = None,
) -> None:
    """Train a model from random weights and choose its retrieval weight on the validation split."""
    from evals.suites import resolve
    from unimo2.cli.retrieval_weight import choose_retrieval_weight
    from unimo2.errors import UsageError
    from unimo2.training.distributed import require_place
    from unimo2.training.recipes import load_recipe, override
    from unimo2.training.trainer import require_resume

    assignments = list(set_ or [])
    assignments += [f"steps={steps}"] if steps is not None else []
    assignments += [f"seed={seed}"] if seed is not None else []
    recipe = override(load_recipe(config), assignments)
    require_resume(resume)
    require_place(device, recipe.training.trackers)
    if recipe.training.eval_every:
        raise UsageError(
            "training.eval_every: pre-training has no early evaluation; 'unimo2 eval' measures the "
            "model that it leaves"
        )
    root = resolve(None, data_root).root
    summary = _train(recipe, root, output, resume, device)
    say(
        f"trained {summary.steps} steps in {summary.seconds:.0f} s "
        f"({summary.samples_per_second:.0f} samples/s, {summary.precision}): {summary.model_folder}"
    )
    if recipe.training.trains == "unimo2":
        choose_retrieval_weight(summary.model_folder, root, output / "train.json", device)


def _train(recipe: Recipe, root: Path, output: Path, resume: str, device: str) -> TrainSummary:
    """Read the corpora and train on them."""
    from transformers.utils.logging import disable_progress_bar

    from unimo2.training.logging import TrainingBar
    from unimo2.training.pretraining import prepare
    from unimo2.training.pretraining import pretrain as run

    disable_progress_bar()  # of writing weights: an instant
    if recipe.training.trains != "unimo2":
        return _train_tower(recipe, root, output, resume, device)
    prepared = prepare(recipe, root)
    for line in prepared.skips.lines():
        say(f"left out: {line}", err=True)
    for kind, facts in prepared.corpora.describe().items():
        counts = ", ".join(f"{value:,} {name}" for name, value in facts.items() if name in _COUNTS)
        say(f"{kind}: {counts}", err=True)
    with TrainingBar(shown=is_first_process()) as bar:
        summary = run(recipe.training, prepared, output, resume, device, on_progress=bar)
    for line in prepared.corpora.undecodable():
        say(f"replaced by others: {line}", err=True)
    return summary


def _train_tower(
    recipe: Recipe, root: Path, output: Path, resume: str, device: str
) -> TrainSummary:
    """Train one tower by itself."""
    from unimo2.training.logging import TrainingBar
    from unimo2.training.towers import TowerTask
    from unimo2.training.trainer import train

    task = TowerTask(recipe, root)
    for line in task.skips.lines():
        say(f"left out: {line}", err=True)
    with TrainingBar(shown=is_first_process()) as bar:
        return train(task, recipe.training, output, resume, device, on_progress=bar)
