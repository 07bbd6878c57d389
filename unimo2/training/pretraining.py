"""Pre-training as a task of the trainer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.data.batches import MixedBatch
from unimo2.data.corpora import CaptionedImage, prompted, read_labelled, read_pairs
from unimo2.data.images import HeldPixels, decode_images
from unimo2.data.pairs import (
    ImageCorpus,
    Index,
    PairCorpus,
    held_pairs,
    streamed_images,
    streamed_pairs,
)
from unimo2.data.seeding import WEIGHTS, Share, stream_seed
from unimo2.data.text_blocks import FileBlocks, HeldBlocks, TextCorpus, blocks, text_folders
from unimo2.errors import MissingData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.plain_text import TextLine, text_lines
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.towers import load_roberta, load_vit, start_from_towers
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.training.checkpoints import save_model, save_tensors
from unimo2.training.config import PretrainConfig
from unimo2.training.curriculum import Corpora
from unimo2.training.match_groups import GroupMatching
from unimo2.training.objectives import JointObjective, LossWeights
from unimo2.training.recipes import Recipe
from unimo2.training.trainer import Evaluate, OnProgress, TrainSummary, train

# From a recipe and a data root to what a pre-training run needs.


_PRESETS = {
    "base": Unimo2Config.base,
    "mini": Unimo2Config.mini,
    "released": Unimo2Config.released,
}


# What items of corpora are called in messages, with the setting of their number.
_PAIRS = "images (training.batch_size)"
_LABELLED = "labelled images (training.prompt_share)"
# Lines of text that a tokenizer is trained on: far more than enough for one.
_TOKENIZER_LINES = 2_000_000


@dataclass(frozen=True)
class Prepared:
    """What `unimo2.training.pretraining.pretrain` is given.

    Attributes:
        processor: with a tokenizer trained on the captions.
        model_config: with that tokenizer's size.
        corpora: decoded and tokenised.
        skips: what was left out of them: images that are not on disk, rows that cannot be used.
    """

    processor: Unimo2Processor
    model_config: Unimo2Config
    corpora: Corpora
    skips: Skips


def model_fields() -> dict[str, object]:
    """The names and defaults of `Unimo2Config`'s own fields, without those of transformers."""
    parameters = inspect.signature(Unimo2Config.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def model_config(recipe: Recipe, vocab_size: int | None = None) -> Unimo2Config:
    """The model configuration of a recipe.

    Args:
        recipe: gives the preset and the fields that differ from it.
        vocab_size: entries of the tokenizer; None for the preset's.

    Raises:
        UsageError: an unknown preset or field, or a value that cannot be meant.
    """
    if recipe.preset not in _PRESETS:
        known = ", ".join(_PRESETS)
        raise UsageError(f"model.preset is {recipe.preset!r}; known are: {known}")
    unknown = sorted(set(recipe.model) - set(model_fields()))
    if unknown:
        raise UsageError(f"{recipe.name}: no model field is called {', '.join(unknown)}")
    tokens = {} if vocab_size is None else {"vocab_size": vocab_size}
    return _PRESETS[recipe.preset](**{**recipe.model, **tokens})


def prepare(recipe: Recipe, root: Path) -> Prepared:
    """Read and decode the corpora, train the tokenizer, build the model configuration.

    Args:
        recipe: what is going to be trained.
        root: data root.

    Raises:
        UsageError: or one of its kinds (MissingData, BadData).
    """
    training = recipe.training
    skips = Skips()
    found = _find(training, root, skips)
    tokenizer = find_tokenizer(training, found.all_texts())
    config = model_config(recipe, len(tokenizer))
    # RoBERTa's positions start after the padding id.
    longest = config.max_position_embeddings - config.pad_token_id - 1
    for name, length in (
        ("max_text_length", training.max_text_length),
        ("text_length", training.text_limit),
    ):
        if length > longest:
            raise UsageError(
                f"training.{name} is {length}, but the model has positions for {longest} tokens: "
                "lower it, or raise model.max_position_embeddings"
            )
    processor = Unimo2Processor(
        tokenizer=tokenizer, image_size=config.image_size, max_text_length=longest
    )
    put_together = _streamed if training.loading == "stream" else _in_memory
    return Prepared(processor, config, put_together(training, processor, found), skips)


def find_tokenizer(training: PretrainConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of the text tower that training starts from, or one trained on the texts.

    Raises:
        MissingData: the text tower's folder or hub id has no tokenizer.
    """
    if not training.text_tower:
        return train_tokenizer(texts, training.vocab_size)
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(training.text_tower)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(f"no tokenizer at {training.text_tower!r}: {reason}") from None
    return found


@dataclass(frozen=True)
class _Found:
    """What lies in a data root: images with texts, labelled images with prompts, and texts.

    Attributes:
        pairs: of the corpora of pairs.
        labelled: of the corpora of images, with prompts made of their labels.
        folders: of the corpora of text.
        skips: counts lines of text that cannot be read.
    """

    pairs: list[CaptionedImage] | Index
    labelled: list[CaptionedImage] | Index
    folders: list[Path]
    skips: Skips

    def all_texts(self) -> Iterator[str]:
        """What a tokenizer is trained on: captions, prompts, and lines of text."""
        for images in (self.pairs, self.labelled):
            if isinstance(images, Index):
                yield from images.texts
            else:
                yield from (text for image in images for text in image.texts)
        for line in islice(self.lines(), _TOKENIZER_LINES):
            yield line.text

    def lines(self) -> Iterator[TextLine]:
        """The lines of text."""
        return chain.from_iterable(text_lines(folder, self.skips) for folder in self.folders)


def _find(training: PretrainConfig, root: Path, skips: Skips) -> _Found:
    """Read annotations; images and texts are left where they are."""
    hold = Index if training.loading == "stream" else list
    pairs = hold(read_pairs(root, training.pair_sets, skips))
    labelled = read_labelled(root, training.image_sets, skips)
    folders = text_folders(root, training.text_sets)
    return _Found(pairs, hold(prompted(labelled, training.prompts)), folders, skips)


def _in_memory(training: PretrainConfig, processor: Unimo2Processor, found: _Found) -> Corpora:
    """Decode and tokenise everything once."""
    assert isinstance(found.pairs, list) and isinstance(found.labelled, list)
    prompts = images = texts = None
    if found.labelled:
        places = [image.path for image in found.labelled]
        pixels = decode_images(places, processor.image_size, training.workers)
        images = ImageCorpus(HeldPixels(pixels), processor)
        sentences = [image.texts for image in found.labelled]
        limit = training.max_text_length
        prompts = held_pairs(pixels, sentences, processor, limit, _LABELLED)
    if found.folders:
        packed = blocks(found.lines(), processor, training.text_limit)
        texts = TextCorpus(HeldBlocks(packed), processor, training.text_limit)
    corpus = load_pair_corpus(found.pairs, processor, training.max_text_length, training.workers)
    return Corpora(corpus, processor, prompts, images, texts)


def _streamed(training: PretrainConfig, processor: Unimo2Processor, found: _Found) -> Corpora:
    """Leave everything in its files until it is due."""
    assert isinstance(found.pairs, Index) and isinstance(found.labelled, Index)
    prompts = images = texts = None
    if len(found.labelled.sources):
        images = streamed_images(found.labelled, processor, training)
        prompts = streamed_pairs(found.labelled, processor, training, _LABELLED)
    if found.folders:
        packed = FileBlocks(found.folders, processor, training.text_limit)
        texts = TextCorpus(packed, processor, training.text_limit, training.shuffle_buffer)
    corpus = streamed_pairs(found.pairs, processor, training, _PAIRS)
    return Corpora(corpus, processor, prompts, images, texts)


def load_pair_corpus(
    images: Sequence[CaptionedImage],
    processor: Unimo2Processor,
    max_text_length: int,
    workers: int = 4,
) -> PairCorpus:
    """Decode and tokenise the pairs of some images into a corpus in memory."""
    pixels = decode_images([image.path for image in images], processor.image_size, workers)
    return held_pairs(pixels, [image.texts for image in images], processor, max_text_length, _PAIRS)


class PretrainingTask:
    """A model with random weights, the losses of pre-training, and its corpora."""

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Unimo2Config,
        processor: Unimo2Processor,
        corpora: Corpora,
    ) -> None:
        """Build the model; its weights follow from the seed, or from the configuration's towers.

        Raises:
            UsageError: the towers are missing, or of other sizes than the model.
        """
        self.config, self.processor, self.corpora = config, processor, corpora
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, 0, WEIGHTS))
            whole = Unimo2ForPreTraining(model_config)
        self.model = whole.unimo2
        if config.vision_tower:
            weights_file = Path(config.vision_weights) if config.vision_weights else None
            vit = load_vit(config.vision_tower, weights_file)
            start_from_towers(self.model, vit, load_roberta(config.text_tower))
        self.objective = joint_objective(config, whole, with_images=corpora.images is not None)
        self._checked = 0  # parts of a batch for which both phases are known to be possible

    def batch(self, step: int, share: Share) -> MixedBatch:
        """A part of the batch of a step.

        Raises:
            UsageError: a batch of this phase, or of the one to come, cannot be made.
        """
        if self._checked != share.world:
            self.corpora.require(self.config, share)
            self._checked = share.world
        return self.corpora.batch(step, self.config, share)

    def identity(self) -> dict[str, Any]:
        """Model and corpora."""
        return {"model": self.model.config.to_diff_dict(), "corpora": self.corpora.describe()}

    def describe(self) -> dict[str, Any]:
        """Model and corpora."""
        return self.identity()

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model and its processor, and beside them the projection of views, if trained.

        The projection (`vcl_projection.safetensors`) is needed to train on, not to use the model.
        """
        save_model(self.model, self.processor, folder, dtype)
        if self.objective.projection is not None:
            save_tensors(self.objective.projection, folder.parent / "vcl_projection.safetensors")


def joint_objective(
    config: PretrainConfig, model: Unimo2ForPreTraining, with_images: bool
) -> JointObjective:
    """The losses over a model as a configuration weighs them.

    Args:
        config: weights, shares and temperatures.
        model: what is trained.
        with_images: whether images alone are trained on, for which a projection is added.
    """
    weights = LossWeights(
        mlm=config.mlm_weight,
        itm=config.itm_weight,
        contrastive=config.contrastive_weight,
        grounding=config.grounding_weight,
        vcl=config.vcl_weight,
        text=config.text_weight,
    )
    return JointObjective(
        model,
        weights,
        config.hard_share,
        config.match_share,
        config.vcl_temperature,
        with_images=with_images,
        restart_unused=config.restart_unused,
        negatives_from=config.negatives_from,
        groups=GroupMatching(config.match_group, config.match_fused, config.contrast_share),
    )


def pretrain(
    config: PretrainConfig,
    model_config: Unimo2Config,
    processor: Unimo2Processor,
    corpora: Corpora,
    output: Path,
    resume: str = "auto",
    device: str = "auto",
    on_progress: OnProgress | None = None,
    evaluate: Evaluate | None = None,
) -> TrainSummary:
    """Train a model from random weights and save it; see `unimo2.training.trainer.train`.

    Args:
        config: how to train.
        model_config: which model.
        processor: saved with the model.
        corpora: what to train on.
        output: folder for model/, checkpoint/, log.jsonl and train.json.
        resume: "auto" continues the run that the folder holds, if any; "never" starts over.
        device: "auto", "cpu" or "cuda".
        on_progress: called after every logged interval, on the main process.
        evaluate: called every `config.eval_every` steps; what it returns is logged.

    Raises:
        BadCheckpoint: the folder's checkpoint is damaged or belongs to another run.
        TrainingFailed: a loss or gradient is no number, or the disk is full.
        UsageError: a configuration that cannot run on this data or machine.
    """
    task = PretrainingTask(config, model_config, processor, corpora)
    return train(task, config, output, resume, device, on_progress, evaluate)
