"""Builds the trainer's task from a task name, a checkpoint and a data root."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from unimo2.data.batches import Batch, LabelledBatch
from unimo2.data.images import AugmentedImages
from unimo2.data.seeding import Shard, seeded_weights
from unimo2.data.texts import TokenTable
from unimo2.devices import total
from unimo2.errors import BadCheckpoint, UsageError
from unimo2.formats.karpathy import KarpathyImage
from unimo2.formats.object_tags import read_object_tags
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.generation import tag_tokens
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.modeling.model import Unimo2Model
from unimo2.processing import Unimo2Processor, load_processor, longest
from unimo2.training.distributed import rank, world_size
from unimo2.training.finetuning import readers
from unimo2.training.finetuning.captioning import CaptionData, CaptionObjective, ImageTags
from unimo2.training.finetuning.classification import (
    ClassificationObjective,
    LabelledData,
    SoftTargets,
    TaskModel,
    judge,
)
from unimo2.training.finetuning.config import (
    GLUE,
    AnswerConfig,
    CaptionConfig,
    FinetuneConfig,
    FinetuneRecipe,
    ImageConfig,
    RetrievalConfig,
    checkpoint_config,
    with_steps,
)
from unimo2.training.finetuning.retrieval import RetrievalObjective, RetrievalTrainingData
from unimo2.training.finetuning.samples import TaskData
from unimo2.training.trainer import TrainingTask

Model = TypeVar("Model", bound=PreTrainedModel)

_HEAD = "head."


@dataclass(frozen=True)
class Start(Generic[Model]):
    """A model before its first step."""

    model: Model  # with the checkpoint's weights, and a new head where it has none of this task
    new_head: bool  # whether the head is new (or the task has none)
    # a line that says which head of the checkpoint was left out; None if none was
    dropped: str | None = None


def load_start(
    kind: type[Model], folder: Path, task: str, labels: Sequence[str], fields: dict[str, Any]
) -> Start[Model]:
    """Load a checkpoint for a task, whatever it is fine-tuned for.

    The checkpoint's head is kept if it is of the same task and the same classes in the same order;
    another one is dropped, as the authors start STS-B from their MNLI model. New heads are drawn
    from torch's global generator. `fields` of the configuration differ from the checkpoint's.

    Raises:
        BadCheckpoint: The weights are not whole, or cannot be read.
    """
    config = Unimo2Config.from_pretrained(folder)
    changed = Unimo2Config.from_pretrained(folder, **fields)
    heads = [name for name in _names(folder) if name.startswith(_HEAD)]
    why = _other_head(config, changed, kind, task, labels) if heads else None
    if why is None:
        return Start(_loaded(kind, folder, folder, **fields), not heads)
    gets = "no head" if kind is Unimo2Model else "a new one"
    line = f"the head of {folder.name} {why} and is dropped: {task.replace('_', '-')} gets {gets}"
    if kind is Unimo2Model:
        changed.num_labels = 2  # transformers' own number, for models without classes
    weights = {name: value for name, value in _weights(folder).items() if name not in heads}
    return Start(_loaded(kind, folder, None, config=changed, state_dict=weights), True, line)


def _other_head(
    config: Unimo2Config,
    changed: Unimo2Config,
    kind: type[PreTrainedModel],
    task: str,
    labels: Sequence[str],
) -> str | None:
    """Why a checkpoint's head is not one of this task; None if it is."""
    names = cast(Mapping[int, str], config.id2label or {})
    known = [names[number] for number in sorted(names)]
    if kind is Unimo2Model or config.task not in (None, task):
        return f"is of {str(config.task or 'another task').replace('_', '-')}"
    if (list(labels) != known) if labels else (len(known) != 1):
        return "has other classes"
    if config.pair_head_input != changed.pair_head_input:
        return f"reads {config.pair_head_input!r}, not {changed.pair_head_input!r},"
    return None


def _loaded(kind: type[Model], folder: Path, source: Path | None, **options: Any) -> Model:
    """The model of some weights; errors name the folder."""
    try:
        model: Model = kind.from_pretrained(source, **options)
    except BadCheckpoint as error:
        _, _, what = str(error).partition(": ")
        raise BadCheckpoint(f"{folder}: {what or error}") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadCheckpoint(
            f"{folder}: its weights do not fit the model that the recipe asks for ({reason}); leave "
            "fields of the model's size as the checkpoint has them"
        ) from error
    return model


