"""The Grounded Transformer's blocks against dense attention with the mask of figure 2."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unimo2 import Unimo2Config
from unimo2.modeling.fusion import GroundedTransformer

B, M, K, N, D = 2, 5, 3, 4, 16


def _transformer(**overrides) -> GroundedTransformer:
    torch.manual_seed(0)
    config = Unimo2Config.mini(
        hidden_size=D, intermediate_size=32, num_attention_heads=2, fusion_layers=3, **overrides
    )
    transformer = GroundedTransformer(config).eval()
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    return transformer


def _rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(B, n, D, generator=generator) for n in (M, K, N))


def _may_look(text_mask: torch.Tensor, causal: bool = False, dense: bool = False) -> torch.Tensor:
    """Figure 2 as a table, [b, rows, rows]: who sees whom."""
    allowed = torch.zeros(B, M + K + N, M + K + N, dtype=torch.bool)
    kind = ["v"] * M + ["g"] * K + ["t"] * N
    for i, asks in enumerate(kind):
        for j, asked in enumerate(kind):
            if causal:
                sees = asked != "t" or (asks == "t" and j <= i)
            else:
                sees = dense or {asks, asked} != {"v", "t"}
            allowed[:, i, j] = sees
    allowed[:, :, M + K :] &= text_mask[:, None].bool()
    return allowed


def _reference(transformer, visual, grounded, text, allowed) -> torch.Tensor:
    """The same layers with dense masked attention, one head at a time."""
    hidden = torch.cat([visual, transformer.grounded_norm(grounded), text], dim=1)
    for layer in transformer.layers:
        heads = []
        q, k, v = layer.qkv(hidden).chunk(3, dim=-1)
        for h in range(2):
            cut = slice(h * D // 2, (h + 1) * D // 2)
            logits = q[..., cut] @ k[..., cut].transpose(1, 2) / (D // 2) ** 0.5
            heads.append(logits.masked_fill(~allowed, float("-inf")).softmax(-1) @ v[..., cut])
        attended = layer.output(torch.cat(heads, dim=-1))
        hidden = layer.attention_norm(hidden + attended)
        hidden = layer.ffn_norm(hidden + layer.down(F.gelu(layer.up(hidden))))
    return hidden


@pytest.mark.parametrize(("causal", "attention"), [(0, "grounded"), (1, "grounded"), (0, "dense")])
@torch.no_grad()
def test_blocks_equal_dense_masked_attention(causal, attention):
    """Independent truth: figure 2 as a boolean table, attention written head by head."""
    transformer = _transformer(attention=attention)
    visual, grounded, text = _rows()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    layout = transformer.make_layout(visual, grounded, text, mask, causal=bool(causal))
    fused = torch.cat(transformer(visual, grounded, text, layout), dim=1)
    allowed = _may_look(mask, bool(causal), attention == "dense")
    expected = _reference(transformer, visual, grounded, text, allowed)
    real = torch.cat([torch.ones(B, M + K), mask], dim=1).bool()
    assert (fused - expected)[real].abs().max() < 1e-5


@torch.no_grad()
def test_the_visual_text_block_is_never_built():
    """Independent truth: no block of rows and keys contains both a visual and a text row."""
    transformer = _transformer()
    visual, grounded, text = _rows()
    layout = transformer.make_layout(visual, grounded, text, None)
    pairs = {
        (row, key)
        for rows, keys, _ in layout.blocks()
        for row in range(rows.start, rows.stop)
        for key in range(keys.start, keys.stop)
    }
    expected = _may_look(torch.ones(B, N))[0].nonzero().tolist()
    assert pairs == {tuple(pair) for pair in expected}


@pytest.mark.parametrize("attention", ["grounded", "dense"])
@torch.no_grad()
def test_pooled_rows_equal_those_of_the_whole_layer(attention):
    """Independent truth: the full forward pass."""
    transformer = _transformer(attention=attention)
    rows = _rows()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    for given in (
        rows,
        (rows[0], rows[1], None),
        (None, rows[1], rows[2]),
        (rows[0], None, rows[2]),
    ):
        text_mask = None if given[2] is None else mask
        layout = transformer.make_layout(*given, text_mask)
        whole = transformer(*given, layout)
        pooled = transformer.pool(*given, layout)
        for part, first in ((whole[0], pooled[0]), (whole[2], pooled[1])):
            assert (part is None) == (first is None)
            if part is not None:
                assert torch.allclose(part[:, 0], first, atol=1e-6)


@torch.no_grad()
def test_padding_changes_no_real_row():
    """Independent truth: the same text without its padding."""
    transformer = _transformer()
    visual, grounded, text = _rows()
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]])
    padded = transformer(
        visual, grounded, text, transformer.make_layout(visual, grounded, text, mask)
    )
    short = text[:, :2]
    bare = transformer(
        visual, grounded, short, transformer.make_layout(visual, grounded, short, None)
    )
    assert torch.allclose(padded[0], bare[0], atol=1e-6)
    assert torch.allclose(padded[2][:, :2], bare[2], atol=1e-6)


def test_bfloat16_training_path_equals_float32():
    """Independent truth: the float32 result, within bfloat16's precision; gradients flow."""
    transformer = _transformer().train()
    visual, grounded, text = _rows()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    layout = transformer.make_layout(visual, grounded, text, mask)
    expected = transformer(visual, grounded, text, layout)[0]
    with torch.autocast("cpu", torch.bfloat16):
        fused = transformer(visual, grounded, text, layout)[0]
    assert (fused - expected).abs().max() < 0.15
    fused.sum().backward()
    assert all(p.grad is not None for p in transformer.layers.parameters())
