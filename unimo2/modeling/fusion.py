"""The Grounded Transformer: image and text exchange information only through grounded tokens.

Rows stand in the order [visual, grounded, text]. Which rows see which (paper, figure 2):

                 visual   grounded   text
    visual         x         x
    grounded       x         x         x
    text                     x         x

Since the grounded rows stand in the middle, what each kind of row sees is one contiguous slice of
keys, and the layer computes three attentions over slices: the visual-text block is never built.

Shapes: b batch, h heads, m visual rows, k grounded rows, n text rows, D width, d = D / h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from unimo2.modeling.attention import attend, key_bias, linear, linear_add, linear_gelu
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.text import causal_mask


@dataclass(frozen=True)
class Layout:
    """Number of rows of each kind, and the mask of keys."""

    visual: int  # m, 0 when there is no image
    grounded: int  # k, 0 without a dictionary
    text: int  # n, 0 when there is no text
    bias: Tensor | None = None  # additive mask over all keys, [b, 1, 1, m + k + n]; None: all real
    text_bias: Tensor | None = None  # captioning: what text rows see, [b, 1, n, m + k + n]
    dense: bool = False  # whether every row sees every row (the paper's "w/o G.T.")

    def attend(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """Attention of all rows by blocks, [b, h, rows, d] each to [b, rows, D]."""
        parts = [
            merge_heads(
                attend(query[:, :, rows], key[:, :, keys], value[:, :, keys], bias, dropout)
            )
            for rows, keys, bias in self.blocks()
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def blocks(self) -> list[tuple[slice, slice, Tensor | None]]:
        """Rows, the keys that they see, and the additive mask of those keys."""
        text_start = self.visual + self.grounded
        total = text_start + self.text
        everything = slice(0, total)
        if self.text_bias is not None:
            seen = slice(0, text_start)
            return [
                (seen, seen, self.bias_of(seen)),
                (slice(text_start, total), everything, self.text_bias),
            ]
        if self.dense or not self.visual or not self.text:
            return [(everything, everything, self.bias)]
        visual_keys, text_keys = slice(0, text_start), slice(self.visual, total)
        return [
            (slice(0, self.visual), visual_keys, self.bias_of(visual_keys)),
            (slice(self.visual, text_start), everything, self.bias),
            (slice(text_start, total), text_keys, self.bias_of(text_keys)),
        ]

    def bias_of(self, keys: slice) -> Tensor | None:
        """The additive mask of some keys."""
        return None if self.bias is None else self.bias[..., keys]


class GroundedLayer(GradientCheckpointingLayer):
    """One post-norm layer, as RoBERTa's, whose attention follows a layout."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.dropout = config.hidden_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, width)
        self.ffn_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, hidden: Tensor, layout: Layout) -> Tensor:
        """All rows, [b, m + k + n, D] to the same."""
        return self.mix(hidden, linear(hidden, self.qkv), layout)

    def mix(self, hidden: Tensor, projected: Tensor, layout: Layout) -> Tensor:
        """The layer, given its own projections of the rows: [b, m + k + n, D] and [.., 3 D]."""
        query, key, value = self._split(projected)
        return self.feed_forward(hidden, layout.attend(query, key, value, self.attention_dropout))

    def pool(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Only the rows that the pooled outputs read: first visual and first text row.

        Args:
            hidden: [b, m + k + n, D].
            layout: With captioning's mask it makes no sense.

        Returns:
            [b, 1 or 2, D], visual before text.
        """
        wanted = pooled_rows(layout)
        first = hidden[:, wanted]  # [b, 1 or 2, D]
        contexts = [
            self.attend_one_row(first[:, place], hidden[:, keys], bias)
            for rows, keys, bias in layout.blocks()
            for place, row in enumerate(wanted)
            if rows.start <= row < rows.stop
        ]
        return self.feed_forward(first, torch.stack(contexts, dim=1))

    def attend_one_row(self, row: Tensor, seen: Tensor, bias: Tensor | None) -> Tensor:
        """Attention of one row, without the keys and values of the many that it sees.

        A head's logit is q . (Wk x) = (Wk' q) . x, and its outcome Wv (sum of a x): the one query
        goes through the key projection, the one outcome through the value projection. What the
        key's bias adds is the same for all keys and leaves the softmax as it is; the weights a
        sum to 1, so that the value's bias is added once.

        Args:
            row: [b, D].
            seen: [b, keys, D], the rows that it looks at.
            bias: Their additive mask, [b, 1, 1, keys], or None.

        Returns:
            [b, D], heads side by side.
        """
        width, heads = row.shape[-1], self.heads
        of_query, of_key, of_value = self.qkv.weight.split(width)
        query_bias, _, value_bias = self.qkv.bias.split(width)
        query = F.linear(row, of_query, query_bias).unflatten(-1, (heads, -1))  # [b, h, d]
        asked = torch.einsum("bhd,hdw->bhw", query, of_key.unflatten(0, (heads, -1)))
        # As one head of width D that is asked h times; its scale is D ** -0.5 and not d ** -0.5.
        asked, seen = (asked * heads**0.5)[:, None], seen[:, None]
        found = attend(asked, seen, seen, bias, self.attention_dropout)[:, 0]  # [b, h, D]
        context = torch.einsum("bhw,hdw->bhd", found, of_value.unflatten(0, (heads, -1)))
        return context.flatten(1) + value_bias

    def project(self, hidden: Tensor) -> list[Tensor]:
        """Queries, keys and values, each [b, h, rows, d], of [b, rows, D]."""
        return self._split(linear(hidden, self.qkv))

    def feed_forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """What follows the attention: output projection, feed-forward, and their norms.

        Args:
            hidden: [b, rows, D] the layer's input.
            context: [b, rows, D] the attention's output, heads side by side.

        Returns:
            [b, rows, D].
        """
        if not self.training:
            hidden = self.attention_norm(linear_add(context, self.output, hidden))
            return self.ffn_norm(linear_add(linear_gelu(hidden, self.up), self.down, hidden))
        hidden = self.attention_norm(hidden + self._drop(self.output(context)))
        return self.ffn_norm(hidden + self._drop(self.down(F.gelu(self.up(hidden)))))

    @property
    def attention_dropout(self) -> float:
        """Dropout of attention weights: in training only."""
        return self.dropout if self.training else 0.0

    def _split(self, projected: Tensor) -> list[Tensor]:
        """[b, rows, x D] to x tensors [b, h, rows, d]."""
        width = self.output.in_features
        return [
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in projected.split(width, dim=-1)
        ]

    def _drop(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, self.dropout, self.training)


class GroundedTransformer(nn.Module):
    """Fusion of visual, grounded and text rows (paper, section 3.1 and figure 2)."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        self.dense = config.attention == "dense" or config.grounding == "none"
        self.counted = config.padding == "counted"
        self.grounded_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = config.hidden_dropout
        self.layers = nn.ModuleList(GroundedLayer(config) for _ in range(config.fusion_layers))

    def forward(
        self, visual: Tensor | None, grounded: Tensor | None, text: Tensor | None, layout: Layout
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Fuse all rows.

        Args:
            visual: [b, m, D] or None.
            grounded: [b, k, D] dictionary rows, or None.
            text: [b, n, D] or None.
            layout: Sizes and masks, by `make_layout`.

        Returns:
            The three, fused; None where there was none.
        """
        hidden = self.join(visual, grounded, text)
        for layer in self.layers:
            hidden = layer(hidden, layout)
        parts = hidden.split([layout.visual, layout.grounded, layout.text], dim=1)
        fused = [part if part.shape[1] else None for part in parts]
        return fused[0], fused[1], fused[2]

    def pool(
        self, visual: Tensor | None, grounded: Tensor | None, text: Tensor | None, layout: Layout
    ) -> tuple[Tensor | None, Tensor | None]:
        """Only what the pooled outputs read: the fused class row and first text row, [b, D] each."""
        hidden = self.join(visual, grounded, text)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, layout)
        return self.pool_last(hidden, layout)

    def pool_last(self, hidden: Tensor, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        """The last layer of `pool`: [b, m + k + n, D] to the fused class row and first text row."""
        rows = cast(GroundedLayer, self.layers[-1]).pool(hidden, layout)
        return rows[:, 0] if layout.visual else None, rows[:, -1] if layout.text else None

    def join(self, visual: Tensor | None, grounded: Tensor | None, text: Tensor | None) -> Tensor:
        """The input rows, [b, m + k + n, D]."""
        if grounded is not None:
            # Rows come in float32 whatever the model's precision: the dictionary works in that.
            grounded = self.grounded_norm(grounded.to(self.grounded_norm.weight.dtype))
            grounded = F.dropout(grounded, self.dropout, self.training)
        parts = [part for part in (visual, grounded, text) if part is not None]
        return torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)

    def make_layout(
        self,
        visual: Tensor | None,
        grounded: Tensor | None,
        text: Tensor | None,
        text_mask: Tensor | None,
        grounded_mask: Tensor | None = None,
        causal: bool = False,
        context: int = 0,
    ) -> Layout:
        """Sizes and masks for `forward` and `pool`.

        Args:
            visual: [b, m, D] or None.
            grounded: [b, k, D] or None.
            text: [b, n, D] or None.
            text_mask: [b, n], 0 for padding; None when all is real.
            grounded_mask: [b, k], 0 for grounded tokens of padding (1-to-1 map); None otherwise.
            causal: Captioning: text sees visual, grounded and earlier text, and nothing sees text
                (released code; the two modalities meet directly here).
            context: With `causal`, how many text rows at the beginning all text rows see, those
                included: object tags.

        Returns:
            The layout.
        """
        sizes = [0 if part is None else part.shape[1] for part in (visual, grounded, text)]
        given = next(part for part in (visual, grounded, text) if part is not None)
        bias = None
        if text_mask is not None or grounded_mask is not None:
            real = [given.new_ones(len(given), size) for size in sizes]
            if grounded_mask is not None:
                real[1] = grounded_mask.to(given.dtype)
            if text_mask is not None:
                real[2] = text_mask.to(given.dtype)
            bias = key_bias(torch.cat(real, dim=1), torch.float32)
        text_bias = None
        if causal and text is not None:
            seen = given.new_ones(len(given), sizes[2], sizes[0] + sizes[1])
            mask = given.new_ones(len(given), sizes[2]) if text_mask is None else text_mask
            # Padded rows of the released code see no text, not even themselves, and its logits of
            # those rows are part of the reference vectors.
            earlier = causal_mask(mask.to(given.dtype), sizes[2], self.counted, context)
            text_bias = key_bias(torch.cat([seen, earlier], dim=2), torch.float32)
        return Layout(sizes[0], sizes[1], sizes[2], bias, text_bias, self.dense)


def merge_heads(context: Tensor) -> Tensor:
    """Heads side by side again: [b, h, rows, d] to [b, rows, D]."""
    return context.transpose(1, 2).flatten(2)


def pooled_rows(layout: Layout) -> list[int]:
    """Rows that the pooled outputs read: the class row and the first text row."""
    rows = [0] if layout.visual else []
    return rows + ([layout.visual + layout.grounded] if layout.text else [])


def joined_width(how: str, width: int) -> int:
    """Width of what `join_pooled` gives of pooled outputs of a width."""
    return {"product": 1, "concat": 2, "both": 3}[how] * width


def join_pooled(how: str, pooled_image: Tensor, pooled_text: Tensor) -> Tensor:
    """What a head over a pair reads of pooled outputs [b, D] each.

    Args:
        how: "product", "concat", or "both" side by side.
        pooled_image: [b, D].
        pooled_text: [b, D].

    Returns:
        [b, D], [b, 2 D] or [b, 3 D].
    """
    if how == "product":
        return pooled_image * pooled_text
    parts = [pooled_text, pooled_image]
    if how == "both":
        parts.append(pooled_image * pooled_text)
    return torch.cat(parts, dim=-1)
