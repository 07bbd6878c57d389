"""A batch that is spread over processes: gathering it, and means over all of it.

Every process computes the losses of its own rows against the rows of all. Gradients of processes are
averaged (by DistributedDataParallel), so that a loss is right if the mean over processes of what each
returns is the loss of the whole batch. With one process everything here is the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from unimo2.modeling.grounding import Grounding


def world_size() -> int:
    """Number of processes that train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    """All processes' rows; backward sums what every process has for one's own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """[b, ...] to [processes * b, ...]."""
        ctx.rows = len(rows)
        return gather_constant(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of one's own rows, over the losses of all processes."""
        summed = gradients[0].contiguous()
        distributed.all_reduce(summed)
        return summed[rank() * ctx.rows :][: ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """Rows of all processes, in the order of the processes, with gradients: [b, ...] to [B, ...].

    All processes must give the same shape.
    """
    return rows if world_size() == 1 else _Gather.apply(rows)


def gather_constant(rows: Tensor) -> Tensor:
    """As `gather`, without gradients."""
    if world_size() == 1:
        return rows.detach()
    rows = rows.detach().contiguous()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    distributed.all_gather(parts, rows)
    return torch.cat(parts)


def total(value: Tensor) -> Tensor:
    """The sum over processes, without gradients."""
    value = value.detach().clone()
    if world_size() > 1:
        distributed.all_reduce(value)
    return value


def widest(width: int, device: torch.device) -> int:
    """The largest of a number over processes."""
    if world_size() == 1:
        return width
    value = torch.tensor(width, device=device)
    distributed.all_reduce(value, distributed.ReduceOp.MAX)
    return int(value)


def of_main(value: Tensor) -> Tensor:
    """The main process's values, on every process; written into `value`."""
    if world_size() > 1:
        distributed.broadcast(value, src=0)
    return value


def balanced(grounding: Grounding, tokens: Tensor) -> Tensor:
    """A grounding loss whose mean over processes is that of all tokens together.

    Args:
        grounding: with its loss.
        tokens: how many tokens count on this process.

    Returns:
        Scalar.
    """
    assert grounding.loss is not None, "computed without a loss"
    if world_size() == 1 or grounding.token_loss is None:
        return grounding.loss
    tokens = tokens.float()
    surplus = tokens * world_size() / total(tokens) - 1.0
    return grounding.loss + surplus * grounding.token_loss


def mean_cross_entropy(
    logits: Tensor, labels: Tensor, ignored: int, count: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross entropy over the rows of all processes that have a label.

    Args:
        logits: float [rows, classes].
        labels: int64 [rows]; rows with the label `ignored` do not count.
        ignored: that label.
        count: int64, rows of all processes that do, from `total`.
        label_smoothing: share of the target that is spread over all classes.

    Returns:
        Scalar; its mean over processes is the mean over all rows.
    """
    losses = functional.cross_entropy(
        logits,
        labels,
        ignore_index=ignored,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return losses * (world_size() / count.clamp_min(1))
