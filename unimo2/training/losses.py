"""Loss functions, and the choice of negatives.

Which negatives are drawn is decided by uniform numbers that come with the batch, so that a step can be
repeated exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unimo2.training.distributed import gather, rank


def same_pair(input_ids: Tensor, image_index: Tensor, all_ids: Tensor, all_index: Tensor) -> Tensor:
    """Pairs that are not negatives of each other, bool [..., b, B].

    Those are a sample and itself, samples of the same image (index [..., b]), and samples of the
    same words (padded ids [..., b, N]).
    """
    words = (input_ids[..., :, None, :] == all_ids[..., None, :, :]).all(dim=-1)
    return words | (image_index[..., :, None] == all_index[..., None, :])


def draw_negatives(
    similarity: Tensor, excluded: Tensor, noise: Tensor, hard_share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw n different negatives for every row, one after the other.

    A hard one is the likelier, the more similar it is.

    Args:
        similarity: float [b, B], logits of row against column (contrastive score / temperature).
        excluded: bool [b, B], columns that are not negatives of the row.
        noise: float [b, n] in [0, 1), one number a draw (inverse of the cumulative distribution).
        hard_share: Probability of a draw by the softmax of the similarities; the others are
            uniform.

    Returns:
        Drawn columns int64 [b, n], and bool [b, n]: whether there was any left to draw. Where there
        was none the column means nothing.
    """
    drawn, found = [], []
    for numbers in noise.unbind(dim=1):
        scores = similarity.detach().float().masked_fill(excluded, float("-inf"))
        has_any = ~excluded.all(dim=1)
        hard = torch.softmax(scores.masked_fill(~has_any[:, None], 0.0), dim=1).double()
        uniform = (~excluded).double()
        uniform = uniform / uniform.sum(dim=1, keepdim=True).clamp_min(1.0)
        edges = (hard_share * hard + (1.0 - hard_share) * uniform).cumsum(dim=1)
        edges = edges / edges[:, -1:]
        column = torch.searchsorted(edges, numbers.double()[:, None], right=True)
        column = column.clamp_max(similarity.shape[1] - 1)
        excluded = excluded.scatter(1, column, True)
        drawn.append(column)
        found.append(has_any)
    return torch.cat(drawn, dim=1), torch.stack(found, dim=1)


def draw_several(
    similarity: Tensor, excluded: Tensor, noise: Tensor, count: int, hard_share: float
) -> tuple[Tensor, Tensor]:
    """Draw a fixed share of hard negatives for every row at once, without repetition.

    Hard ones are drawn with probabilities softmax(similarity) (largest perturbed logits: the
    Gumbel-max trick), the others uniformly among the rest.

    Args:
        similarity: [b, c], as for `draw_negatives`.
        excluded: bool [b, c], columns that are not negatives of the row.
        noise: [b, 2, c] in [0, 1), for the hard draws and the uniform ones.
        count: Negatives a row; fewer where there are fewer columns.
        hard_share: Share of them that are hard, rounded.

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
    return functional.softplus(of_negative.logsumexp(dim=1) + of_positive).mean()


def nt_xent(features: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """SimCLR's loss: tell a view's other view from all other views, those of other processes too.

    Features are float32 [2 b, D] of length 1; rows i and b + i are views of the same image. Also
    returned is the share of views whose most similar other view is of the same image.
    """
    count, first = len(features), rank() * len(features)
    logits = features @ gather(features).T / temperature  # [2 b, 2 B]
    rows = torch.arange(count, device=features.device)
    logits[rows, first + rows] = float("-inf")  # itself
    partner = first + rows.roll(count // 2)
    correct = logits.detach().argmax(dim=1) == partner
    return functional.cross_entropy(logits, partner), correct.float().mean()
