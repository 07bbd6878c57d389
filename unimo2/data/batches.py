"""What a step of pre-training holds, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Batch = TypeVar("Batch", bound="DataclassInstance")


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch with its tensors on another device.

    Args:
        batch: a dataclass; what is no tensor stays as it is.
        device: where to.
    """
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    tensors: dict[str, Any] = {
        name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)
    }
    return replace(batch, **tensors)


@dataclass(frozen=True)
class PairBatch:
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
        return _nonzero(pairs=len(self.pixel_values) - self.prompts, prompts=self.prompts)

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class ImageBatch:
    """Two views of each image."""

    views: Tensor  # float32 [2 B, 3, S, S], normalised; rows i and B + i show the same image

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"images": len(self.views) // 2}

    def to(self, device: torch.device) -> ImageBatch:
        """The same batch on another device."""
        return ImageBatch(self.views.to(device))


@dataclass(frozen=True)
class LabelledBatch:
    """Images with their classes."""

    pixel_values: Tensor  # float32 [B, 3, S, S], normalised
    targets: Tensor  # float32 [B, classes], a distribution each

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"images": len(self.pixel_values)}

    def to(self, device: torch.device) -> LabelledBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class TextBatch:
    """Texts with spans hidden."""

    masked_ids: Tensor  # int64 [B, N], padded on the right
    attention_mask: Tensor  # int64 [B, N], 1 at real tokens
    labels: Tensor  # int64 [B, N], -100 where nothing is to be predicted

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"texts": len(self.masked_ids)}

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class MixedBatch:
    """All that a step holds; kinds that it does not hold are None."""

    pairs: PairBatch | None = None  # image-text pairs, pseudo pairs among them
    images: ImageBatch | None = None  # images alone
    texts: TextBatch | None = None  # texts alone

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind: "pairs", "prompts", "images", "texts"; those that there are."""
        found: dict[str, int] = {}
        for part in (self.pairs, self.images, self.texts):
            found |= {} if part is None else part.counts
        return found

    def to(self, device: torch.device) -> MixedBatch:
        """The same batch on another device."""
        return MixedBatch(
            self.pairs and self.pairs.to(device),
            self.images and self.images.to(device),
            self.texts and self.texts.to(device),
        )


def _nonzero(**counts: int) -> dict[str, int]:
    return {kind: number for kind, number in counts.items() if number}
