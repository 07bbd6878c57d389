"""`unimo2 pretrain` and `unimo2 finetune`: training, with evaluations of the development split."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from evals.registry import benchmarks, canonical, get_benchmark, shown
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
from unimo2.console import announce, print_table, showing, stage
from unimo2.devices import is_first_process, launched_processes
from unimo2.files import PathUse, expanded
from zoo.cli import model_names

if TYPE_CHECKING:
    from unimo2.training.finetuning.config import FinetuneRecipe
    from unimo2.training.finetuning.search import SearchResult, Trial, TrialResult
    from unimo2.training.finetuning.tasks import FinetuningRun
    from unimo2.training.recipes import Recipe
    from unimo2.training.trainer import TrainSummary


# What a corpus says about itself beside its fingerprint.
_COUNTS = ("images", "captions", "blocks", "tokens")
# Images of the validation split that the weight of the contrastive score is chosen on: with five
# captions each a minute of scoring on two cores.
_WEIGHT_IMAGES = 200


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
    summary = _train(recipe, root, output, resume, device)
    say(
        f"trained {summary.steps} steps in {summary.seconds:.0f} s "
        f"({summary.samples_per_second:.0f} samples/s, {summary.precision}): {summary.model_folder}"
    )
    if recipe.training.trains == "unimo2":
        choose_retrieval_weight(summary.model_folder, root, output / "train.json", device)


def choose_retrieval_weight(folder: Path, root: Path, train_json: Path, device: str) -> None:
    """Choose w of `itm + w * contrastive` on Flickr30k's validation split and write it down.

    Args:
        folder: the model, whose config.json gets the weight.
        root: data root; without Flickr30k in it the weight is unchanged.
        train_json: gets how well each weight did.
        device: to score on.

    Of several launched processes the first chooses.
    """
    if not is_first_process():
        return
    import zoo
    from evals.retrieval.weight import choose_weight
    from unimo2.formats.karpathy import read_karpathy
    from unimo2.formats.layout import Flickr30kFiles
    from unimo2.training.checkpoints import write_json
    from zoo.protocols import PairScorer, require

    annotations = Flickr30kFiles(root).annotations
    if not annotations.is_file():
        say(f"retrieval weight unchanged: no {annotations} to choose it on", err=True)
        return
    images = read_karpathy(annotations, Flickr30kFiles(root).images, ["val"])
    images = images[:_WEIGHT_IMAGES]
    model = zoo.load(folder, device=device)
    require(model, "pair_scorer")
    with showing() as report:
        choice = choose_weight(cast(PairScorer, model), images, report)
    for path, key, value in (
        (folder / "config.json", "contrastive_weight", choice.weight),
        (train_json, "retrieval_weight", asdict(choice)),
    ):
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {key: value})
    say(
        f"retrieval weight {choice.weight:g} (mean R@1 {choice.mean_recall_at_1:.1f} % on "
        f"{choice.images} validation images, {choice.captions} captions)"
    )


def _train(recipe: Recipe, root: Path, output: Path, resume: str, device: str) -> TrainSummary:
    """Read the corpora and train on them."""
    from evals.records.environment import peak_memory_mb
    from unimo2.bench.scale import of_pretraining
    from unimo2.training.logging import TrainingBar
    from unimo2.training.peers import PeerTask
    from unimo2.training.pretraining import PretrainingTask, prepare
    from unimo2.training.trainer import train

    training = recipe.training
    if training.trains in ("labels", "views", "words"):
        return _train_tower(recipe, root, output, resume, device)
    started = time.perf_counter()
    with showing(quiet=not is_first_process()):
        prepared = prepare(recipe, root, announce)
    for line in prepared.skips.lines():
        say(f"left out: {line}", err=True)
    for kind, facts in prepared.corpora.describe().items():
        counts = ", ".join(f"{value:,} {name}" for name, value in facts.items() if name in _COUNTS)
        say(f"{kind}: {counts}", err=True)
    kind_of_task = PretrainingTask if training.trains == "unimo2" else PeerTask
    with showing(quiet=not is_first_process()), stage("building the model"):
        task = kind_of_task(training, prepared)
    used = peak_memory_mb("cpu")
    say(f"corpora ready after {time.perf_counter() - started:.0f} s, {used:,.0f} MB", err=True)
    if training.trains == "unimo2":
        where = _kind_of_device(device)
        memory = of_pretraining(training, prepared.model_config, launched_processes(), where)
        say(memory.line(), err=True)
    with TrainingBar(shown=is_first_process()) as bar:
        summary = train(task, training, output, resume, device, on_progress=bar)
    for line in prepared.corpora.undecodable():
        say(f"replaced by others: {line}", err=True)
    return summary


def _kind_of_device(device: str) -> str:
    """The kind of device that training will choose."""
    import torch

    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _train_tower(
    recipe: Recipe, root: Path, output: Path, resume: str, device: str
) -> TrainSummary:
    """Train a single tower."""
    from unimo2.training.logging import TrainingBar
    from unimo2.training.towers import TowerTask
    from unimo2.training.trainer import train

    with showing(quiet=not is_first_process()), stage("reading the corpora"):
        task = TowerTask(recipe, root)
    for line in task.skips.lines():
        say(f"left out: {line}", err=True)
    with TrainingBar(shown=is_first_process()) as bar:
        return train(task, recipe.training, output, resume, device, on_progress=bar)


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, names resolved.

    Attributes:
        task: one of `unimo2.training.finetuning.tasks.TASKS`.
        model: what to start from, as typed.
        folder: a UNIMO-2 checkpoint; None for a text encoder of transformers.
        root: data root.
        resume: "auto", "changed" or "never".
        device: "auto", "cpu" or "cuda".
    """

    task: str
    model: str
    folder: Path | None
    root: Path
    resume: str
    device: str


