"""The losses of a step over all kinds of data: pairs, images alone, texts alone (section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimo2.data.batches import ImageBatch, MixedBatch, TextBatch
from unimo2.dictionary_health import RowUse, rows_chosen
from unimo2.distributed import balanced, gather, mean_cross_entropy, rank, total
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.objectives import LossWeights, PairObjective
from unimo2.training_log import COUNTS


class JointObjective(nn.Module):
    """The weighted sum of the losses of everything that a batch holds."""

    def __init__(
        self,
        model: Unimo2ForPreTraining,
        weights: LossWeights,
        hard_share: float = 1.0,
        match_share: float = 1.0,
        vcl_temperature: float = 0.1,
        with_images: bool = True,
        restart_unused: int = 0,
        negatives_from: Literal["all", "process"] = "all",
        match_group: int = 0,
    ) -> None:
        """Wrap a model.

        Args:
            model: the model to train, with the projection of visual contrastive learning.
            weights: weight of each loss; a weight of 0 leaves its computation out.
            hard_share: see `PairObjective`.
            match_share: see `PairObjective`.
            vcl_temperature: of the contrastive loss of views.
            with_images: whether there are images alone, so that the projection is trained.
            restart_unused: batches after which dictionary rows out of use start anew; 0 for never.
            negatives_from: see `PairObjective`.
            match_group: see `PairObjective`.
        """
        super().__init__()
        rows = model.config.dictionary_size
        row_use = RowUse(rows, restart_unused) if restart_unused else None
        self.pairs = PairObjective(
            model.unimo2,
            weights,
            hard_share,
            match_share,
            row_use,
            negatives_from,
            match_group,
        )
        self.projection = model.vcl_projection if with_images else None
        self.weights = weights
        self.vcl_temperature = vcl_temperature

    def forward(self, batch: MixedBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss" (the weighted sum); what `PairObjective` returns; "vcl",
            "vcl_accuracy" (share of views whose nearest other view is of the same image) and
            "image_grounding" of images; "text_mlm" and "text_grounding" of texts; and
            "dictionary_counts" int64 [C] over all of them (absent without a dictionary).
        """
        result: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        counts: list[Tensor] = []
        if batch.pairs is not None:
            result = self.pairs(batch.pairs)
            losses.append(result.pop("loss"))
            counts.append(result.pop(COUNTS)) if COUNTS in result else None
        if batch.images is not None:
            losses.append(self._images(batch.images, result, counts))
        if batch.texts is not None:
            losses.append(self._texts(batch.texts, result, counts))
        result["loss"] = torch.stack(losses).sum()
        if counts:
            result[COUNTS] = torch.stack(counts).sum(dim=0)
            if self.pairs.row_use is not None and self.training:
                self.pairs.row_use.note(total(result[COUNTS]))
        return result

    def _images(self, batch: ImageBatch, result: dict[str, Tensor], counts: list[Tensor]) -> Tensor:
        """Visual contrastive learning and grounding of images alone."""
        assert self.projection is not None, "built without images"
        model, weights = self.pairs.model, self.weights
        vision = model.encode_image(batch.views)  # [2 B, M + 1, H]
        losses: list[Tensor] = []
        indices = None
        if model.dictionary is not None:
            grounding = model.ground(vision, None, with_loss=weights.grounding > 0)
            indices = grounding.indices
            counts.append(self._rows_chosen(indices))
            if grounding.loss is not None:  # every process has as many patches as the others
                losses.append(weights.grounding * grounding.loss)
                result["image_grounding"] = grounding.loss.detach()
        if weights.vcl:
            pooled = model.fuse(vision, pooled_only=True, grounded_indices=indices).pooled_image
            assert pooled is not None  # an image was given
            features = functional.normalize(self.projection(pooled).float(), dim=-1)
            loss, result["vcl_accuracy"] = nt_xent(features, self.vcl_temperature)
            losses.append(weights.vcl * loss)
            result["vcl"] = loss.detach()
        return torch.stack(losses).sum() if losses else vision.new_zeros(())

    def _texts(self, batch: TextBatch, result: dict[str, Tensor], counts: list[Tensor]) -> Tensor:
        """Masked language modelling and grounding of texts alone."""
        model, weights = self.pairs.model, self.weights
        mask, indices = batch.attention_mask, None
        text = model.encode_text(batch.masked_ids, mask)  # [B, N, H]
        losses: list[Tensor] = []
        if model.dictionary is not None:
            grounding = model.ground(None, text, mask, with_loss=weights.grounding > 0)
            counts.append(self._rows_chosen(grounding.indices))
            if grounding.loss is not None:
                loss = balanced(grounding, mask[:, 1:].sum())
                losses.append(weights.grounding * loss)
                result["text_grounding"] = loss.detach()
            # The 1-to-1 map has as many grounded tokens as there are, and hides those of padding.
            indices = None if model.dictionary.nearest else grounding.indices
        fused = model.fuse(None, text, mask, grounded_indices=indices).fused_text
        assert fused is not None  # a text was given
        count = total((batch.labels != IGNORED).sum())
        rows, labels = selected_rows(fused, batch.labels)
        logits = model.mlm_head(rows).float()  # [selected, vocabulary]
        loss = mean_cross_entropy(logits, labels, IGNORED, count)
        result["text_mlm"] = loss.detach()
        return torch.stack([*losses, weights.text * loss]).sum()

    def _rows_chosen(self, indices: Tensor) -> Tensor:
        """How often each dictionary row was chosen, int64 [C]."""
        return rows_chosen(indices, self.pairs.model.config.dictionary_size)


def nt_xent(features: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """SimCLR's loss: tell a view's other view from all other views, those of other processes too.

    Args:
        features: float32 [2 b, D] of length 1; rows i and b + i are views of the same image.
        temperature: that similarities are divided by.

    Returns:
        The loss, the mean over this process's views; and the share of them whose most similar other
        view is of the same image.
    """
    count, first = len(features), rank() * len(features)
    logits = features @ gather(features).T / temperature  # [2 b, 2 B]
    rows = torch.arange(count, device=features.device)
    logits[rows, first + rows] = float("-inf")  # itself
    partner = first + rows.roll(count // 2)
    correct = logits.detach().argmax(dim=1) == partner
    return functional.cross_entropy(logits, partner), correct.float().mean()
