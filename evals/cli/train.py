"""`unimo2 pretrain` and `unimo2 finetune`: training, with evaluations of the development split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.registry import benchmarks, canonical, shown
from unimo2 import console
from unimo2.cli.guard import Excludes, OneOf
from unimo2.cli.options import (
    DataRoot,
    Resume,
    Steps,
    SuiteName,
    TrainingDevice,
    find_data_root,
    offering,
    recipes,
)
from unimo2.console import print_table
from unimo2.devices import is_first_process, launched_processes
from unimo2.files import PathUse, expanded
from unimo2.training import SUMMARY
from zoo.cli import model_names

if TYPE_CHECKING:
    from evals.training import FinetuneRequest
    from unimo2.training.finetuning.config import FinetuneRecipe
    from unimo2.training.finetuning.search import SearchResult, Trial, TrialResult
    from unimo2.training.trainer import TrainSummary


def register(app: typer.Typer) -> None:
    """Add both verbs."""
    app.command("pretrain", epilog="Example: unimo2 pretrain --config mini --steps 100")(pretrain)
    argument = typer.Argument(help=_tasks(), autocompletion=offering(_task_names))
    finetune.__annotations__["task"] = Annotated[str, argument]
    example = "Example: unimo2 finetune sst2 --model mini --output runs/sst2 --steps 100"
    app.command("finetune", epilog=example)(finetune)


def say(text: str, err: bool = False) -> None:
    """Print a line, once however many processes there are; `err` on standard error."""
    if is_first_process():
        console.say(text, err)


def _task_names() -> Iterator[str]:
    from unimo2.training.finetuning.config import TASKS

    return map(shown, TASKS)


def _tasks() -> str:
    """Benchmarks that a model can be fine-tuned for, and the others."""
    from unimo2.training.finetuning.config import TASKS

    *others, last = (shown(name) for name in TASKS)
    text = f"{', '.join(others)} or {last}."
    more = [name for name in benchmarks() if canonical(name) not in TASKS]
    return f"{text} Evaluated only: {', '.join(more)}." if more else text


def pretrain(
    config: Annotated[
        str,
        typer.Option(
            help="Configuration name (mini) or TOML file.", autocompletion=offering(recipes)
        ),
    ] = "mini",
    data_root: DataRoot = None,
    output: Annotated[
        Path,
        typer.Option(help="Folder for model/, checkpoint/, log.jsonl and train.json."),
        PathUse.WRITES_FOLDER,
    ] = Path("runs/pretrain"),
    steps: Steps = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed for weights, order, masks and dropout.")
    ] = None,
    resume: Resume = "auto",
    device: TrainingDevice = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the configuration: batch_size=32, model.fusion_layers=6."
        ),
    ] = None,
) -> None:
    """Train a model from random weights and choose its retrieval weight on the validation split."""
    from evals import training
    from evals.datasets.suites import resolve
    from unimo2.errors import UsageError
    from unimo2.training.recipes import load_recipe, override

    assignments = list(set_ or [])
    assignments += [f"steps={steps}"] if steps is not None else []
    assignments += [f"seed={seed}"] if seed is not None else []
    recipe = override(load_recipe(config), assignments)
    if recipe.training.eval_every:
        raise UsageError(
            "training.eval_every: pre-training has no validation; leave it out and use 'unimo2 "
            "eval' on the trained model"
        )
    root = resolve(None, find_data_root(data_root, None), needs=None).root
    from unimo2.training.distributed import require_place  # not before all that needs no torch

    require_place(device, recipe.training.trackers)
    summary = training.pretrain(recipe, root, output, resume, device)
    say(
        f"trained {summary.steps} steps in {summary.seconds:.0f} s "
        f"({summary.samples_per_second:.0f} samples/s, {summary.precision}): {summary.model_folder}"
    )
    if recipe.training.trains == "unimo2":
        choice = training.choose_retrieval_weight(
            summary.model_folder, root, output / SUMMARY, device
        )
        if choice is not None:
            say(
                f"retrieval weight {choice.weight:g} (mean R@1 {choice.mean_recall_at_1:.1f} % on "
                f"{choice.images} validation images, {choice.captions} captions)"
            )


def finetune(
    task: Annotated[
        str,
        typer.Argument(help=""),  # `register` puts the names there
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Model to start from: a card's name or a model folder; for sst2, mnli, cola and "
            "stsb also the folder or hub id of any transformers text encoder.",
            autocompletion=offering(model_names),
        ),
    ] = "mini",
    data_root: DataRoot = None,
    suite: SuiteName = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for model/, checkpoint/, log.jsonl and train.json; runs/finetune/TASK "
            "by default."
        ),
        PathUse.WRITES_FOLDER,
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="Recipe name or TOML file; by default TASK (the paper's) or mini-TASK, by "
            "the model's size.",
            autocompletion=offering(partial(recipes, "finetune")),
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: batch_size=32, model.hidden_dropout=0.1."),
    ] = None,
    train_on: Annotated[
        str | None, typer.Option(help="VQA: train, or train+val for the test splits.")
    ] = None,
    select_on: Annotated[
        str | None,
        typer.Option(
            help="Flickr30k: val, or train to select weights on held-out training images."
        ),
    ] = None,
    object_tags: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO: object names per image, given to the captioner, as for 'unimo2 eval coco'.",
        ),
        PathUse.READS_FILE,
    ] = None,
    steps: Steps = None,
    epochs: Annotated[
        float | None,
        typer.Option(min=0, help="Passes over the training samples."),
        Excludes("steps"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed for new heads, order and dropout.")
    ] = None,
    resume: Resume = "auto",
    device: TrainingDevice = "auto",
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32 or bf16."), OneOf("auto", "fp32", "bf16")
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Try every setting of the recipe's grid (Table 8) and keep the best run.",
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of seeds to train with; the best run is kept, the mean reported."
        ),
    ] = None,
) -> None:
    """Fine-tune a pre-trained model for one task.

    The weights with the best development metric are kept. A run that was killed resumes where its
    last checkpoint was.
    """
    from evals import training
    from evals.datasets.suites import resolve
    from unimo2.training.finetuning.config import checkpoint_config

    name = _task(task)
    asked = {
        "train_on": train_on,
        "select_on": select_on,
        # In quotes, so that no path is taken for a number.
        "object_tags": None if object_tags is None else json.dumps(str(object_tags)),
        "steps": steps,
        "epochs": epochs,
        "seed": seed,
        "precision": precision,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    _require_fields(name, given)
    assignments = [*(set_ or []), *(f"{key}={value}" for key, value in given.items())]
    model, folder = _start(model, name)
    width = None if folder is None else int(checkpoint_config(folder).get("hidden_size", 0))
    recipe = training.finetune_recipe(name, width, config, assignments)
    root = resolve(suite, find_data_root(data_root, suite), [name]).root
    request = training.FinetuneRequest(name, model, folder, root, resume, device)
    from unimo2.training.distributed import require_place  # not before all that needs no torch

    require_place(device, recipe.training.trackers)
    where = output or Path("runs/finetune") / name
    if search or seeds is not None:
        _run_several(request, recipe, where, search, seeds or 1)
    else:
        _describe(training.finetune(request, recipe, where))


def _require_fields(task: str, given: Mapping[str, Any]) -> None:
    """Refuse options that do not apply to a task, because its recipes have no such field."""
    from unimo2.errors import UsageError
    from unimo2.training.finetuning.config import TASKS, default_config

    def has(name: str, key: str) -> bool:
        return key in {one.name for one in fields(default_config(name))}

    for key in given:
        if not has(task, key):
            others = ", ".join(shown(name) for name in TASKS if has(name, key))
            option = f"--{key.replace('_', '-')}"
            raise UsageError(
                f"option {option} is for {others}, not for {shown(task)}: leave it out"
            )


def _task(spelled: str) -> str:
    """The name of a task; UsageError for others, and for benchmarks that are evaluated only."""
    from unimo2.errors import UsageError
    from unimo2.training.finetuning.config import TASKS, task_name

    if canonical(spelled) not in TASKS and shown(spelled) in benchmarks():
        known = ", ".join(map(shown, TASKS))
        raise UsageError(
            f"'{spelled}' can only be evaluated, not fine-tuned for; known are: {known}"
        )
    return task_name(spelled)


def _start(model: str, task: str) -> tuple[str, Path | None]:
    """Where a model lies, and the folder again if it is a UNIMO-2; None for a text encoder."""
    import zoo
    from unimo2.errors import IncompatibleModel
    from unimo2.formats.weights import refuse_damaged
    from unimo2.training.finetuning.config import GLUE, checkpoint_config
    from zoo import cards

    folder, place = expanded(model), model
    if model in cards.read_all():
        folder = zoo.weights_folder(zoo.resolve(model))
        place = str(folder)
    elif folder.is_dir():
        refuse_damaged(folder)
    if folder.is_dir() and checkpoint_config(folder).get("model_type") == "unimo2":
        return model, folder
    if task in GLUE and ("/" in model or folder.is_dir()):
        return place, None
    zoo.resolve(model)  # says what is wrong with a name that is neither card nor folder
    raise IncompatibleModel(
        f"{model}: expected a UNIMO-2 checkpoint to fine-tune for {task}, got another model"
    )


def _describe(summary: TrainSummary) -> None:
    """Print the last lines."""
    best = summary.best
    kept = f"; best at step {best.step}: {best.name} {best.value:.1f}" if best else ""
    say(
        f"trained {summary.steps} steps in {summary.seconds:.0f} s "
        f"({summary.samples_per_second:.0f} samples/s, {summary.precision}){kept}: "
        f"{summary.model_folder}"
    )


def _run_several(
    request: FinetuneRequest, recipe: FinetuneRecipe, output: Path, search: bool, seeds: int
) -> None:
    """A grid, seeds, or both; the best model is put into output/model."""
    from evals.training import finetune as finetune_once
    from unimo2.errors import UsageError
    from unimo2.training.checkpoints import copy_folder, discard_state
    from unimo2.training.finetuning.config import with_fields
    from unimo2.training.finetuning.search import TrialResult, plan, run_trials

    if launched_processes() > 1:
        raise UsageError(
            "--search and --seeds train their runs one after another in one process: start them "
            "without a launcher"
        )
    if search and not recipe.search:
        raise UsageError(
            f"recipe {recipe.name} has no [search] table; the paper searches sst2, mnli, cola, "
            "stsb and imagenet"
        )
    grid = recipe.search if search else {}
    trials = plan(grid, seeds, recipe.training.seed)
    if request.resume == "never":
        (output / "trials.json").unlink(missing_ok=True)

    def run(trial: Trial, folder: Path) -> TrialResult:
        say(trial.name, err=True)
        setting = with_fields(recipe, {**trial.setting, "seed": trial.seed})
        summary = finetune_once(request, setting, folder, must_select=True)
        assert summary.best is not None
        discard_state(folder / "checkpoint")  # a finished run is not taken up again
        best = summary.best
        return TrialResult(best.name, best.value, best.step, summary.seconds)

    comparison = run_trials(trials, output, _identity(request, recipe, list(grid)), run)
    copy_folder(output / "trials" / comparison.best.name / "model", output / "model")
    _describe_several(comparison, output)


def _identity(
    request: FinetuneRequest, recipe: FinetuneRecipe, searched: Sequence[str]
) -> Mapping[str, Any]:
    """Settings that comparable runs must share: all but the seed and the searched fields."""
    from unimo2.formats.weights import weights_sha256

    varied = {"seed", *searched}
    training = {k: v for k, v in recipe.training.identity().items() if k not in varied}
    weights = request.model if request.folder is None else weights_sha256(request.folder)
    return {
        "task": request.task,
        "model": weights,
        "data": str(request.root.resolve()),
        "training": training,
        "fields": dict(recipe.model),
    }


def _describe_several(comparison: SearchResult, output: Path) -> None:
    """All settings with their means, and the best run."""
    outcome = comparison.outcome
    if is_first_process():
        heads = ("setting", "seeds", f"{outcome.metric} mean", "std", "best")
        print_table("", heads, [("", list(_rows(comparison)))], numbers=range(1, 5))
    say(
        f"best run {comparison.best.name}: {outcome.metric} {outcome.value:.1f} at step "
        f"{outcome.step}: {output / 'model'}"
    )


def _rows(comparison: SearchResult) -> Iterator[tuple[str, ...]]:
    """One row per setting."""
    for average in comparison.settings:
        setting = ", ".join(f"{key} {value}" for key, value in average.setting.items())
        numbers = (average.mean, average.deviation, max(average.values))
        shown = [f"{number:.2f}" for number in numbers]
        yield (setting or "as it is", str(len(average.values)), *shown)