def finetune(
    task: Annotated[
        str, typer.Argument(help="")  # `register` puts the names there
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
    from evals.datasets.suites import resolve

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
    folder = _checkpoint(model, name)
    recipe = _recipe(name, folder, config, assignments)
    root = resolve(suite, find_data_root(data_root, suite), [name]).root
    request = _Request(name, model, folder, root, resume, device)
    from unimo2.training.distributed import require_place  # not before all that needs no torch

    require_place(device, recipe.training.trackers)
    where = output or Path("runs/finetune") / name
    if search or seeds is not None:
        _run_several(request, recipe, where, search, seeds or 1)
    else:
        _describe(_run(request, recipe, where))


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


def _checkpoint(model: str, task: str) -> Path | None:
    """The folder of a card's or the user's own UNIMO-2; None for a text encoder."""
    import zoo
    from unimo2.errors import IncompatibleModel
    from unimo2.formats.weights import refuse_damaged
    from unimo2.training.finetuning.config import GLUE, checkpoint_config
    from zoo import cards

    folder = expanded(model)
    if model in cards.read_all():
        folder = zoo.weights_folder(zoo.resolve(model))
    elif folder.is_dir():
        refuse_damaged(folder)
    if folder.is_dir() and checkpoint_config(folder).get("model_type") == "unimo2":
        return folder
    if task in GLUE and ("/" in model or folder.is_dir()):
        return None
    zoo.resolve(model)  # says what is wrong with a name that is neither card nor folder
    raise IncompatibleModel(
        f"{model}: expected a UNIMO-2 checkpoint to fine-tune for {task}, got another model"
    )


def _recipe(
    task: str, folder: Path | None, config: str | None, assignments: Sequence[str]
) -> FinetuneRecipe:
    """The recipe of the command line, or the default one of the model's size."""
    from unimo2.training.finetuning.config import (
        PAPER_WIDTH,
        checkpoint_config,
        default_config,
        default_recipe,
        load_finetune_recipe,
        override_finetune,
    )

    if config is None:
        width = PAPER_WIDTH
        if folder is not None:
            width = int(checkpoint_config(folder).get("hidden_size", 0))
        config = default_recipe(task, width)
    recipe = load_finetune_recipe(config, default_config(task))
    return override_finetune(recipe, assignments)


def _run(
    request: _Request, recipe: FinetuneRecipe, output: Path, must_select: bool = False
) -> TrainSummary:
    """One training run; with `must_select`, evaluations must be able to choose the weights."""
    from evals.distributed import training_team
    from evals.validation import validator
    from unimo2.errors import UsageError
    from unimo2.training.logging import TrainingBar
    from unimo2.training.trainer import train

    with showing(quiet=not is_first_process()), stage("reading training data and model"):
        prepared = _prepare(request, recipe)
    _announce(prepared, recipe, _kind_of_device(request.device))
    with showing(quiet=not is_first_process()), stage("reading the development split"):
        evaluate, reason = validator(prepared, request.root, training_team(output))
    if reason is not None:
        say(f"no development split ({reason}): the last weights are kept", err=True)
    if must_select and evaluate is None:
        raise UsageError(
            "--search and --seeds compare runs on a development split: the data has none"
        )
    with TrainingBar(shown=is_first_process()) as bar:
        return train(
            prepared.task,
            prepared.config,
            output,
            resume=request.resume,
            device=request.device,
            on_progress=bar,
            evaluate=evaluate,
            select=None if evaluate is None else get_benchmark(request.task).selects_by,
        )


def _prepare(request: _Request, recipe: FinetuneRecipe) -> FinetuningRun:
    """Read the data and load the model."""
    from unimo2.training.finetuning.tasks import prepare, prepare_encoder

    if request.folder is None:
        return prepare_encoder(request.task, recipe, request.model, request.root)
    return prepare(request.task, recipe, request.folder, request.root)


def _announce(prepared: FinetuningRun, recipe: FinetuneRecipe, device: str) -> None:
    """Describe the training data and its memory."""
    from unimo2.bench.scale import of_finetuning
    from unimo2.modeling.configuration import Unimo2Config

    data = prepared.task.data.describe()
    counts = ", ".join(f"{n:,} {what}" for what, n in data.items() if isinstance(n, int))
    tags = data.get("object_tags")
    if tags is not None:
        counts += f", object tags of {tags['training_images']:,} images from {tags['file']}"
    say(f"recipe {recipe.name}, {counts}, {prepared.config.steps:,} steps", err=True)
    if prepared.dropped:
        say(prepared.dropped, err=True)
    task, config = prepared.task, prepared.config
    if isinstance(task.model.config, Unimo2Config):
        memory = of_finetuning(task.name, config, task.model.config, launched_processes(), device)
        say(memory.line(), err=True)


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
    request: _Request, recipe: FinetuneRecipe, output: Path, search: bool, seeds: int
) -> None:
    """A grid, seeds, or both; the best model is put into output/model."""
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
        summary = _run(request, setting, folder, must_select=True)
        assert summary.best is not None
        discard_state(folder / "checkpoint")  # a finished run is not taken up again
        best = summary.best
        return TrialResult(best.name, best.value, best.step, summary.seconds)

    comparison = run_trials(trials, output, _identity(request, recipe, list(grid)), run)
    copy_folder(output / "trials" / comparison.best.name / "model", output / "model")
    _describe_several(comparison, output)


def _identity(
    request: _Request, recipe: FinetuneRecipe, searched: Sequence[str]
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
