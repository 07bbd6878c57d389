"""The circle loss of retrieval fine-tuning, and negatives for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def circle_loss(
    positive: Tensor, negative: Tensor, usable: Tensor, margin: float, scale: float
) -> Tensor:
    """Circle loss (Sun et al., 2020, equation 6) of one positive against several negatives.

    log(1 + sum_j exp(g a_j (n_j - m)) * exp(-g a (p - 1 + m))) with the weights
    a = max(0, 1 + m - p) and a_j = max(0, n_j + m), through which no gradient goes. Scores are
    taken as they are, logits too (released code): one above 1 + m has been learned, and so has a
    negative below -m.

    Args:
        positive: [b] scores p of the true pairs.
        negative: [b, n] scores n_j of the others.
        usable: bool [b, n], False where there is no such negative.
        margin: m.
        scale: g.

    Returns:
        Scalar, the mean over the b.
    """
    positive, negative = positive.float(), negative.float()
    weight = (1.0 + margin - positive).clamp_min(0.0).detach()
    weights = (negative + margin).clamp_min(0.0).detach()
    of_positive = -scale * weight * (positive - (1.0 - margin))  # [b]
    of_negative = scale * weights * (negative - margin)  # [b, n]
    of_negative = of_negative.masked_fill(~usable, float("-inf"))
    # log(1 + exp(x)) with x = log of the product, so that large scores do not overflow.
    product = of_negative.logsumexp(dim=1) + of_positive
    return functional.softplus(product).mean()


def draw_several(
    similarity: Tensor, excluded: Tensor, noise: Tensor, count: int, hard_share: float
) -> tuple[Tensor, Tensor]:
    """Draw negatives for every row, without repetition.

    Hard ones are drawn with probabilities softmax(similarity) (largest perturbed logits: the
    Gumbel-max trick), the others uniformly among the rest.

    Args:
        similarity: [b, c], logits of row against column (contrastive score / temperature).
        excluded: bool [b, c], columns that are no negative of the row.
        noise: [b, 2, c] in [0, 1), for the hard draws and the uniform ones.
        count: negatives a row; fewer where there are fewer columns.
        hard_share: share of them that are hard, rounded.

    Returns:
        Columns int64 [b, count], and bool [b, count]: whether it is a negative at all.
    """
    count = min(count, similarity.shape[1])
    hard = round(count * hard_share)
    tiny = torch.finfo(torch.float32).tiny
    gumbel = -(-noise.float().clamp(tiny, 1.0 - 1e-7).log()).log()  # [b, 2, c]
    never = torch.full_like(similarity, float("-inf"), dtype=torch.float32)
    logits = torch.where(excluded, never, similarity.detach().float())
    first = (logits + gumbel[:, 0]).topk(hard, dim=1)
    left = excluded.scatter(1, first.indices, True)
    second = torch.where(left, never, gumbel[:, 1]).topk(count - hard, dim=1)
    columns = torch.cat([first.indices, second.indices], dim=1)
    return columns, torch.cat([first.values, second.values], dim=1).isfinite()
