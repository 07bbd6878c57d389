"""Speed of the Grounded Transformer, against dense masked attention and plain matmuls."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from unimo2.bench.timing import Shape, flops, interleave, products, ratio
from unimo2.modeling.attention import fused_attention, key_bias, plain_attention
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.fusion import GroundedLayer, GroundedTransformer, Layout, merge_heads


@dataclass(frozen=True)
class FusionSpeed:
    """Figures of one run; seconds are medians over its rounds."""

    dtype: str  # Of weights and activations
    layer_ms: float  # Milliseconds of one block-structured layer
    dense_ms: float  # Milliseconds of the same layer with a dense boolean mask
    speedup: float  # dense / block, the median of the rounds' ratios
    # Masked attention forward and backward, fused kernel / plain products: what
    # `unimo2.modeling.attention.prefers_matmul` decides by
    matmul_path_ratio: float
    forward_tflop: float  # 10^12 operations of a whole fused forward pass
    forward_rate: float  # 10^12 operations a second that it reaches
    matmul_rate: float  # The same of plain matrix products of the layer's own shapes
    share: float  # forward / matmul, the median of the rounds' ratios


def allowed(layout: Layout, device: torch.device) -> Tensor:
    """Figure 2 as a boolean mask [1, 1, rows, rows], True where a row may look."""
    total = layout.visual + layout.grounded + layout.text
    mask = torch.zeros(1, 1, total, total, dtype=torch.bool, device=device)
    for rows, keys, _ in layout.blocks():
        mask[:, :, rows, keys] = True
    return mask


def dense_masked(layer: GroundedLayer, hidden: Tensor, mask: Tensor) -> Tensor:
    """The same layer, its attention over all rows with a boolean mask."""
    query, key, value = layer.project(hidden)
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return layer.feed_forward(hidden, merge_heads(context))


def linear_shapes(config: Unimo2Config, rows: int) -> list[Shape]:
    """Matrix products of one layer's linear maps, for that many rows."""
    width, inner = config.hidden_size, config.intermediate_size
    sizes = ((width, 3 * width), (width, width), (width, inner), (inner, width))
    return [(rows, inputs, outputs) for inputs, outputs in sizes]


def forward_flops(config: Unimo2Config, layout: Layout, batch: int) -> float:
    """Operations of a whole fused forward pass: linear maps, and attention over its blocks."""
    total = layout.visual + layout.grounded + layout.text
    looks = sum((r.stop - r.start) * (k.stop - k.start) for r, k, _ in layout.blocks())
    attention = 4.0 * batch * looks * config.hidden_size  # query x key, and weights x value
    return config.fusion_layers * (flops(linear_shapes(config, batch * total)) + attention)


@torch.no_grad()
def measure(
    config: Unimo2Config,
    visual: int,
    text: int,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int = 7,
) -> FusionSpeed:
    """Time one layer both ways, a whole fused forward, and plain products of its shapes, in turn.

    There are so many visual rows (577 for 384 pixels and patches of 16) and text rows in a pair.
    """
    transformer = GroundedTransformer(config).eval().to(device, dtype)
    sizes = (visual, config.grounded_tokens, text)
    images, grounded, texts = (
        torch.randn(batch, n, config.hidden_size, dtype=dtype, device=device) for n in sizes
    )
    layout = transformer.make_layout(images, grounded, texts, None)
    hidden = transformer.join(images, grounded, texts)
    mask = allowed(layout, device)
    layer = transformer.layers[0]
    assert isinstance(layer, GroundedLayer)
    shapes = linear_shapes(config, batch * sum(sizes)) * config.fusion_layers
    times = interleave(
        [
            partial(layer, hidden, layout),
            partial(dense_masked, layer, hidden, mask),
            partial(transformer, images, grounded, texts, layout),
            products(shapes, dtype, device),
        ],
        device,
        repeats,
    )
    block, dense, forward, matmul = (statistics.median(column) for column in times)
    operations = forward_flops(config, layout, batch)
    scale = operations / flops(shapes)
    return FusionSpeed(
        dtype=str(dtype).removeprefix("torch."),
        layer_ms=1e3 * block,
        dense_ms=1e3 * dense,
        speedup=ratio(times[1], times[0]),
        matmul_path_ratio=_path_ratio(config, batch, sum(sizes), dtype, device, repeats),
        forward_tflop=operations / 1e12,
        forward_rate=operations / forward / 1e12,
        matmul_rate=flops(shapes) / matmul / 1e12,
        share=scale * ratio(times[3], times[2]),
    )


@torch.enable_grad()
def _path_ratio(
    config: Unimo2Config,
    batch: int,
    rows: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int,
) -> float:
    """Masked attention with its backward pass: time of the fused kernel / of plain products."""
    heads = config.num_attention_heads
    shape = (batch, heads, rows, config.hidden_size // heads)
    query, key, value = (
        torch.randn(shape, dtype=dtype, device=device, requires_grad=True) for _ in range(3)
    )
    bias = key_bias(torch.ones(batch, rows, device=device), dtype)

    def run(path: Callable[..., Tensor]) -> None:
        path(query, key, value, bias).sum().backward()

    times = interleave(
        [partial(run, fused_attention), partial(run, plain_attention)], device, repeats
    )
    return ratio(times[0], times[1])
