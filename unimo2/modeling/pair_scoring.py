"""Fuses many pairs of few images and texts: cached products of the first layer.

The first layer of the Grounded Transformer receives rows that do not depend on the pair: an
image's, a text's, and rows of the dictionary. Their queries, keys and values are therefore
computed once for each image, each text and the whole dictionary; a pair puts them side by side.
From the first attention on, rows do depend on the pair.

Shapes: b pairs, m visual rows, k grounded rows, n text rows, C dictionary rows, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from unimo2.modeling.fusion import GroundedLayer, Layout
from unimo2.modeling.model import Unimo2Model, Unimo2Output


@dataclass(frozen=True)
class ProjectedRows:
    """Rows as the first layer receives them, with their queries, keys and values."""

    states: Tensor  # [..., rows, D]
    projected: Tensor  # [..., rows, 3 D]

    def expand(self, pairs: int) -> ProjectedRows:
        """The rows of one text, [n, ...], seen as those of many pairs, [pairs, n, ...]; no copy."""
        return ProjectedRows(
            self.states.expand(pairs, -1, -1), self.projected.expand(pairs, -1, -1)
        )


def first_layer(model: Unimo2Model) -> GroundedLayer:
    """The layer that towers' outputs and dictionary rows enter; its `qkv` projects them."""
    return cast(GroundedLayer, model.fusion.layers[0])


class CachedPairScorer:
    """The first layer's projections of a model in evaluation mode, and fusion that starts there.

    The dictionary is projected when this is built: the weights must stay as they are.
    """

    def __init__(self, model: Unimo2Model) -> None:
        """Project the dictionary of a model whose fusion has at least two layers."""
        self._model = model
        self._layer = first_layer(model)
        self._table: ProjectedRows | None = None
        if model.dictionary is not None:
            table = model.fusion.join(None, model.dictionary.embedding[None], None)[0]  # [C, D]
            self._table = self.project(table)

    def project(self, states: Tensor) -> ProjectedRows:
        """Tower outputs, [..., rows, D], with their projections."""
        return ProjectedRows(states, self._layer.qkv(states))

    def match(self, visual: ProjectedRows, text: ProjectedRows, indices: Tensor | None) -> Tensor:
        """Matching logits of b images with one text.

        Args:
            visual: [b, m, ...].
            text: [n, ...].
            indices: [b, k] chosen dictionary rows; None without a dictionary.

        Returns:
            [b, 2], class 1 = match; equal to `Unimo2Model.fuse(...).itm_logits` up to rounding.
        """
        pairs, fusion = len(visual.states), self._model.fusion
        parts = [visual, text.expand(pairs)]
        if indices is not None and self._table is not None:
            chosen = ProjectedRows(self._table.states[indices], self._table.projected[indices])
            parts.insert(1, chosen)
        hidden = torch.cat([part.states for part in parts], dim=1)
        projected = torch.cat([part.projected for part in parts], dim=1)
        grounded = 0 if indices is None else indices.shape[1]
        layout = Layout(visual.states.shape[1], grounded, text.states.shape[0], dense=fusion.dense)
        hidden = self._layer.mix(hidden, projected, layout)
        for layer in fusion.layers[1:-1]:
            hidden = layer(hidden, layout)
        out = Unimo2Output()
        self._model.fill_pooled_outputs(out, *fusion.pool_last(hidden, layout))
        return cast(Tensor, out.itm_logits)


def projection_bytes(model: Unimo2Model, visual_rows: int) -> int:
    """Bytes of the projections [m, 3 D] of one image: 5.1 MiB at base size, 384 px, in float32."""
    weight = first_layer(model).qkv.weight
    return visual_rows * len(weight) * weight.element_size()
