"""From a recipe and a data root to what a pre-training run needs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.data.corpora import CaptionedImage, prompted, read_labelled, read_pairs
from unimo2.data.curriculum import Corpora
from unimo2.data.images import HeldPixels, decode_images
from unimo2.data.pairs import (
    ImageCorpus,
    Index,
    PairCorpus,
    held_pairs,
    streamed_images,
    streamed_pairs,
)
from unimo2.data.text_blocks import FileBlocks, HeldBlocks, TextCorpus, blocks, text_folders
from unimo2.errors import MissingData, UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.plain_text import TextLine, text_lines
from unimo2.modeling.configuration import Unimo2Config
from unimo2.pretrain_config import PretrainConfig
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.recipes import Recipe

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
    """What `unimo2.training.pretrain` is given.

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
