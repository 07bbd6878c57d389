"""The contrastive loss of images and texts within a batch (InfoNCE)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    image_features: Tensor,
    text_features: Tensor,
    temperature: Tensor,
    everyone: tuple[Tensor, Tensor] | None = None,
    targets: Tensor | None = None,
    hidden: Tensor | None = None,
    cross_entropy: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
) -> Tensor:
    """InfoNCE within a batch, the mean of both directions (released code).

    Args:
        image_features: [b, D].
        text_features: [b, D], row i belonging to image i.
        temperature: Divisor of products of features, one number.
        everyone: Images and texts [B, D] that they are compared with; None for each other.
        targets: int64 [b], where the b stand among the B; in their order when None.
        hidden: bool [b, B], pairs that are neither right nor wrong answers.
        cross_entropy: Cross entropy of logits [b, B] and targets.

    Returns:
        Scalar.
    """
    images, texts = everyone or (image_features, text_features)
    if targets is None:
        targets = torch.arange(len(image_features), device=image_features.device)

    def loss(logits: Tensor) -> Tensor:
        shown = logits if hidden is None else logits.masked_fill(hidden, float("-inf"))
        return cross_entropy(shown, targets)

    there = image_features @ texts.t() / temperature  # [b, B]
    first = loss(there)
    back = there.t() if everyone is None else text_features @ images.t() / temperature
    return (first + loss(back)) / 2