def _files(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights: none where they are not in safetensors."""
    return sorted(folder.glob("model*.safetensors"))


def _names(folder: Path) -> list[str]:
    try:
        names: list[str] = []
        for path in _files(folder):
            with safe_open(path, framework="pt") as file:
                names += file.keys()
        return names
    except (OSError, SafetensorError):
        return []  # loading says what is wrong with the file


def _weights(folder: Path) -> dict[str, Tensor]:
    """A checkpoint's weights in float32, by name."""
    weights = {k: v for path in _files(folder) for k, v in load_file(path).items()}
    return {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in weights.items()}


class FinetuningTask(TrainingTask):
    """One task model with its losses and data, as `unimo2.training.trainer.train` takes it.

    The processor is saved beside the weights; of a text encoder it is the tokenizer.
    """

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        objective: nn.Module,
        data: TaskData,
        processor: Any,
    ) -> None:
        self.name, self.model, self.objective = name, model, objective
        self.data, self.processor = data, processor
        model.config.task = name

    def batch(self, step: int, share: Shard) -> Batch:
        """A part of the batch of a step."""
        return self.data.batch(step, share)

    def identity(self) -> dict[str, Any]:
        """Task, model and data."""
        # Names of classes are part of the data's fingerprint, and would fill every message.
        model = self.model.config.to_diff_dict()
        shown = {k: v for k, v in model.items() if k not in ("id2label", "label2id")}
        return {"task": self.name, "model": shown, "data": dict(self.data.describe())}


# Images of the training split that retrieval selects on where `eval_limit` leaves it open.
_SELECTED_ON = 1000


@dataclass(frozen=True)
class FinetuningRun:
    """A task that is ready to be trained."""

    task: FinetuningTask  # for the trainer
    config: FinetuneConfig  # with steps counted
    # accuracy in percent of a model on images that were kept for development; None for tasks with a
    # development split
    held_out: Callable[[PreTrainedModel], float] | None = None
    # a line that says which head of the checkpoint was left out; None if none was
    dropped: str | None = None
    # captioned images that were kept for development; None for a development split
    development: Sequence[KarpathyImage] | None = None


def prepare(task: str, recipe: FinetuneRecipe, folder: Path, root: Path) -> FinetuningRun:
    """Read the data, load the checkpoint and build the losses.

    Args:
        task: One of `TASKS`.
        recipe: Its training is of the task's kind (`default_config`).
        folder: A UNIMO-2 checkpoint with its processor.
        root: Data root.

    Raises:
        UsageError: Or one of its kinds (MissingData, BadData, BadCheckpoint).
    """
    unknown = sorted(set(recipe.model) - set(Unimo2Config.own_fields()))
    if unknown:
        raise UsageError(f"{recipe.name}: no model field is called {', '.join(unknown)}")
    processor = load_processor(folder)
    if recipe.training.image_size:
        processor.image_size = recipe.training.image_size
    workshop = _Workshop(task, recipe, folder, root, processor)
    if task == "flickr":
        return workshop.retrieval()
    if task == "coco":
        return workshop.captions()
    return workshop.labelled()


