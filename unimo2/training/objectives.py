"""The losses of pre-training: image-text pairs, unpaired images and unpaired texts (section 3.2).

Over several processes, a process's rows meet the rows of all (`unimo2.training.distributed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimo2.data.batches import ImageBatch, MixedBatch, PairBatch, TextBatch
from unimo2.data.seeding import spread
from unimo2.devices import total
from unimo2.modeling.contrast import info_nce
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.model import Unimo2Model
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.training.config import PretrainConfig
from unimo2.training.dictionary_usage import RowUse, dictionary_news, start_from_tokens
from unimo2.training.distributed import (
    balanced,
    gather,
    gather_constant,
    gather_narrow,
    mean_cross_entropy,
    rank,
    widest,
    world_size,
)
from unimo2.training.logging import COUNTS
from unimo2.training.losses import draw_negatives, nt_xent, same_pair


class _Towers(NamedTuple):
    """Tower outputs for this process's pairs."""

    vision: Tensor  # [b, M + 1, H]
    text: Tensor  # [b, N, H]
    mask: Tensor  # int64 [b, N]


class Everyone(NamedTuple):
    """The pairs of all processes, in the order of the processes."""

    images: Tensor  # float32 [B, D], contrastive features
    texts: Tensor  # float32 [B, D]
    input_ids: Tensor  # int64 [B, N]
    image_index: Tensor  # int64 [B]
    # int64 [B], the rows in the order of their places in the batch, which is the same however many
    # processes there are
    order: Tensor
    own: Tensor  # int64 [b], where this process's rows are

    @classmethod
    def of(cls, images: Tensor, texts: Tensor, batch: PairBatch, pad_id: int) -> Everyone:
        """Gather this process's contrastive features, float32 [b, D] each, and its batch."""
        ids = batch.input_ids
        count, missing = len(ids), widest(ids.shape[1], ids.device) - ids.shape[1]
        return cls(
            images=gather(images),
            texts=gather(texts),
            input_ids=gather_constant(functional.pad(ids, (0, missing), value=pad_id)),
            image_index=gather_constant(batch.image_index),
            order=gather_constant(batch.position).argsort(),
            own=torch.arange(rank() * count, (rank() + 1) * count, device=ids.device),
        )

    def twins(self) -> Tensor:
        """Pairs that are not negatives of this process's, bool [b, B]."""
        ids, index = self.input_ids, self.image_index
        return same_pair(ids[self.own], index[self.own], ids, index)

    def contrast(self, temperature: Tensor, kept: Tensor | None = None) -> Tensor:
        """InfoNCE of this process's pairs, but a pair's twins (same image, same words) stay out.

        Labels make the same sentence for many images: none of them is a wrong answer. Ours. So do
        all pairs but those `kept`, bool [B].
        """
        own, twins = self.own, self.twins()
        twins[torch.arange(len(own), device=own.device), own] = False
        targets = own
        if kept is not None:
            targets = own.masked_fill(~kept[own], IGNORED)
            twins = twins | (kept[own][:, None] & ~kept)
        images, texts = self.images, self.texts
        both = (images, texts)
        return info_nce(
            images[own], texts[own], temperature, both, targets, twins, mean_cross_entropy
        )


class _Negatives(NamedTuple):
    """Pairs to be matched: r true ones, then a hard text for each image, then the reverse."""

    images: Tensor  # int64 [3 r], rows of `Everyone`
    texts: Tensor  # int64 [3 r], rows of `Everyone`
    usable: Tensor  # bool [3 r], False where a row has no negative at all


