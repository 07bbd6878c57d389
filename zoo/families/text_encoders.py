"""Adapter of text encoders: folders of transformers' models for sequence classification.

Our own fine-tuned encoders are such folders with "task" in their config.json; others are taken as
fine-tuned for what they are evaluated on. Texts of one length share a call, so nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.processing import longest
from zoo.adapter import class_names, equal_lengths, evaluated
from zoo.cards import Card, weights_sha256

_HEAD = "ForSequenceClassification"
_ACTIVATION_BYTES = {"cpu": 4 * 2**20, "cuda": 2**31}
_TEXT_ROWS = 48  # of a usual pair of sentences, for the choice of a batch size


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a folder with this `config.json` holds such a model."""
    names = config.get("architectures") or ()
    return any(str(name).endswith(_HEAD) for name in names)


def capabilities(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the model of a `config.json` can do: keys of `zoo.protocols.CAPABILITIES`."""
    return ("text_classifier",)


def load(
    folder: Path, card: Card, device: str = "auto", dtype: str | None = None
) -> TransformersTextClassifier:
    """Load a model folder; its weights must be whole, the head included.

    Args:
        folder: Holds config.json, model.safetensors and the tokenizer's files.
        card: The model's card.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Of the whole model; None for float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, or weights are missing.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder, output_loading_info=True, dtype=precision
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadCheckpoint(f"{folder} cannot be read as a text encoder: {reason}") from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadCheckpoint(
            f"{folder}: {len(missing)} weights are missing: {', '.join(missing[:3])}; an encoder "
            "without its classification head must be fine-tuned first"
        )
    model = model.eval().to(chosen)
    return TransformersTextClassifier(card.name, model, tokenizer, weights_sha256(folder))


class TransformersTextClassifier:
    """A transformers model for sequence classification as a `TextClassifier`."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights_sha256: str,
    ) -> None:
        """Wrap a model with its tokenizer and its weights' sha256."""
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.weights_sha256 = weights_sha256
        width = int(getattr(model.config, "intermediate_size", None) or 3072)
        number = next(model.parameters()).element_size()
        wanted = _ACTIVATION_BYTES.get(model.device.type, _ACTIVATION_BYTES["cpu"])
        self.batch_size = max(1, wanted // (_TEXT_ROWS * width * number))

    @property
    def device(self) -> str:
        """Where the model is, as torch spells it."""
        return str(self.model.device)

    @property
    def dtype(self) -> str:
        """Of the weights."""
        return str(next(self.model.parameters()).dtype).removeprefix("torch.")

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration, as in its config.json: nothing of where it lies."""
        fields = self.model.config.to_dict()
        return {name: value for name, value in fields.items() if not name.startswith("_")}

    @property
    def text_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_texts`."""
        return class_names(self.model.config)

    @evaluated
    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Logits [texts, classes] or numbers [texts, 1], float32."""
        pairs = () if second is None else (list(second),)
        encoded = self.tokenizer(
            list(first), *pairs, truncation=True, max_length=longest(self.model, self.tokenizer)
        )
        rows = cast(list[list[int]], encoded["input_ids"])
        logits: list[Tensor | None] = [None] * len(rows)
        for places in equal_lengths(rows, self.batch_size):
            batch = {
                name: torch.tensor([values[place] for place in places], device=self.model.device)
                for name, values in encoded.items()
            }
            for place, row in zip(places, self.model(**batch).logits, strict=True):
                logits[place] = row.float()
        return torch.stack([row for row in logits if row is not None])