@dataclass(frozen=True)
class _Workshop:
    """Inputs from which every task is built."""

    name: str
    recipe: FinetuneRecipe
    folder: Path
    root: Path
    processor: Unimo2Processor

    @property
    def config(self) -> FinetuneConfig:
        return self.recipe.training

    def retrieval(self) -> FinetuningRun:
        config = cast(RetrievalConfig, self.config)
        images, kept = readers.read_captioned(self.root, self.name), None
        if config.select_on == "train":
            images, kept = readers.hold_out(images, config.eval_limit or _SELECTED_ON)
        pictures, texts, counts = self._captioned(images)
        start = self._load(Unimo2Model, ())
        data = RetrievalTrainingData(config, pictures, texts, counts)
        ready = self._ready(start, RetrievalObjective(start.model, config), data)
        return replace(ready, development=kept)

    def captions(self) -> FinetuningRun:
        config = cast(CaptionConfig, self.config)
        images = readers.read_captioned(self.root, self.name)
        tags = self._tags(Path(config.object_tags), images) if config.object_tags else None
        pictures, texts, counts = self._captioned(images)
        start = self._load(Unimo2Model, ())
        objective = CaptionObjective(start.model, config.label_smoothing, config.grounding_weight)
        return self._ready(start, objective, CaptionData(config, pictures, texts, counts, tags))

    def _tags(self, path: Path, images: Sequence[KarpathyImage]) -> ImageTags:
        found = read_object_tags(path)
        names = found.of_images([(image.cocoid, image.filename) for image in images])
        tokenizer, positions = self.processor.tokenizer, self._positions()
        rows = tag_tokens(tokenizer, names, positions)
        return ImageTags(found.describe(), rows, int(tokenizer.pad_token_id or 0), positions)

    def labelled(self) -> FinetuningRun:
        kept: readers.Samples | None = None
        kind: type[TaskModel] = Unimo2ForPairs
        if self.name in GLUE:
            kind, samples = Unimo2ForTexts, readers.read_glue(self.root, self.name)
        elif isinstance(self.config, ImageConfig):
            kind = Unimo2ForImages
            samples, kept = readers.read_imagenet(self.root, self.config.holdout)
        elif isinstance(self.config, AnswerConfig):
            splits = self.config.train_on.split("+")
            samples = readers.read_vqa(self.root, splits, self.config.answer_threshold)
        else:
            samples = readers.read_snli_ve(self.root)
        start = self._load(kind, samples.labels)
        config = self.config
        self._start_from_frequencies(start, samples)
        objective = ClassificationObjective(
            start.model, config.grounding_weight, config.label_smoothing
        )
        held_out = None
        if kept is not None and kept.images:
            pictures = AugmentedImages(kept.images, self.processor, config.image_gigabytes)
            labels = kept.targets.of(torch.arange(len(pictures)))
            held_out = partial(_held_out, pictures, labels, config.batch_size)
        return self._ready(start, objective, self._labelled_data(samples), held_out)

    def _start_from_frequencies(self, start: Start[TaskModel], samples: readers.Samples) -> None:
        """Set a new head's biases to the log odds of the answers, if the recipe asks for it."""
        config, targets = self.config, samples.targets
        new, model = start.new_head, start.model
        if not (isinstance(config, AnswerConfig) and config.start_from_frequencies and new):
            return
        assert isinstance(model, Unimo2ForPairs) and isinstance(targets, SoftTargets)
        last = cast(nn.Linear, model.head[-1])
        with torch.no_grad():
            # An answer that hardly anybody gives still has a finite bias.
            last.bias.copy_(targets.mean().clamp(1e-5, 1.0 - 1e-5).logit())

    def _labelled_data(self, samples: readers.Samples) -> LabelledData:
        count = len(samples.texts or samples.image_of)
        texts = self._tokens(samples.texts) if samples.texts else None
        pictures = self._pictures(samples.images) if samples.images else None
        image_of = samples.image_of if samples.images else None
        return LabelledData(self.config, samples.targets, count, texts, pictures, image_of)

    def _captioned(
        self, images: Sequence[KarpathyImage]
    ) -> tuple[AugmentedImages, TokenTable, list[int]]:
        texts = [(caption.text,) for image in images for caption in image.captions]
        pictures = self._pictures(tuple(image.path for image in images))
        return pictures, self._tokens(tuple(texts)), [len(image.captions) for image in images]

    def _pictures(self, paths: tuple[Path, ...]) -> AugmentedImages:
        config = self.config
        size, augment = config.image_gigabytes, config.augment
        return AugmentedImages(paths, self.processor, size, augment, config.seed, config.workers)

    def _tokens(self, texts: tuple[tuple[str, ...], ...]) -> TokenTable:
        longest = min(self.config.max_text_length, self._positions())
        return TokenTable.encode(self.processor.tokenizer, texts, longest)

    def _positions(self) -> int:
        """Tokens that the model has positions for."""
        return int(checkpoint_config(self.folder).get("max_position_embeddings", 514)) - 2

    def _load(self, kind: type[Model], labels: tuple[str, ...]) -> Start[Model]:
        """The checkpoint's weights, and a new head where it has none, from the seed."""
        names = {} if kind is Unimo2Model else _names_of_classes(labels)
        with seeded_weights(self.config.seed):
            fields = {**names, **self.recipe.model}
            return load_start(kind, self.folder, self.name, labels, fields)

    def _ready(
        self,
        start: Start[Model],
        objective: nn.Module,
        data: TaskData,
        held_out: Callable[[PreTrainedModel], float] | None = None,
    ) -> FinetuningRun:
        task = FinetuningTask(self.name, start.model, objective, data, self.processor)
        return FinetuningRun(task, with_steps(self.config, data.samples), held_out, start.dropped)


