"""One attention for the text tower and the Grounded Transformer, and the choice of its kernel.

Masks are additive: 0 where a query may look, a large negative number where it may not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula
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
        dtype: Dtype of the result; the hidden value is that type's lowest number.

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


# Linear layers of inference with what follows them: one pass over memory instead of two or three.
#
# On CPUs oneDNN adds the bias, applies GELU or adds the residual while it writes the product. torch
# offers that by the operators that its compiler uses, in float32 and bfloat16; where they are not
# there, or gradients are wanted, or on other devices, the plain functions do the same.
#
# Measured on one core with AMX: at the mini model's size 1.1 (float32) and 1.2 times (bfloat16) as many
# pairs a second; at base size a feed-forward layer 1.2 times as fast in bfloat16, and 0.97 times in
# float32, where the plain product is the better one.


def _has_bfloat16() -> bool:
    """Whether oneDNN has products in bfloat16 on this CPU; its fused operators fail where not."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())


# In float32 only layers whose weights take less than this.
_FUSED_BYTES = {torch.float32: 2**20, torch.bfloat16: 2**62 if _has_bfloat16() else 0}


def _fuses(hidden: Tensor, layer: nn.Linear) -> bool:
    """Whether the fused operators are to be used: for a layer that is nothing but its product."""
    return (
        type(layer) is nn.Linear
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
        and hidden.device.type == "cpu"
        and layer.weight.nbytes < _FUSED_BYTES.get(hidden.dtype, 0)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def linear(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """The layer, [..., inputs] to [..., outputs]."""
    if not _fuses(hidden, layer):
        return layer(hidden)
    fused: Tensor = torch.ops.mkldnn._linear_pointwise(
        hidden, layer.weight, layer.bias, "none", [], ""
    )
    return fused


def linear_gelu(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """GELU (exact) of the layer, [..., inputs] to [..., outputs]."""
    if not _fuses(hidden, layer):
        return F.gelu(layer(hidden))
    fused: Tensor = torch.ops.mkldnn._linear_pointwise(
        hidden, layer.weight, layer.bias, "gelu", [], "none"
    )
    return fused


def linear_add(hidden: Tensor, layer: nn.Linear, residual: Tensor) -> Tensor:
    """The layer and a residual, [..., inputs] and [..., outputs] to [..., outputs]."""
    if not _fuses(hidden, layer):
        return residual + layer(hidden)
    fused: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
        hidden, residual, layer.weight, layer.bias, "add"
    )
    return fused


def _product_flops(hidden: Sequence[int], *_: object, out_shape: Sequence[int]) -> int:
    """A multiplication and an addition for each input of each output; shapes of tensors."""
    return 2 * hidden[-1] * math.prod(out_shape)


# torch's counter of operations does not know the fused operators by itself.
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_product_flops)
