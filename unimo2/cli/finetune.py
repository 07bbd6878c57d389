"""`unimo2 finetune`: train a pre-trained model further for one task of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimo2.cli.data_root import VARIABLE, find_data_root

if TYPE_CHECKING:
    from unimo2.finetuning.config import FinetuneRecipe
    from unimo2.finetuning.tasks import Prepared
    from unimo2.trainer import TrainSummary


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("finetune")(finetune)


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, names resolved.

    Attributes:
        task: one of `unimo2.finetuning.tasks.TASKS`.
        folder: the checkpoint to start from.
        root: data root.
        resume: "auto" or "never".
        device: "auto", "cpu" or "cuda".
    """

    task: str
    folder: Path
    root: Path
    resume: str
    device: str


def finetune(
    task: Annotated[
        str,
        typer.Argument(help="flickr, vqa, snli-ve, coco, imagenet, sst2, mnli, cola or stsb."),
    ],
    model: Annotated[
        str, typer.Option(help="What to start from: a card's name or a model folder.")
    ] = "mini",
    data_root: Annotated[
        Path | None, typer.Option(help=f"Folder of data sets; {VARIABLE} by default.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="mini or paper; by default what the data root holds.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for model/, checkpoint/, log.jsonl and train.json; runs/finetune/TASK "
            "by default."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="A recipe's name or a TOML file; by the model's size TASK (the paper's) or "
            "mini-TASK."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: batch_size=32, model.hidden_dropout=0.1."),
    ] = None,
    train_on: Annotated[
        str | None, typer.Option(help="VQA: train, or train+val for the test splits.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training samples.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of new heads, order and dropout.")] = None,
    resume: Annotated[
        str, typer.Option(help="auto: go on where a run in the output folder stopped; or never.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
) -> None:
    """Train a pre-trained model further for one task."""
    from evals.suites import resolve
    from unimo2.finetuning.tasks import task_name

    name = task_name(task)
    asked = {
        "train_on": train_on,
        "steps": steps,
        "epochs": epochs,
        "seed": seed,
        "precision": precision,
    }
    assignments = list(set_ or [])
    assignments += [f"{key}={value}" for key, value in asked.items() if value is not None]
    root = resolve(suite, find_data_root(data_root, suite)).root
    request = _Request(name, _checkpoint(model), root, resume, device)
    recipe = _recipe(request, config, assignments)
    where = output or Path("runs/finetune") / name
    summary = _run(request, recipe, where)
    _describe(summary)


def _checkpoint(model: str) -> Path:
    """The folder of a card's or the user's own checkpoint."""
    import zoo

    return zoo.weights_folder(zoo.resolve(model))


def _recipe(request: _Request, config: str | None, assignments: Sequence[str]) -> FinetuneRecipe:
    """The recipe of the command line, or the default one of the model's size."""
    from unimo2.finetuning.config import (
        default_recipe,
        load_finetune_recipe,
        override_finetune,
    )
    from unimo2.finetuning.tasks import checkpoint_config, default_config

    if config is None:
        width = int(checkpoint_config(request.folder).get("hidden_size", 0))
        config = default_recipe(request.task, width)
    recipe = load_finetune_recipe(config, default_config(request.task))
    return override_finetune(recipe, assignments)


def _run(request: _Request, recipe: FinetuneRecipe, output: Path) -> TrainSummary:
    """One training run."""
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    from unimo2.finetuning.tasks import prepare
    from unimo2.progress import TrainingBar
    from unimo2.trainer import train

    disable_progress_bar()  # of writing weights: an instant
    set_verbosity_error()  # a new head is meant to be missing; other weights are refused
    prepared = prepare(request.task, recipe, request.folder, request.root)
    _announce(prepared, recipe)
    with TrainingBar() as bar:
        return train(
            prepared.task,
            prepared.config,
            output,
            resume=request.resume,
            device=request.device,
            on_progress=bar,
        )


def _announce(prepared: Prepared, recipe: FinetuneRecipe) -> None:
    """What is going to be trained on."""
    data = prepared.task.data.describe()
    counts = ", ".join(f"{n:,} {what}" for what, n in data.items() if isinstance(n, int))
    typer.echo(f"recipe {recipe.name}, {counts}, {prepared.config.steps:,} steps", err=True)


def _describe(summary: TrainSummary) -> None:
    """The last lines."""
    best = summary.best
    kept = f"; best at step {best.step}: {best.name} {best.value:.1f}" if best else ""
    typer.echo(
        f"trained {summary.steps} steps in {summary.seconds:.0f} s "
        f"({summary.samples_per_second:.0f} samples/s, {summary.precision}){kept}: "
        f"{summary.model_folder}"
    )
