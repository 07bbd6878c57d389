"""Fine-tuning configurations: one frozen dataclass per kind of task, read from TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from unimo2.errors import BadCheckpoint, UsageError
from unimo2.training.config import (
    BelowOne,
    Count,
    CountOrNone,
    Fraction,
    LoopConfig,
    Positive,
    Tokens,
    Weight,
    is_rising,
)
from unimo2.training.recipes import (
    CONFIG_FOLDER,
    find_recipe,
    parse_assignments,
    read_recipe_file,
    with_values,
)

# Models at least this wide get the paper's recipe if none is named, narrower ones the mini one.
PAPER_WIDTH = 512
FINETUNE_FOLDER = CONFIG_FOLDER / "finetune"

Config = TypeVar("Config", bound="FinetuneConfig")


@dataclass(frozen=True)
class FinetuneConfig(LoopConfig):
    """Fields common to all fine-tuning."""

    dictionary_floor: Fraction = 0.0  # one task's inputs may well need few rows
    # passes over the training samples, from which the number of steps follows; 0 takes `steps` as
    # it is
    epochs: Weight = 10.0
    # epochs after which the learning rate is divided by 10 (Table 9); none for linear decay
    decay_epochs: tuple[int, ...] = ()
    batch_size: Count = 32  # samples a step over all processes
    # weight of the dictionary's loss (equation 3) in the sum that is minimised. Ours: 0, the paper
    # states none for fine-tuning.
    grounding_weight: Weight = 0.0
    # side of the square that images are resized to, in pixels; 0 for the model's
    image_size: CountOrNone = 0
    max_text_length: Tokens = 128  # tokens kept of a text, special tokens included
    # batches within which samples are put together by the length of their texts; 1 for plain random
    # batches
    length_window: Count = 16
    # "none"; "crop" takes a part of each image at random, at least four fifths of it; "flip" also
    # mirrors half of them
    augment: Literal["none", "crop", "flip"] = "none"
    label_smoothing: BelowOne = 0.0  # share of the target that is spread over all classes
    # images are held decoded in memory if they take at most that; else they are decoded batch by
    # batch
    image_gigabytes: Weight = 2.0
    # epochs between validations on the development split where `eval_every` (in steps) is 0;
    # 0 for none but the one at the end
    eval_epochs: Weight = 1.0
    eval_limit: CountOrNone = 0  # samples per validation; 0 for all

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("decay_epochs", is_rising(self.decay_epochs), "rising numbers above 0")

    def require_samples(self, samples: int, batch: int) -> None:
        """Raise UsageError where there are fewer training samples than a batch holds."""
        if samples < batch:
            raise UsageError(
                f"training.batch_size {batch} is more than the {samples} training samples; "
                f"use --set batch_size={samples} or less"
            )


@dataclass(frozen=True)
class RetrievalConfig(FinetuneConfig):
    """Fine-tuning for retrieval: circle loss over negatives, beside the contrastive loss."""

    # negative images of each text, and negative texts of each image (released code: 10)
    negatives: Count = 10
    # "corpus" draws them at random from all training images (released code); "batch" takes them
    # from the batch, whose images and texts are encoded once. Ours.
    negatives_from: Literal["corpus", "batch"] = "corpus"
    # with "batch", the share of them drawn by the contrastive scores; the rest uniformly. Ours.
    hard_share: Fraction = 1.0
    # circle_weight, contrastive_weight, itm_weight: weights of the circle loss, the contrastive
    # loss within the batch, and the cross entropy of matching over the same pairs. Ours.
    circle_weight: Weight = 1.0
    contrastive_weight: Weight = 1.0
    itm_weight: Weight = 0.0
    # circle_margin, circle_scale: m and gamma of the circle loss (released code: 0.2 and 1)
    circle_margin: float = 0.2
    circle_scale: Positive = 1.0
    # weight of the contrastive score in the score that the circle loss compares (released code:
    # 0.3, its weight in retrieval); 0 for the matching logit alone
    score_weight: Weight = 0.3
    # which caption of an image a pass takes: "drawn" at random, ours; "each" takes all of them in
    # as many passes, so that an epoch trains on every caption once (released code)
    captions: Literal["drawn", "each"] = "drawn"
    # "val" chooses the best weights on the validation split, which is what the paper reports;
    # "train" on `eval_limit` images (1,000 where that is 0) of the training split, which are then
    # not trained on. Ours.
    select_on: Literal["val", "train"] = "val"

    later: ClassVar[Mapping[str, Any]] = {"captions": "drawn", "select_on": "val"}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("batch_size", self.batch_size >= 2, "at least 2: negatives come from it")
        some = self.circle_weight > 0 or self.contrastive_weight > 0 or self.itm_weight > 0
        self.require("circle_weight", some, "above 0 if no other loss has a weight")


@dataclass(frozen=True)
class CaptionConfig(FinetuneConfig):
    """Fine-tuning for captions."""

    # captions of an image that are trained together: the image is encoded once for them. An epoch
    # takes about every caption once, whatever this is.
    captions_per_image: Count = 1
    # file of object tags that captions are written with, as of `unimo2 eval coco`; "" for none
    object_tags: str = ""

    later: ClassVar[Mapping[str, Any]] = {"object_tags": ""}


@dataclass(frozen=True)
class AnswerConfig(FinetuneConfig):
    """Fine-tuning for visual question answering."""

    # "train", with val as the development split, or "train+val" for the test splits (then there is
    # no development split, and the last weights are kept)
    train_on: Literal["train", "train+val"] = "train"
    # questions whose most common answer an answer must be to become a class (9 gives VQA v2's
    # 3,129)
    answer_threshold: Count = 9
    # whether a new head begins with how often each answer is given (as its biases), instead of
    # giving every answer one chance in two: a short training then need not learn that first. Ours.
    start_from_frequencies: bool = False


@dataclass(frozen=True)
class ImageConfig(FinetuneConfig):
    """Fine-tuning for image classification."""

    # share of the training images of each class that is kept for development: ImageNet's val is
    # what is reported, and nothing is chosen on it. Ours.
    holdout: BelowOne = 0.02


@dataclass(frozen=True)
class FinetuneRecipe:
    """A training configuration and what it changes of the model."""

    name: str  # of the recipe: "mini-sst2", or the file's stem
    training: FinetuneConfig  # the training configuration
    # fields of `Unimo2Config` that differ from the checkpoint's (`hidden_dropout`)
    model: Mapping[str, Any] = field(default_factory=dict)
    # values of training fields that --search tries in every combination
    search: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def default_recipe(task: str, hidden_size: int, pretraining: str = "") -> str:
    """The name of the recipe for a task and a model of some width: the paper's, or the mini one.

    That of the recipe by which the model was pre-trained comes before both, where there is one.
    """
    spelled = task.replace("_", "-")
    own = f"{pretraining}-{spelled}"
    if (FINETUNE_FOLDER / f"{own}.toml").is_file():
        return own
    return spelled if hidden_size >= PAPER_WIDTH else f"mini-{spelled}"


def checkpoint_config(folder: Path) -> dict[str, Any]:
    """Contents of a model folder's config.json; BadCheckpoint if it is not one."""
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadCheckpoint(f"{folder} has no config.json: expected a model folder") from None
    except ValueError as error:
        raise BadCheckpoint(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise BadCheckpoint(
            f"{path}: expected a model configuration, a JSON object with 'model_type'"
        )
    return content


def load_finetune_recipe(name_or_file: str, defaults: FinetuneConfig) -> FinetuneRecipe:
    """Read a recipe by name (`unimo2/training/recipes/finetune/NAME.toml`) or from a file.

    Its values replace fields of `defaults`, those of the task's kind.

    Raises:
        MissingData: The recipe does not exist.
        UsageError: The file is not TOML, or has an unknown key or a value of the wrong type.
    """
    return _load(find_recipe(name_or_file, FINETUNE_FOLDER), defaults, ())


def _load(path: Path, defaults: FinetuneConfig, extending: tuple[Path, ...]) -> FinetuneRecipe:
    file = read_recipe_file(path, {"model", "training", "search"}, extending, FINETUNE_FOLDER)
    base = FinetuneRecipe(path.stem, defaults)
    if file.extends is not None:
        base = _load(file.extends, defaults, file.chain)
    training = with_values(base.training, _timed(file.tables.get("training", {})), str(path))
    search = file.tables.get("search", {})
    for key, values in search.items():
        if not isinstance(values, list):
            raise UsageError(f"{path}: search.{key} is {values!r}; expected a list of values")
        for value in values:
            with_values(training, {key: value}, f"{path}: search")
    grid = {**base.search, **{key: tuple(values) for key, values in search.items()}}
    model = {**base.model, **file.tables.get("model", {})}
    return FinetuneRecipe(path.stem, training, model, grid)


def override_finetune(recipe: FinetuneRecipe, assignments: Sequence[str]) -> FinetuneRecipe:
    """Change a recipe by `key=value` texts, as `unimo2.training.recipes.override` does.

    `steps=100` alone means 100 steps, whatever the recipe's epochs.
    """
    training, model = parse_assignments(assignments)
    changed = with_values(recipe.training, _timed(training), "--set")
    return replace(recipe, training=changed, model={**recipe.model, **model})


def with_fields(recipe: FinetuneRecipe, values: Mapping[str, Any]) -> FinetuneRecipe:
    """The recipe with some training fields changed (those of a search, the seed)."""
    return replace(recipe, training=with_values(recipe.training, values, "search"))


def _timed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values; a number of steps without one of epochs replaces the epochs."""
    timed = dict(values)
    if "steps" in timed:
        timed.setdefault("epochs", 0)
    return timed


def with_steps(config: Config, samples: int) -> Config:
    """Turn what is counted in epochs of so many samples into optimiser steps.

    Sets `steps`, `eval_every`, and for `decay_epochs` the schedule "drops".

    Raises:
        UsageError: There are fewer samples than a batch holds.
    """
    config.require_samples(samples, config.batch_size)
    epoch = samples / config.batch_size
    steps = max(1, round(config.epochs * epoch)) if config.epochs else config.steps
    every = config.eval_every
    if not every and config.eval_epochs:
        every = min(steps, max(1, round(config.eval_epochs * epoch)))
    drops = tuple(round(after * epoch) for after in config.decay_epochs)
    drops = tuple(sorted({drop for drop in drops if 0 < drop < steps}))
    schedule = config.schedule if not config.decay_epochs else "drops" if drops else "constant"
    return replace(config, steps=steps, eval_every=every, schedule=schedule, drop_at=drops)


GLUE = ("sst2", "mnli", "cola", "stsb")
_DEFAULTS: Mapping[str, FinetuneConfig] = {
    "flickr": RetrievalConfig(),
    "vqa": AnswerConfig(),
    "snli_ve": FinetuneConfig(),
    "coco": CaptionConfig(),
    "imagenet": ImageConfig(),
    **{name: FinetuneConfig() for name in GLUE},
}
TASKS = tuple(_DEFAULTS)


def task_name(spelled: str) -> str:
    """The name of a task as typed, "snli-ve" or "snli_ve"; UsageError for an unknown one."""
    name = spelled.replace("-", "_")
    if name not in TASKS:
        known = ", ".join(task.replace("_", "-") for task in TASKS)
        raise UsageError(f"unknown task {spelled!r}; known are: {known}")
    return name


def default_config(task: str) -> FinetuneConfig:
    """The configuration of a task's kind, which a recipe then changes."""
    return _DEFAULTS[task]
