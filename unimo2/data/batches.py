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
    """Image-text pairs with the numbers that decide their masks and negatives.

    Attributes:
        pixel_values: float32 [B, 3, S, S], normalised.
        input_ids: int64 [B, N], padded on the right.
        attention_mask: int64 [B, N], 1 at real tokens.
        masked_ids: int64 [R, N], the first R texts with spans hidden; R may be 0.
        labels: int64 [R, N], -100 where nothing is to be predicted.
        image_index: int64 [B], which image of the corpora each sample shows.
        negative_noise: float32 [B, 2 or more] in [0, 1): for the hard text and the hard image, or for
            the partners in a group.
        position: int64 [B], the place of each sample in the batch of all processes.
        prompts: how many of the samples are pseudo pairs made of labels.
        seed: for what else is drawn at random in the step.
        fused: whether the step trains fusion, or the towers alone.
    """

    pixel_values: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    masked_ids: Tensor
    labels: Tensor
    image_index: Tensor
    negative_noise: Tensor
    position: Tensor
    prompts: int = 0
    seed: int = 0
    fused: bool = True

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return _nonzero(pairs=len(self.pixel_values) - self.prompts, prompts=self.prompts)

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class ImageBatch:
    """Two views of each image.

    Attributes:
        views: float32 [2 B, 3, S, S], normalised; rows i and B + i show the same image.
    """

    views: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"images": len(self.views) // 2}

    def to(self, device: torch.device) -> ImageBatch:
        """The same batch on another device."""
        return ImageBatch(self.views.to(device))


@dataclass(frozen=True)
class LabelledBatch:
    """Images with their classes.

    Attributes:
        pixel_values: float32 [B, 3, S, S], normalised.
        targets: float32 [B, classes], a distribution each.
    """

    pixel_values: Tensor
    targets: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"images": len(self.pixel_values)}

    def to(self, device: torch.device) -> LabelledBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class TextBatch:
    """Texts with spans hidden.

    Attributes:
        masked_ids: int64 [B, N], padded on the right.
        attention_mask: int64 [B, N], 1 at real tokens.
        labels: int64 [B, N], -100 where nothing is to be predicted.
    """

    masked_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"texts": len(self.masked_ids)}

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on another device."""
        return moved(self, device)


@dataclass(frozen=True)
class MixedBatch:
    """All that a step holds; kinds that it does not hold are None.

    Attributes:
        pairs: image-text pairs, pseudo pairs among them.
        images: images alone.
        texts: texts alone.
    """

    pairs: PairBatch | None = None
    images: ImageBatch | None = None
    texts: TextBatch | None = None

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