class PairObjective(nn.Module):
    """All losses of a batch of pairs, in one forward, so that gradients synchronise once.

    Every image and every text is encoded once for matching and contrast; the negatives of
    matching reuse those encodings by indexing, and their grounded tokens are chosen from scores
    (equation 2) that were summed once for each image and text. Texts with hidden spans are encoded
    in the same call as the whole ones.
    """

    def __init__(
        self, model: Unimo2Model, config: PretrainConfig, row_use: RowUse | None = None
    ) -> None:
        """Wrap a model; `row_use` reinitialises dictionary rows that are out of use."""
        super().__init__()
        self.model, self.config, self.row_use = model, config, row_use
        self.groups = GroupMatching(config.match_group, config.match_fused, config.contrast_share)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss" (the weighted sum), "mlm", "itm", "contrastive", "grounding" (those with
            a weight), "itm_accuracy" in [0, 1], the temperatures; and "dictionary_counts" int64
            [C], how often each dictionary row was chosen for a true pair, if there is a dictionary.
        """
        model, config, mask = self.model, self.config, batch.attention_mask
        rows = len(batch.masked_ids) if config.mlm_weight and batch.fused else 0
        vision = model.encode_image(batch.pixel_values)  # [B, M + 1, H]
        both = model.encode_text(
            torch.cat([batch.masked_ids[:rows], batch.input_ids]), torch.cat([mask[:rows], mask])
        )
        hidden, text = both[:rows], both[rows:]  # [R, N, H], [B, N, H]
        if self.row_use is not None and model.dictionary is not None and self.training:
            self.row_use.restart(model.dictionary, vision, text, mask, batch.seed)
        statistics = None if model.dictionary is None else model.dictionary.statistics
        if model.dictionary is not None and statistics is not None and self.training:
            if not statistics.batches.any():
                start_from_tokens(model.dictionary, vision, text, mask, batch.seed)

        losses: dict[str, Tensor] = {}
        result = {"contrastive_temperature": model.clamped_temperature.detach().squeeze()}
        towers = _Towers(vision, text, mask)
        everyone = Everyone.of(
            model.image_features(vision),
            model.text_features(text),
            batch,
            model.config.pad_token_id,
        )
        if config.contrastive_weight:
            kept = self.groups.contrasted(everyone.image_index)
            losses["contrastive"] = everyone.contrast(model.clamped_temperature, kept)
        if model.dictionary is not None:
            grounding = model.ground(vision, text, mask, with_loss=config.grounding_weight > 0)
            if grounding.loss is not None:
                tokens = mask[:, 1:].sum() + vision[:, 1:, 0].numel()
                losses["grounding"] = balanced(grounding, tokens)
            result |= dictionary_news(model, grounding.indices)
        if config.mlm_weight and batch.fused:
            if rows:
                losses["mlm"] = self._masked_words(vision[:rows], hidden, batch)
            elif world_size() > 1:  # takes part in the count, and reports the losses of the others
                total(mask.new_zeros(()))
                losses["mlm"] = vision.new_zeros(())
        if config.itm_weight and batch.fused:
            match = self._match_groups if self.groups.size else self._match_classes
            losses["itm"], result["itm_accuracy"] = match(towers, everyone, batch)
        result |= {name: loss.detach() for name, loss in losses.items()}
        weighted = [getattr(config, f"{name}_weight") * loss for name, loss in losses.items()]
        return {**result, "loss": torch.stack(weighted).sum()}

    def _masked_words(self, vision: Tensor, hidden: Tensor, batch: PairBatch) -> Tensor:
        """Cross entropy of the hidden tokens; only their rows go through the head."""
        mask = batch.attention_mask[: len(hidden)]
        indices = None
        if (scores := self.model.dictionary_scores(vision, hidden, mask)) is not None:
            assert self.model.dictionary is not None  # it gave the scores
            indices = self.model.dictionary.select(scores[0] + scores[1])
        fused = self.model.fuse(vision, hidden, mask, grounded_indices=indices).fused_text
        return masked_words_loss(self.model, fused, batch.labels)

    def _matched(self, everyone: Everyone, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The r pairs that matching is trained on: which of the b, where in the B, and their twins.

        Negatives are not among the twins, bool [r, B], nor those of other processes if they stay
        out.
        """
        share = self.config.match_share
        matched = self.groups.matched(batch.position, batch.image_index, share)
        excluded = everyone.twins()[matched]
        if self.config.negatives_from == "process":
            others = torch.ones_like(excluded[0])
            others[everyone.own] = False
            excluded = excluded | others
        if self.groups.contrast_share < 1.0:
            excluded = excluded | self.groups.contrasted(everyone.image_index)
        return matched, everyone.own[matched], excluded

    @torch.no_grad()
    def _negatives(self, everyone: Everyone, batch: PairBatch) -> _Negatives:
        """Draw a hard text for each image and a hard image for each text."""
        matched, own, excluded = self._matched(everyone, batch)
        order, noise = everyone.order, batch.negative_noise[matched]
        ways = ((everyone.images, everyone.texts), (everyone.texts, everyone.images))
        drawn, found = [], []
        for way, (features, others) in enumerate(ways):
            similarity = features[own].float() @ others.float().T / self.model.clamped_temperature
            columns, usable = draw_negatives(
                similarity[:, order],
                excluded[:, order],
                noise[:, way : way + 1],
                self.config.hard_share,
            )
            drawn.append(order[columns[:, 0]])
            found.append(usable[:, 0])
        text_for, image_for = drawn
        return _Negatives(
            images=torch.cat([own, own, image_for]),
            texts=torch.cat([own, text_for, own]),
            usable=torch.cat([torch.ones_like(found[0]), *found]),
        )

    @torch.no_grad()
    def _groups(self, everyone: Everyone, batch: PairBatch) -> Groups:
        """Put pairs together that are alike: each matched one with drawn ones of the batch."""
        matched, own, excluded = self._matched(everyone, batch)
        order, temperature = everyone.order, self.model.clamped_temperature
        images, texts = everyone.images.float(), everyone.texts.float()
        alike = (images[own] @ texts.T + texts[own] @ images.T) / (2.0 * temperature)  # [r, B]
        noise = batch.negative_noise[matched, : self.groups.size - 1]
        columns, usable = draw_negatives(
            alike[:, order], excluded[:, order], noise, self.config.hard_share
        )
        members = torch.cat([own[:, None], order[columns]], dim=1)  # [r, g]
        return groups_of(members, usable, everyone.input_ids, everyone.image_index)

    def _match_groups(
        self, towers: _Towers, everyone: Everyone, batch: PairBatch
    ) -> tuple[Tensor, Tensor]:
        """Loss of finding the partner within a group, and the accuracy of what is ranked."""
        groups = self._groups(everyone, batch)
        images, texts = groups.pairs
        logits = self._fused(towers, images, texts)
        # The head is antisymmetric: the score, logit[1], is half of this.
        alone = logits[:, 1] - logits[:, 0]
        loss, accuracy = groups.loss(alone)
        if self.groups.fused:
            with torch.no_grad():
                contrast = (everyone.images[images] * everyone.texts[texts]).sum(dim=1).float()
                contrast = contrast / self.model.clamped_temperature
            both, accuracy = groups.loss(alone + contrast)
            loss = self.groups.fused * both + (1.0 - self.groups.fused) * loss
        return loss, accuracy

    def _match_classes(
        self, towers: _Towers, everyone: Everyone, batch: PairBatch
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy of matching over r true pairs and 2 r negatives, and the accuracy."""
        pairs = self._negatives(everyone, batch)
        logits = self._fused(towers, pairs.images, pairs.texts)  # [3 r, 2]
        labels = torch.zeros_like(pairs.images)
        labels[: len(labels) // 3] = 1  # the true pairs come first
        loss = mean_cross_entropy(logits, labels.masked_fill(~pairs.usable, IGNORED))
        correct = (logits.detach().argmax(dim=1) == labels)[pairs.usable]
        # A process may hold no matched pair at all: its accuracy is then 0, not NaN.
        return loss, correct.float().sum() / max(1, len(correct))

    def _fused(self, towers: _Towers, images: Tensor, texts: Tensor) -> Tensor:
        """Matching logits, float32 [pairs, 2], of rows of `Everyone`, int64 [pairs] each."""
        vision, text, mask = towers
        dtype, indices = vision.dtype, None
        if (scores := self.model.dictionary_scores(*towers)) is not None:
            assert self.model.dictionary is not None  # it gave the scores
            of_images, of_texts = (gather_constant(part) for part in scores)
            indices = self.model.dictionary.select(of_images[images] + of_texts[texts])
        if self.config.negatives_from == "process":
            # Where there was no negative left to draw, the row drawn may be of another process.
            first, last = rank() * len(vision), len(vision) - 1
            images, texts = ((rows - first).clamp(0, last) for rows in (images, texts))
        else:
            missing = widest(mask.shape[1], mask.device) - mask.shape[1]
            text = gather_narrow(functional.pad(text, (0, 0, 0, missing)))
            vision = gather_narrow(vision)
            mask = gather_constant(functional.pad(mask, (0, missing)))
        output = self.model.fuse(
            vision[images].to(dtype),
            text[texts].to(dtype),
            mask[texts],
            pooled_only=True,
            grounded_indices=indices,
        )
        assert output.itm_logits is not None  # image and text were given
        return output.itm_logits.float()


def masked_words_loss(model: Unimo2Model, fused: Tensor | None, labels: Tensor) -> Tensor:
    """Cross entropy of hidden tokens over all processes; only their rows go through the head.

    Fused text rows are [R, N, H]; labels int64 [R, N], -100 where nothing is to be predicted.
    """
    assert fused is not None  # a text was given
    rows, wanted = selected_rows(fused, labels)
    return mean_cross_entropy(model.mlm_head(rows).float(), wanted)


class JointObjective(nn.Module):
    """The weighted sum of the losses of everything that a batch holds."""

    def __init__(
        self, model: Unimo2ForPreTraining, config: PretrainConfig, with_images: bool = True
    ) -> None:
        """Wrap a model; without images alone its projection of views is not trained."""
        super().__init__()
        patience, rows = config.restart_unused, model.config.dictionary_size
        row_use = RowUse(rows, patience) if patience else None
        self.config = config
        self.pairs = PairObjective(model.unimo2, config, row_use)
        self.projection = model.vcl_projection if with_images else None

    def forward(self, batch: MixedBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss" (the weighted sum); what `PairObjective` returns; "vcl",
            "vcl_accuracy" (share of views whose nearest other view is of the same image) and
            "image_grounding" of images; "text_mlm" and "text_grounding" of texts; and
            "dictionary_counts" int64 [C] over all of them (absent without a dictionary).
        """
        parts: list[dict[str, Tensor]] = []
        if batch.pairs is not None:
            parts.append(self.pairs(batch.pairs))
        if batch.images is not None:
            parts.append(self._images(batch.images))
        if batch.texts is not None:
            parts.append(self._texts(batch.texts))
        result: dict[str, Tensor] = {}
        losses = [part.pop("loss") for part in parts]
        counts = [part.pop(COUNTS) for part in parts if COUNTS in part]
        for part in parts:
            result |= part
        result["loss"] = torch.stack(losses).sum()
        if counts:
            result[COUNTS] = torch.stack(counts).sum(dim=0)
            if self.pairs.row_use is not None and self.training:
                self.pairs.row_use.note(total(result[COUNTS]))
        return result

    def _images(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Visual contrastive learning and grounding of images alone."""
        assert self.projection is not None, "built without images"
        model, config = self.pairs.model, self.config
        vision = model.encode_image(batch.views)  # [2 B, M + 1, H]
        result: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        indices = None
        if model.dictionary is not None:
            grounding = model.ground(vision, None, with_loss=config.grounding_weight > 0)
            indices = grounding.indices
            result |= dictionary_news(model, indices)
            if grounding.loss is not None:  # every process has as many patches as the others
                losses.append(config.grounding_weight * grounding.loss)
                result["image_grounding"] = grounding.loss.detach()
        if config.vcl_weight:
            pooled = model.fuse(vision, pooled_only=True, grounded_indices=indices).pooled_image
            assert pooled is not None  # an image was given
            features = functional.normalize(self.projection(pooled).float(), dim=-1)
            loss, result["vcl_accuracy"] = nt_xent(features, config.vcl_temperature)
            losses.append(config.vcl_weight * loss)
            result["vcl"] = loss.detach()
        return {**result, "loss": torch.stack(losses).sum() if losses else vision.new_zeros(())}

    def _texts(self, batch: TextBatch) -> dict[str, Tensor]:
        """Masked language modelling and grounding of texts alone."""
        model, config = self.pairs.model, self.config
        mask, indices = batch.attention_mask, None
        text = model.encode_text(batch.masked_ids, mask)  # [B, N, H]
        result: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        if model.dictionary is not None:
            grounding = model.ground(None, text, mask, with_loss=config.grounding_weight > 0)
            result |= dictionary_news(model, grounding.indices)
            if grounding.loss is not None:
                loss = balanced(grounding, mask[:, 1:].sum())
                losses.append(config.grounding_weight * loss)
                result["text_grounding"] = loss.detach()
            # The 1-to-1 map has as many grounded tokens as there are, and hides those of padding.
            indices = None if model.dictionary.nearest else grounding.indices
        fused = model.fuse(None, text, mask, grounded_indices=indices).fused_text
        loss = masked_words_loss(model, fused, batch.labels)
        result["text_mlm"] = loss.detach()
        return {**result, "loss": torch.stack([*losses, config.text_weight * loss]).sum()}


# Knuth's multiplier: neighbouring numbers fall far apart.
_MULTIPLIER, _RANGE = 2_654_435_761, 1 << 32


@dataclass(frozen=True)
class GroupMatching:
    """Settings of matching within groups."""

    size: int = 0  # g, pairs of a group; 0 for matching as two classes
    # weight of finding the partner by the score that retrieval ranks, logit plus contrastive score,
    # against finding it by the logit alone. What contrast knows then has no gradient.
    fused: float = 0.0
    # share of the images that contrast is trained on. Matching is trained on the others, where
    # contrast is as often wrong as it will be on images it has never seen.
    contrast_share: float = 1.0

    def contrasted(self, image_index: Tensor) -> Tensor:
        """Images that the contrastive loss uses, int64 [B] to bool [B]; the same in every step."""
        if self.contrast_share == 1.0:
            return torch.ones_like(image_index, dtype=torch.bool)
        return (image_index * _MULTIPLIER) % _RANGE < self.contrast_share * _RANGE

    def matched(self, position: Tensor, image_index: Tensor, share: float) -> Tensor:
        """Pairs of a process that begin a group, bool [b]: a share of the whole batch."""
        wanted = spread(position, share)
        if self.contrast_share == 1.0:
            return wanted
        unseen = ~self.contrasted(image_index)
        return unseen & (unseen.cumsum(dim=0) <= wanted.sum())


@dataclass(frozen=True)
class Groups:
    """Pairs that are alike."""

    members: Tensor  # int64 [r, g], rows of all pairs, different ones in a group
    hidden: Tensor  # bool [r, g, g], image by text: no true pair, and no negative either

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Every image of a group with every text of it, int64 [r g g] each."""
        size = (-1, *self.hidden.shape[1:])
        return (
            self.members[:, :, None].expand(size).flatten(),
            self.members[:, None, :].expand(size).flatten(),
        )

    def loss(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy of the true partner within its group, both ways, and the accuracy.

        Logits are those of `pairs`, [r g g].
        """
        size = self.hidden.shape[1]
        scores = logits.view(-1, size, size).masked_fill(self.hidden, float("-inf"))
        true = torch.arange(size, device=scores.device).repeat(len(scores))
        ways = [scores.flatten(0, 1), scores.transpose(1, 2).flatten(0, 1)]
        found = [mean_cross_entropy(way, true) for way in ways]
        right = [(way.detach().argmax(dim=1) == true).float().sum() for way in ways]
        return (found[0] + found[1]) / 2, (right[0] + right[1]) / max(1, 2 * len(true))


def groups_of(members: Tensor, usable: Tensor, input_ids: Tensor, image_index: Tensor) -> Groups:
    """Groups of these members; samples of the same image or words are not negatives.

    Args:
        members: int64 [r, g], rows of the following.
        usable: bool [r, g - 1], which members after the first count.
        input_ids: int64 [B, N], padded.
        image_index: int64 [B], which image each sample shows.
    """
    ids, index = input_ids[members], image_index[members]  # [r, g, N], [r, g]
    counts = torch.cat([torch.ones_like(usable[:, :1]), usable], dim=1)
    hidden = same_pair(ids, index, ids, index) | ~(counts[:, :, None] & counts[:, None, :])
    own = torch.eye(members.shape[1], dtype=torch.bool, device=members.device)
    return Groups(members, hidden & ~own)
