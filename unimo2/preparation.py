"""From a recipe and a data root to what a pre-training run needs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.configuration import Unimo2Config
from unimo2.corpora import Corpora, ImageCorpus, PairCorpus, TextCorpus
from unimo2.corpora.pixels import decode_images
from unimo2.corpora.reading import CaptionedImage, prompted, read_labelled, read_pairs
from unimo2.corpora.texts import blocks, read_lines
from unimo2.errors import MissingData, UsageError
from unimo2.formats.flat import TextLine
from unimo2.formats.rows import Skips
from unimo2.pretrain_config import PretrainConfig
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.recipes import Recipe

_PRESETS = {
    "base": Unimo2Config.base,
    "mini": Unimo2Config.mini,
    "released": Unimo2Config.released,
}


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
    pairs = read_pairs(root, training.pair_sets, skips)
    labelled = prompted(read_labelled(root, training.image_sets, skips), training.prompts)
    lines = list(read_lines(root, training.text_sets, skips))
    texts = chain(
        (text for image in chain(pairs, labelled) for text in image.texts),
        (line.text for line in lines),
    )
    tokenizer = find_tokenizer(training, texts)
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
    corpora = _in_memory(training, processor, pairs, labelled, lines)
    return Prepared(processor, config, corpora, skips)


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


def _in_memory(
    training: PretrainConfig,
    processor: Unimo2Processor,
    pairs: Sequence[CaptionedImage],
    labelled: Sequence[CaptionedImage],
    lines: Sequence[TextLine],
) -> Corpora:
    """Decode and tokenise everything once."""
    prompts = images = texts = None
    if labelled:
        pixels = decode_images([image.path for image in labelled], processor.image_size)
        images = ImageCorpus(pixels, processor)
        sentences = [image.texts for image in labelled]
        prompts = PairCorpus(pixels, sentences, processor, training.max_text_length)
    if lines:
        packed = blocks(lines, processor, training.text_limit)
        texts = TextCorpus(packed, processor, training.text_limit)
    corpus = load_pair_corpus(pairs, processor, training.max_text_length)
    return Corpora(corpus, processor, prompts, images, texts)


def load_pair_corpus(
    images: Sequence[CaptionedImage], processor: Unimo2Processor, max_text_length: int
) -> PairCorpus:
    """Decode and tokenise the pairs of some images into a corpus in memory."""
    pixels = decode_images([image.path for image in images], processor.image_size)
    return PairCorpus(pixels, [image.texts for image in images], processor, max_text_length)
