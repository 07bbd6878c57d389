"""Negatives for matching: which pairs of a batch are none, and how the others are drawn.

Which are drawn is decided by uniform numbers that come with the batch, so that a step can be repeated
exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor


def same_pair(input_ids: Tensor, image_index: Tensor, all_ids: Tensor, all_index: Tensor) -> Tensor:
    """Pairs that are no negatives of each other, bool [b, B].

    Those are a sample and itself, samples of the same image, and samples of the same words.

    Args:
        input_ids: int64 [b, N], padded.
        image_index: int64 [b], which image each sample shows.
        all_ids: int64 [B, N], of the samples to compare with.
        all_index: int64 [B].
    """
    words = (input_ids[:, None, :] == all_ids[None, :, :]).all(dim=-1)
    return words | (image_index[:, None] == all_index[None, :])


def draw_negatives(
    similarity: Tensor, excluded: Tensor, noise: Tensor, hard_share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw one negative for every row; a hard one is the likelier, the more similar it is.

    Args:
        similarity: float [B, B], logits of row against column (contrastive score / temperature).
        excluded: bool [B, B], columns that are no negative of the row.
        noise: float [B] in [0, 1), one number a row (inverse of the cumulative distribution).
        hard_share: probability of a draw by the softmax of the similarities; the others are
            uniform.

    Returns:
        The drawn columns int64 [B], and bool [B]: whether the row has any negative at all. Where
        it has none the column means nothing.
    """
    scores = similarity.detach().float().masked_fill(excluded, float("-inf"))
    has_any = ~excluded.all(dim=1)
    hard = torch.softmax(scores.masked_fill(~has_any[:, None], 0.0), dim=1).double()
    uniform = (~excluded).double()
    uniform = uniform / uniform.sum(dim=1, keepdim=True).clamp_min(1.0)
    edges = (hard_share * hard + (1.0 - hard_share) * uniform).cumsum(dim=1)
    edges = edges / edges[:, -1:]
    drawn = torch.searchsorted(edges, noise.double()[:, None], right=True).squeeze(1)
    return drawn.clamp_max(similarity.shape[1] - 1), has_any
