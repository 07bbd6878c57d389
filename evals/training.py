"""Trainings as `unimo2 pretrain` and `unimo2 finetune` run them, for commands and for grids of them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evals.registry import get_benchmark
from unimo2 import console
from unimo2.console import showing, stage
from unimo2.devices import is_first_process, launched_processes
from unimo2.errors import UsageError
from unimo2.training import RETRIEVAL_WEIGHT

if TYPE_CHECKING:
    from evals.retrieval.weight import WeightChoice
    from unimo2.training.finetuning.config import FinetuneRecipe
    from unimo2.training.finetuning.tasks import FinetuningRun
    from unimo2.training.recipes import Recipe
    from unimo2.training.trainer import TrainSummary

# What a corpus says about itself beside its fingerprint.
_COUNTS = ("images", "captions", "blocks", "tokens")
# Images of the validation split that the weight of the contrastive score is chosen on: with five
# captions each a minute of scoring on two cores.
WEIGHT_IMAGES = 200


def _announce(text: str) -> None:
    """Print a line on standard error, once however many processes there are."""
    if is_first_process():
        console.announce(text)


def _kind_of_device(device: str) -> str:
    """The kind of device that training will choose."""
    import torch

    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def pretrain(recipe: Recipe, root: Path, output: Path, resume: str, device: str) -> TrainSummary:
    """Read the corpora and train on them; a UNIMO-2, a peer or a tower, as the recipe says.

    Args:
        recipe: What is trained, and how.
        root: Data root.
        output: Folder for model/, checkpoint/, log.jsonl and train.json.
        resume: "auto", "changed" or "never".
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: Or one of its kinds.
    """
    import zoo
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
        prepared = prepare(recipe, root, _announce, zoo.embedded_folders())
    for line in prepared.skips.lines():
        _announce(f"left out: {line}")
    for kind, facts in prepared.corpora.describe().items():
        counts = ", ".join(f"{value:,} {name}" for name, value in facts.items() if name in _COUNTS)
        _announce(f"{kind}: {counts}")
    kind_of_task = PretrainingTask if training.trains == "unimo2" else PeerTask
    with showing(quiet=not is_first_process()), stage("building the model"):
        task = kind_of_task(training, prepared)
    used = peak_memory_mb("cpu")
    _announce(f"corpora ready after {time.perf_counter() - started:.0f} s, {used:,.0f} MB")
    if training.trains == "unimo2":
        where = _kind_of_device(device)
        memory = of_pretraining(training, prepared.model_config, launched_processes(), where)
        _announce(memory.line())
    with TrainingBar(shown=is_first_process()) as bar:
        summary = train(task, training, output, resume, device, on_progress=bar)
    for line in prepared.corpora.undecodable():
        _announce(f"replaced by others: {line}")
    return summary


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
        _announce(f"left out: {line}")
    with TrainingBar(shown=is_first_process()) as bar:
        return train(task, recipe.training, output, resume, device, on_progress=bar)


def choose_retrieval_weight(
    folder: Path, root: Path, train_json: Path, device: str, images: int = WEIGHT_IMAGES
) -> WeightChoice | None:
    """Choose w of `itm + w * contrastive` on Flickr30k's validation split and write it down.

    Args:
        folder: The model, whose config.json gets the weight.
        root: Data root; without Flickr30k in it the weight is unchanged.
        train_json: Gets how well each weight did.
        device: To score on.
        images: Images of the split that it is chosen on, the first ones.

    Returns:
        The choice; None where there is nothing to choose it on, and in all but the first of several
        launched processes.
    """
    if not is_first_process():
        return None
    import zoo
    from evals.retrieval.weight import choose_weight
    from unimo2.formats.karpathy import read_karpathy
    from unimo2.formats.layout import Flickr30kFiles
    from unimo2.training.checkpoints import write_json
    from zoo.protocols import PairScorer, require

    annotations = Flickr30kFiles(root).annotations
    some = []
    if annotations.is_file():
        some = read_karpathy(annotations, Flickr30kFiles(root).images, ["val"])[:images]
    if not some:
        _announce(f"retrieval weight unchanged: no validation split in {annotations}")
        return None
    model = zoo.load(folder, device=device)
    require(model, "pair_scorer")
    with showing() as report:
        choice = choose_weight(cast(PairScorer, model), some, report)
    for path, key, value in (
        (folder / "config.json", "contrastive_weight", choice.weight),
        (train_json, RETRIEVAL_WEIGHT, asdict(choice)),
    ):
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {key: value})
    return choice


@dataclass(frozen=True)
class FinetuneRequest:
    """What is fine-tuned, names resolved.

    Attributes:
        task: One of `unimo2.training.finetuning.config.TASKS`.
        model: What to start from: a folder or a hub id.
        folder: A UNIMO-2 checkpoint; None for a text encoder of transformers.
        root: Data root.
        resume: "auto", "changed" or "never".
        device: "auto", "cpu" or "cuda".
    """

    task: str
    model: str
    folder: Path | None
    root: Path
    resume: str = "auto"
    device: str = "auto"


def finetune_recipe(
    task: str,
    width: int | None,
    config: str | None,
    assignments: Sequence[str],
    pretraining: str = "",
) -> FinetuneRecipe:
    """The recipe of a fine-tuning.

    Args:
        task: One of `unimo2.training.finetuning.config.TASKS`.
        width: Of the model; None for another model than a UNIMO-2.
        config: Name or file; None for the default one of the model's size.
        assignments: Changes, as of `--set`.
        pretraining: The recipe that the model was pre-trained by, which may have its own for tasks.

    Raises:
        UsageError: Or one of its kinds.
    """
    from unimo2.training.finetuning.config import (
        PAPER_WIDTH,
        default_config,
        default_recipe,
        load_finetune_recipe,
        override_finetune,
    )

    name = config or default_recipe(task, PAPER_WIDTH if width is None else width, pretraining)
    return override_finetune(load_finetune_recipe(name, default_config(task)), assignments)


def finetune(
    request: FinetuneRequest, recipe: FinetuneRecipe, output: Path, must_select: bool = False
) -> TrainSummary:
    """One fine-tuning, with evaluations of the development split.

    Args:
        request: Task, model and data.
        recipe: Its settings.
        output: Folder for model/, checkpoint/, log.jsonl and train.json.
        must_select: Whether evaluations must be able to choose the weights.

    Raises:
        UsageError: Or one of its kinds.
    """
    from evals.distributed import training_team
    from evals.validation import validator
    from unimo2.training.logging import TrainingBar
    from unimo2.training.trainer import train

    with showing(quiet=not is_first_process()), stage("reading training data and model"):
        prepared = _prepare(request, recipe)
    _describe(prepared, recipe, _kind_of_device(request.device))
    with showing(quiet=not is_first_process()), stage("reading the development split"):
        evaluate, reason = validator(prepared, request.root, training_team(output))
    if reason is not None:
        _announce(f"no development split ({reason}): the last weights are kept")
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


def _prepare(request: FinetuneRequest, recipe: FinetuneRecipe) -> FinetuningRun:
    """Read the data and load the model."""
    from unimo2.training.finetuning.tasks import prepare, prepare_encoder

    if request.folder is None:
        return prepare_encoder(request.task, recipe, request.model, request.root)
    return prepare(request.task, recipe, request.folder, request.root)


def _describe(prepared: FinetuningRun, recipe: FinetuneRecipe, device: str) -> None:
    """Describe the training data and its memory."""
    from unimo2.bench.scale import of_finetuning
    from unimo2.modeling.configuration import Unimo2Config

    data = prepared.task.data.describe()
    counts = ", ".join(f"{n:,} {what}" for what, n in data.items() if isinstance(n, int))
    tags = data.get("object_tags")
    if tags is not None:
        counts += f", object tags of {tags['training_images']:,} images from {tags['file']}"
    _announce(f"recipe {recipe.name}, {counts}, {prepared.config.steps:,} steps")
    if prepared.dropped:
        _announce(prepared.dropped)
    task, config = prepared.task, prepared.config
    if isinstance(task.model.config, Unimo2Config):
        memory = of_finetuning(task.name, config, task.model.config, launched_processes(), device)
        _announce(memory.line())
