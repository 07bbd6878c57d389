"""The losses of image-text pairs: masked language modelling, matching, contrast, grounding.

Over several processes, a process's rows meet the rows of all (`unimo2.training.distributed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimo2.data.batches import ImageBatch, MixedBatch, PairBatch, TextBatch
from unimo2.data.seeding import spread
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.model import CONTRASTIVE_TEMPERATURE_RANGE, Unimo2Model
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.modeling.token_statistics import TEXT
from unimo2.training.dictionary_usage import RowUse, rows_chosen, start_from_tokens
from unimo2.training.distributed import (
    balanced,
    gather,
    gather_constant,
    mean_cross_entropy,
    rank,
    total,
    widest,
    world_size,
)
from unimo2.training.logging import COUNTS
from unimo2.training.losses import draw_negatives, draw_partners, nt_xent, same_pair
from unimo2.training.match_groups import GroupMatching, Groups, groups_of


@dataclass(frozen=True)
class _Everyone:
    """The pairs of all processes, in the order of the processes.

    Attributes:
        images: float32 [B, D], contrastive features.
        texts: float32 [B, D].
        input_ids: int64 [B, N].
        image_index: int64 [B].
        order: int64 [B], the rows in the order of their places in the batch, which is the same
            however many processes there are.
        own: int64 [b], where this process's rows are.
    """

    images: Tensor
    texts: Tensor
    input_ids: Tensor
    image_index: Tensor
    order: Tensor
    own: Tensor


@dataclass(frozen=True)
class _Negatives:
    """Pairs to be matched: r true ones, then a hard text for each image, then the reverse.

    Attributes:
        images: int64 [3 r], rows of `_Everyone`.
        texts: int64 [3 r], rows of `_Everyone`.
        usable: bool [3 r], False where a row has no negative at all.
    """

    images: Tensor
    texts: Tensor
    usable: Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weight of each loss in the sum that is minimised (ours: the paper states none).

    Attributes:
        mlm, itm, contrastive: losses of pairs.
        grounding: of pairs, of images and of texts, each.
        vcl: loss of images alone.
        text: masked language modelling of texts alone.
    """

    mlm: float = 1.0
    itm: float = 1.0
    contrastive: float = 1.0
    grounding: float = 1.0
    vcl: float = 1.0
    text: float = 1.0