def _names_of_classes(labels: Sequence[str]) -> dict[str, Any]:
    """Fields of a model's configuration; without classes the answer is a number."""
    if not labels:
        return {"num_labels": 1}
    numbers = {label: number for number, label in enumerate(labels)}
    return {"id2label": dict(enumerate(labels)), "label2id": numbers}


@torch.no_grad()
def _held_out(
    pictures: AugmentedImages, labels: Tensor, batch_size: int, model: PreTrainedModel
) -> float:
    """Accuracy of a model on labelled images, in percent; each process looks at its part."""
    right = torch.zeros((), dtype=torch.long, device=model.device)
    for rows in torch.arange(len(pictures))[rank() :: world_size()].split(batch_size):
        logits = model(pixel_values=pictures.plain(rows).to(model.device)).logits
        right += (logits.argmax(dim=1).cpu() == labels[rows]).sum().to(model.device)
    return 100.0 * int(total(right)) / len(pictures)


class EncoderObjective(nn.Module):
    """The loss of a model for sequence classification, by the same rules as our own heads."""

    def __init__(self, model: PreTrainedModel, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Scalars "loss", "task", and "accuracy" in [0, 1] where there are classes."""
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids
        return judge(self.model(**inputs).logits.float(), batch.labels, self.label_smoothing)


def prepare_encoder(
    task: str, recipe: FinetuneRecipe, name_or_folder: str | Path, root: Path
) -> FinetuningRun:
    """Read the data of a GLUE task and load an encoder, with a new head where it has none.

    The encoder is a folder, or a repository of the model hub. The recipe's `model` table names no
    field of UNIMO-2's here and must be empty.

    Raises:
        BadCheckpoint: It cannot be loaded as a text encoder.
        UsageError: Or one of its kinds (MissingData, BadData).
    """
    config = recipe.training
    if recipe.model:
        raise UsageError(
            f"model.{', model.'.join(recipe.model)}: fields of UNIMO-2, which {name_or_folder} is "
            f"not; use a recipe without them, for example --config {task}"
        )
    samples = readers.read_glue(root, task)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_folder, trust_remote_code=False)
        with seeded_weights(config.seed):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                name_or_folder,
                dtype=torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # a head of other classes; the body is looked at below
                **_names_of_classes(samples.labels),
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadCheckpoint(
            f"{name_or_folder} cannot be loaded as a text encoder: {reason}; give a folder, or a "
            "repository of the hub that can be reached"
        ) from error
    misshapen = [str(key[0]) for key in info["mismatched_keys"]]
    _refuse_missing(model, [*info["missing_keys"], *misshapen], name_or_folder)
    limit = min(config.max_text_length, longest(model, tokenizer))
    texts = TokenTable.encode(tokenizer, samples.texts, limit)
    data = LabelledData(config, samples.targets, len(samples.texts), texts)
    objective = EncoderObjective(model, config.label_smoothing)
    built = FinetuningTask(task, model, objective, data, tokenizer)
    dropped = None
    if misshapen:
        name = Path(name_or_folder).name
        dropped = f"the head of {name} has other classes and is dropped: {task} gets a new one"
    return FinetuningRun(built, with_steps(config, data.samples), dropped=dropped)


def _refuse_missing(model: PreTrainedModel, missing: Iterable[str], source: str | Path) -> None:
    """Raise BadCheckpoint for weights of the encoder that a checkpoint lacks.

    A new head is what fine-tuning is for, and some checkpoints come without BERT's pooler;
    transformers would draw anything else at random, too, and go on.
    """
    body = f"{model.base_model_prefix}."
    lost = sorted(name for name in missing if name.startswith(body) and ".pooler." not in name)
    if lost:
        raise BadCheckpoint(
            f"{source} cannot be loaded as a text encoder: {len(lost)} of its weights are missing "
            f"or of another shape: {', '.join(lost[:3])}"
        )
