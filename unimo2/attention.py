"""One attention for the text tower and the Grounded Transformer, and the choice of its kernel.

Masks are additive: 0 where a query may look, a large negative number where it may not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface

# The released code adds (mask - 1) * 1e4 in float32, and that number is part of its results.
RELEASED_MASK_VALUE = -1e4


def prefers_matmul(query: Tensor) -> bool:
    """Whether plain matmul-softmax-matmul is the faster path for this query.

    Decided by measurement, which `unimo2 bench fusion` repeats: on CPUs the fused kernel's bfloat16
    backward with a mask is several times slower than the plain products; everywhere else the fused
    kernel is at least as fast.
    """
    if query.device.type != "cpu":
        return False
    low_precision = query.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return low_precision and torch.is_grad_enabled()


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention.

    Args:
        query: [b, heads, q, d].
        key: [b, heads, k, d].
        value: [b, heads, k, d].
        bias: Additive mask that broadcasts to [b, heads, q, k], or None.
        dropout: Probability with which attention weights are dropped.

    Returns:
        [b, heads, q, d].
    """
    if bias is not None and bias.dtype != query.dtype:
        bias = bias.to(query.dtype)
    path = plain_attention if prefers_matmul(query) else fused_attention
    return path(query, key, value, bias, dropout)


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """`attend` by torch's fused kernel."""
    return F.scaled_dot_product_attention(query, key, value, bias, dropout)


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """`attend` by a product, a softmax and a product."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        logits = logits + bias
    weights = logits.softmax(dim=-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    return weights.to(value.dtype) @ value


def key_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask that hides padded keys from every query.

    Args:
        mask: [b, k], 1 for real tokens and 0 for padding; or [b, q, k] for one mask a query.
        dtype: Of the result; the hidden value is that type's lowest number.

    Returns:
        [b, 1, 1, k] or [b, 1, q, k].
    """
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    bias = bias.masked_fill(mask == 0, torch.finfo(dtype).min)
    return bias[:, None, None] if mask.dim() == 2 else bias[:, None]


def released_bias(mask: Tensor) -> Tensor:
    """Additive mask of the released code: (m_q m_k - 1) * 1e4, in float32.

    The row of a padded query is -1e4 everywhere, so that it attends to its whole sequence; the
    addition rounds those logits to about 0.001, and is kept literal.

    Args:
        mask: [b, n], 1 for real tokens and 0 for padding; or [b, n, n], already the product.

    Returns:
        [b, 1, n, n].
    """
    mask = mask.float()
    if mask.dim() == 2:
        mask = mask[:, :, None] * mask[:, None, :]
    return ((mask - 1.0) * -RELEASED_MASK_VALUE)[:, None]


def _roberta_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """`attend` in the form in which transformers calls attention functions."""
    return attend(query, key, value, attention_mask, dropout).transpose(1, 2), None


# transformers looks attention functions up by name; this is its documented way to add one.
ATTENTION_NAME = "unimo2"
AttentionInterface.register(ATTENTION_NAME, _roberta_attention)
