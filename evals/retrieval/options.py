"""The options of whatever scores images with texts: retrieval, and zero-shot classification."""

from __future__ import annotations

from dataclasses import dataclass

from evals.benchmark import option
from evals.image_sizes import image_size_option


@dataclass(frozen=True)
class PairOptions:
    """How pairs are chosen and scored.

    Attributes:
        contrastive_weight: w of itm + w * contrastive; None for the model's own.
        rerank: K of a contrastive shortlist whose pairs alone are fused; None or 0 for all pairs.
        image_size: Side of the square that images are resized to; None for the model's own.
    """

    contrastive_weight: float | None = option(
        None,
        "w of itm + w * contrastive; the model's own by default.",
        range=(-1_000_000, 1_000_000),
        variant="contrastive-weight-{:g}",
        capabilities=("pair_scorer",),
    )
    rerank: int | None = option(
        None,
        "Fuse only the K best candidates of each query by contrastive score; 0, as without: all.",
        metavar="K",
        range=(0, None),
        variant="rerank-{:g}",
        capabilities=("pair_scorer",),
    )
    image_size: int | None = image_size_option()

    def __post_init__(self) -> None:
        """Take 0 for what it means."""
        if self.rerank == 0:
            object.__setattr__(self, "rerank", None)
