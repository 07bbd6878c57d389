"""From a recipe and a data root to what a pre-training run needs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from unimo2.configuration import Unimo2Config
from unimo2.corpora import Corpora, caption_texts, load_pair_corpus, read_pairs
from unimo2.errors import UsageError
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
    """

    processor: Unimo2Processor
    model_config: Unimo2Config
    corpora: Corpora


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
    images = read_pairs(root, training.pair_sets)
    texts = [text for group in caption_texts(images) for text in group]
    tokenizer = train_tokenizer(texts, training.vocab_size)
    config = model_config(recipe, len(tokenizer))
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=config.image_size)
    corpus = load_pair_corpus(images, processor, training.max_text_length)
    return Prepared(processor, config, Corpora(corpus))