class PairObjective(nn.Module):
    """All losses of a batch of pairs, in one forward, so that gradients synchronise once.

    Every image and every text is encoded once for matching and contrast; the negatives of
    matching reuse those encodings by indexing, and their grounded tokens are chosen from scores
    (equation 2) that were summed once for each image and text. Texts with hidden spans are encoded
    in the same call as the whole ones.
    """

    def __init__(
        self,
        model: Unimo2Model,
        weights: LossWeights,
        hard_share: float = 1.0,
        match_share: float = 1.0,
        row_use: RowUse | None = None,
        negatives_from: Literal["all", "process"] = "all",
        groups: GroupMatching | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: the model to train.
            weights: weight of each loss; a weight of 0 leaves its computation out.
            hard_share: share of the negatives that are drawn by the contrastive scores of the
                batch; the others are drawn uniformly.
            match_share: share of the pairs that matching is trained on, spread over the batch; their
                negatives come from the whole batch. Fusion costs many times what the towers do,
                and contrast wants more pairs than matching can afford.
            row_use: starts rows of the dictionary anew that are out of use; None leaves them.
            negatives_from: whether matching draws negatives from all processes or from its own
                (the tower outputs then need not be sent around).
            groups: how matching within groups of pairs that are alike is trained; None for matching
                as two classes, with one negative each way.
        """
        super().__init__()
        self.model = model
        self.weights = weights
        self.hard_share = hard_share
        self.match_share = match_share
        self.row_use = row_use
        self.own_negatives = negatives_from == "process"
        self.groups = groups or GroupMatching()

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss" (the weighted sum), "mlm", "itm", "contrastive", "grounding" (those with
            a weight), "itm_accuracy" in [0, 1]; and "dictionary_counts" int64 [C], how often each
            dictionary row was chosen for a true pair (absent without a dictionary).
        """
        rows = len(batch.masked_ids) if self.weights.mlm and batch.fused else 0
        mask = batch.attention_mask
        vision = self.model.encode_image(batch.pixel_values)  # [B, M + 1, H]
        both = self.model.encode_text(
            torch.cat([batch.masked_ids[:rows], batch.input_ids]), torch.cat([mask[:rows], mask])
        )
        hidden, text = both[:rows], both[rows:]  # [R, N, H], [B, N, H]
        if self.row_use is not None and self.model.dictionary is not None and self.training:
            self.row_use.restart(self.model.dictionary, vision, text, mask, batch.seed)

        dictionary = self.model.dictionary
        statistics = None if dictionary is None else dictionary.statistics
        if dictionary is not None and statistics is not None and self.training:
            if not statistics.batches.any():
                start_from_tokens(dictionary, vision, text, mask, batch.seed)

        losses: dict[str, Tensor] = {}
        result: dict[str, Tensor] = {}
        everyone = self._everyone(vision, text, batch)
        if self.weights.contrastive:
            losses["contrastive"] = self._contrast(everyone)
        if self.model.dictionary is not None:
            self._ground(vision, text, mask, losses, result)
        if self.weights.mlm and batch.fused:
            count = total((batch.labels != IGNORED).sum())  # on every process, whatever it holds
            if rows:
                losses["mlm"] = self._masked_words(vision[:rows], hidden, batch, count)
            elif world_size() > 1:  # all processes report the same losses
                losses["mlm"] = vision.new_zeros(())
        if self.weights.itm and batch.fused:
            match = self._match_groups if self.groups.size else self._match_classes
            losses["itm"], result["itm_accuracy"] = match(vision, text, mask, everyone, batch)
        result |= {name: loss.detach() for name, loss in losses.items()}
        weighted = [getattr(self.weights, name) * loss for name, loss in losses.items()]
        result["loss"] = torch.stack(weighted).sum()
        return result | self._temperatures()

    def _temperatures(self) -> dict[str, Tensor]:
        """The learned temperatures, for the log."""
        model = self.model
        contrastive = model.contrastive_temperature.detach().clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        found = {"contrastive_temperature": contrastive.squeeze()}
        if model.dictionary is not None and not model.dictionary.nearest:
            found["grounding_temperature"] = model.dictionary.temperature.detach().squeeze()
        return found

    def _everyone(self, vision: Tensor, text: Tensor, batch: PairBatch) -> _Everyone:
        """What pairs of all processes are compared by."""
        ids = batch.input_ids
        missing = widest(ids.shape[1], ids.device) - ids.shape[1]
        ids = functional.pad(ids, (0, missing), value=self.model.config.pad_token_id)
        count = len(ids)
        return _Everyone(
            images=gather(self.model.image_features(vision)),
            texts=gather(self.model.text_features(text)),
            input_ids=gather_constant(ids),
            image_index=gather_constant(batch.image_index),
            order=gather_constant(batch.position).argsort(),
            own=torch.arange(rank() * count, (rank() + 1) * count, device=ids.device),
        )

    def _contrast(self, everyone: _Everyone) -> Tensor:
        """The model's contrastive loss, but a pair's twins (same image, same words) stay out of it.

        Labels make the same sentence for many images: none of them is a wrong answer. Ours.
        """
        own = everyone.own
        temperature = self.model.contrastive_temperature.float()
        temperature = temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        twins = self._twins(everyone)
        twins[torch.arange(len(own), device=own.device), own] = False
        there = everyone.images[own] @ everyone.texts.t() / temperature  # [b, B]
        back = everyone.texts[own] @ everyone.images.t() / temperature
        kept = self.groups.contrasted(everyone.image_index)
        wanted = own.masked_fill(~kept[own], IGNORED)
        count, away = total(kept[own].sum()), twins | (kept[own][:, None] & ~kept)
        losses = [
            mean_cross_entropy(logits.masked_fill(away, float("-inf")), wanted, IGNORED, count)
            for logits in (there, back)
        ]
        return (losses[0] + losses[1]) / 2

    @staticmethod
    def _twins(everyone: _Everyone) -> Tensor:
        """Which pairs are no negatives of this process's, bool [b, B]."""
        ids, index, own = everyone.input_ids, everyone.image_index, everyone.own
        return same_pair(ids[own], index[own], ids, index)

    def _ground(
        self,
        vision: Tensor,
        text: Tensor,
        mask: Tensor,
        losses: dict[str, Tensor],
        result: dict[str, Tensor],
    ) -> None:
        """Enter the grounding loss of the true pairs, and which rows they chose."""
        wanted = self.weights.grounding > 0
        grounding = self.model.ground(vision, text, mask, with_loss=wanted)
        if grounding.loss is not None:
            tokens = mask[:, 1:].sum() + vision[:, 1:, 0].numel()
            losses["grounding"] = balanced(grounding, tokens)
        result[COUNTS] = rows_chosen(grounding.indices, self.model.config.dictionary_size)

    def _masked_words(
        self, vision: Tensor, hidden: Tensor, batch: PairBatch, count: Tensor
    ) -> Tensor:
        """Cross entropy of the hidden tokens; only their rows go through the head."""
        mask = batch.attention_mask[: len(hidden)]
        indices = self._choose(vision, hidden, mask)
        fused = self.model.fuse(vision, hidden, mask, grounded_indices=indices).fused_text
        assert fused is not None  # a text was given
        rows, labels = selected_rows(fused, batch.labels)
        logits = self.model.mlm_head(rows)  # [selected, vocabulary]
        return mean_cross_entropy(logits.float(), labels, IGNORED, count)

    @torch.no_grad()
    def _negatives(self, everyone: _Everyone, batch: PairBatch) -> _Negatives:
        """Draw a hard text for each image and a hard image for each text."""
        temperature = self.model.contrastive_temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        matched = spread(batch.position, self.match_share)
        order, noise = everyone.order, batch.negative_noise[matched]
        excluded = self._excluded(everyone, matched)
        own = everyone.own[matched]
        drawn, found = [], []
        for features, others_features, uniform in (
            (everyone.images, everyone.texts, noise[:, 0]),
            (everyone.texts, everyone.images, noise[:, 1]),
        ):
            similarity = features[own].float() @ others_features.float().T / temperature  # [r, B]
            columns, usable = draw_negatives(
                similarity[:, order], excluded[:, order], uniform, self.hard_share
            )
            drawn.append(order[columns])
            found.append(usable)
        text_for, image_for = drawn
        return _Negatives(
            images=torch.cat([own, own, image_for]),
            texts=torch.cat([own, text_for, own]),
            usable=torch.cat([torch.ones_like(found[0]), *found]),
        )

    @torch.no_grad()
    def _groups(self, everyone: _Everyone, batch: PairBatch) -> Groups:
        """Put pairs together that are alike: each matched one with drawn ones of the batch."""
        temperature = self.model.contrastive_temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        matched = self.groups.matched(batch.position, batch.image_index, self.match_share)
        own, order = everyone.own[matched], everyone.order
        images, texts = everyone.images.float(), everyone.texts.float()
        alike = (images[own] @ texts.T + texts[own] @ images.T) / (2.0 * temperature)  # [r, B]
        excluded = self._excluded(everyone, matched)
        if self.groups.contrast_share < 1.0:
            excluded = excluded | self.groups.contrasted(everyone.image_index)
        noise = batch.negative_noise[matched, : self.groups.size - 1]
        columns, usable = draw_partners(alike[:, order], excluded[:, order], noise, self.hard_share)
        members = torch.cat([own[:, None], order[columns]], dim=1)  # [r, g]
        return groups_of(members, usable, everyone.input_ids, everyone.image_index)

    def _excluded(self, everyone: _Everyone, matched: Tensor) -> Tensor:
        """Which pairs are no negatives of the matched ones, bool [r, B]."""
        excluded = self._twins(everyone)[matched]
        if not self.own_negatives:
            return excluded
        others = torch.ones_like(excluded[0])
        others[everyone.own] = False
        return excluded | others

    def _match_groups(
        self, vision: Tensor, text: Tensor, mask: Tensor, everyone: _Everyone, batch: PairBatch
    ) -> tuple[Tensor, Tensor]:
        """Loss of finding the partner within a group, and the accuracy of what is ranked."""
        groups = self._groups(everyone, batch)
        images, texts = groups.pairs
        logits = self._fused(vision, text, mask, images, texts)
        # The head is antisymmetric: the score, logit[1], is half of this.
        alone = logits[:, 1] - logits[:, 0]
        loss, accuracy = groups.loss(alone)
        if self.groups.fused:
            with torch.no_grad():
                contrast = (everyone.images[images] * everyone.texts[texts]).sum(dim=1).float()
                temperature = self.model.contrastive_temperature
                contrast = contrast / temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
            both, accuracy = groups.loss(alone + contrast)
            loss = self.groups.fused * both + (1.0 - self.groups.fused) * loss
        return loss, accuracy

    def _match_classes(
        self, vision: Tensor, text: Tensor, mask: Tensor, everyone: _Everyone, batch: PairBatch
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy of matching over r true pairs and 2 r negatives, and the accuracy."""
        pairs = self._negatives(everyone, batch)
        logits = self._fused(vision, text, mask, pairs.images, pairs.texts)  # [3 r, 2]
        labels = torch.zeros_like(pairs.images)
        labels[: len(labels) // 3] = 1  # the true pairs come first
        wanted = labels.masked_fill(~pairs.usable, IGNORED)
        loss = mean_cross_entropy(logits, wanted, IGNORED, total(pairs.usable.sum()))
        correct = (logits.detach().argmax(dim=1) == labels)[pairs.usable]
        # A process may hold no matched pair at all; no accuracy is then better than no number.
        return loss, correct.float().sum() / max(1, len(correct))

    def _fused(
        self, vision: Tensor, text: Tensor, mask: Tensor, images: Tensor, texts: Tensor
    ) -> Tensor:
        """Matching logits of pairs, float32 [pairs, 2].

        Args:
            vision: [B, M + 1, H], of this process, as the others.
            text: [B, N, H].
            mask: [B, N].
            images: int64 [pairs], rows of `_Everyone`.
            texts: int64 [pairs].
        """
        indices = self._choose(vision, text, mask, (images, texts))
        if self.own_negatives:
            count = len(vision)
            images, texts = images - rank() * count, texts - rank() * count
        else:
            missing = widest(mask.shape[1], mask.device) - mask.shape[1]
            vision, text = gather(vision), gather(functional.pad(text, (0, 0, 0, missing)))
            mask = gather_constant(functional.pad(mask, (0, missing)))
        output = self.model.fuse(
            vision[images], text[texts], mask[texts], pooled_only=True, grounded_indices=indices
        )
        assert output.itm_logits is not None  # image and text were given
        return output.itm_logits.float()

    @torch.no_grad()
    def _choose(
        self,
        vision: Tensor,
        text: Tensor,
        mask: Tensor,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | None:
        """Grounded tokens of pairs, [pairs, K]; None leaves the choice to the model.

        Args:
            vision: [B, M + 1, H].
            text: [B, N, H].
            mask: [B, N].
            pairs: which images go with which texts, among those of all processes; row by row of
                this process's if None.
        """
        dictionary = self.model.dictionary
        if dictionary is None or self.model.config.grounding != "topk":
            return None
        counted = self.model.config.padding == "counted"
        image_scores = dictionary.scores(vision[:, 1:])  # [B, C]
        text_scores = dictionary.scores(text[:, 1:], None if counted else mask[:, 1:], TEXT)
        if pairs is None:
            return dictionary.select(image_scores + text_scores)
        image_scores, text_scores = gather_constant(image_scores), gather_constant(text_scores)
        images, texts = pairs
        return dictionary.select(image_scores[images] + text_scores[texts])


# The losses of a step over all kinds of data: pairs, images alone, texts alone (section 3.2).


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
        groups: GroupMatching | None = None,
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
            groups: see `PairObjective`.
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
            groups,
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
