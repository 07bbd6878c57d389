"""Batches of a training step, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

_Batch = TypeVar("_Batch", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """Tensors of a step, and other values beside them."""

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind: "pairs", "prompts", "images", "texts"; those that there are."""
        raise NotImplementedError

    def to(self: _Batch, device: torch.device) -> _Batch:
        """The same batch on another device; non-tensors are unchanged."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {k: v.to(device) for k, v in values.items() if isinstance(v, (Tensor, Batch))}
        return replace(self, **moved)


@dataclass(frozen=True)
class PairBatch(Batch):
    """Image-text pairs with the numbers that decide their masks and negatives."""

    pixel_values: Tensor  # float32 [B, 3, S, S], normalised
    input_ids: Tensor  # int64 [B, N], padded on the right
    attention_mask: Tensor  # int64 [B, N], 1 at real tokens
    masked_ids: Tensor  # int64 [R, N], the first R texts with spans hidden; R may be 0
    labels: Tensor  # int64 [R, N], -100 where nothing is to be predicted
    image_index: Tensor  # int64 [B], which image of the corpora each sample shows
    # float32 [B, 2 or more] in [0, 1): for the hard text and the hard image, or for the partners in
    # a group
    negative_noise: Tensor
    position: Tensor  # int64 [B], the place of each sample in the batch of all processes
    prompts: int = 0  # how many of the samples are pseudo pairs made of labels
    seed: int = 0  # for what else is drawn at random in the step
    fused: bool = True  # whether the step trains fusion, or the towers alone

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        counts = {"pairs": len(self.pixel_values) - self.prompts, "prompts": self.prompts}
        return {kind: number for kind, number in counts.items() if number}


@dataclass(frozen=True)
class ImageBatch(Batch):
    """Two views of each image."""

    views: Tensor  # float32 [2 B, 3, S, S], normalised; rows i and B + i show the same image

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"images": len(self.views) // 2}


@dataclass(frozen=True)
class TextBatch(Batch):
    """Texts with spans hidden."""

    masked_ids: Tensor  # int64 [B, N], padded on the right
    attention_mask: Tensor  # int64 [B, N], 1 at real tokens
    labels: Tensor  # int64 [B, N], -100 where nothing is to be predicted

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"texts": len(self.masked_ids)}


@dataclass(frozen=True)
class MixedBatch(Batch):
    """All that a step of pre-training holds; kinds that it does not hold are None."""

    pairs: PairBatch | None = None  # pseudo pairs among them
    images: ImageBatch | None = None
    texts: TextBatch | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        found: dict[str, int] = {}
        for part in (self.pairs, self.images, self.texts):
            found |= {} if part is None else part.counts
        return found


@dataclass(frozen=True)
class LabelledBatch(Batch):
    """Images, texts or both, with what is to be said of them."""

    labels: Tensor  # int64 [b] classes, float32 [b] numbers, or float32 [b, c] soft targets
    pixel_values: Tensor | None = None  # float32 [b, 3, S, S], normalised
    input_ids: Tensor | None = None  # int64 [b, n]
    attention_mask: Tensor | None = None  # int64 [b, n], 1 at real tokens
    # int64 [b, n], for text encoders that tell a pair's sentences apart
    token_type_ids: Tensor | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        image, text = self.pixel_values is not None, self.input_ids is not None
        kind = "pairs" if image and text else "images" if image else "texts"
        return {kind: len(self.labels)}
