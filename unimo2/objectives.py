"""The losses of pre-training: masked language modelling, image-text matching, contrast, grounding.

Which negatives are drawn is decided by uniform numbers that come with the batch, so that a step can
be repeated exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimo2.batches import PairBatch
from unimo2.dictionary_health import RowUse
from unimo2.masking import IGNORED
from unimo2.modeling import CONTRASTIVE_TEMPERATURE_RANGE, Unimo2Model

_ROUND_ROWS = 64  # rows of the token head come in multiples of this


def same_pair(input_ids: Tensor, image_index: Tensor) -> Tensor:
    """Pairs of a batch that are no negatives of each other, bool [B, B].

    Those are a sample and itself, samples of the same image, and samples of the same words.

    Args:
        input_ids: int64 [B, N], padded.
        image_index: int64 [B], which image each sample shows.
    """
    words = (input_ids[:, None, :] == input_ids[None, :, :]).all(dim=-1)
    same = words | (image_index[:, None] == image_index[None, :])
    return same | torch.eye(len(same), dtype=torch.bool, device=same.device)


def draw_negatives(
    similarity: Tensor, excluded: Tensor, noise: Tensor, hard_share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw one negative for every row; a hard one is the likelier, the more similar it is.

    Args:
        similarity: float [B, B], logits of row against column (contrastive score / temperature).
        excluded: bool [B, B], columns that are no negative of the row.
        noise: float [B] in [0, 1), one number a row (inverse of the cumulative distribution).
        hard_share: probability of a draw by the softmax of the similarities; the others are
            uniform.

    Returns:
        The drawn columns int64 [B], and bool [B]: whether the row has any negative at all. Where
        it has none the column means nothing.
    """
    scores = similarity.detach().float().masked_fill(excluded, float("-inf"))
    has_any = ~excluded.all(dim=1)
    hard = torch.softmax(scores.masked_fill(~has_any[:, None], 0.0), dim=1).double()
    uniform = (~excluded).double()
    uniform = uniform / uniform.sum(dim=1, keepdim=True).clamp_min(1.0)
    edges = (hard_share * hard + (1.0 - hard_share) * uniform).cumsum(dim=1)
    edges = edges / edges[:, -1:]
    drawn = torch.searchsorted(edges, noise.double()[:, None], right=True).squeeze(1)
    return drawn.clamp_max(similarity.shape[1] - 1), has_any


@dataclass(frozen=True)
class _Negatives:
    """Pairs to be matched: the B true ones, then a hard text for each image, then the reverse.

    Attributes:
        images: int64 [3 B], rows of the batch.
        texts: int64 [3 B], rows of the batch.
        usable: bool [3 B], False where a row of the batch has no negative at all.
    """

    images: Tensor
    texts: Tensor
    usable: Tensor


def selected_rows(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that are to be predicted, filled up to a round number of rows.

    The number of hidden tokens differs from batch to batch, and kernels are prepared anew for every
    number of rows they have not met (on CPUs milliseconds each); with round numbers they soon have.

    Args:
        hidden: [R, N, H].
        labels: int64 [R, N], -100 where nothing is to be predicted.

    Returns:
        [rows, H] and int64 [rows], -100 in the rows that only fill up.
    """
    places = (labels != IGNORED).reshape(-1).nonzero().squeeze(1)
    missing = -len(places) % _ROUND_ROWS
    filled = functional.pad(places, (0, missing))
    wanted = functional.pad(labels.reshape(-1)[places], (0, missing), value=IGNORED)
    return hidden.flatten(0, 1)[filled], wanted


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
        row_use: RowUse | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: the model to train.
            weights: weight of each loss; a weight of 0 leaves its computation out.
            hard_share: share of the negatives that are drawn by the contrastive scores of the
                batch; the others are drawn uniformly.
            row_use: starts rows of the dictionary anew that are out of use; None leaves them.
        """
        super().__init__()
        self.model = model
        self.weights = weights
        self.hard_share = hard_share
        self.row_use = row_use

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss" (the weighted sum), "mlm", "itm", "contrastive", "grounding" (those with
            a weight), "itm_accuracy" in [0, 1]; and "dictionary_counts" int64 [C], how often each
            dictionary row was chosen for a true pair (absent without a dictionary).
        """
        rows = len(batch.masked_ids) if self.weights.mlm else 0
        mask = batch.attention_mask
        vision = self.model.encode_image(batch.pixel_values)  # [B, M + 1, H]
        both = self.model.encode_text(
            torch.cat([batch.masked_ids[:rows], batch.input_ids]), torch.cat([mask[:rows], mask])
        )
        hidden, text = both[:rows], both[rows:]  # [R, N, H], [B, N, H]
        if self.row_use is not None and self.model.dictionary is not None and self.training:
            self.row_use.restart(self.model.dictionary, vision, text, mask, batch.seed)

        losses: dict[str, Tensor] = {}
        result: dict[str, Tensor] = {}
        images, texts = self.model.image_features(vision), self.model.text_features(text)
        if self.weights.contrastive:
            losses["contrastive"] = self._contrast(images, texts, batch)
        if self.model.dictionary is not None:
            self._ground(vision, text, mask, losses, result)
        if rows:
            losses["mlm"] = self._masked_words(vision[:rows], hidden, batch)
        if self.weights.itm:
            negatives = self._negatives(images, texts, batch)
            losses["itm"], result["itm_accuracy"] = self._matching(vision, text, mask, negatives)
        result |= {name: loss.detach() for name, loss in losses.items()}
        total = [getattr(self.weights, name) * loss for name, loss in losses.items()]
        result["loss"] = torch.stack(total).sum()
        return result | self._temperatures()

    def _temperatures(self) -> dict[str, Tensor]:
        """The learned temperatures, for the log."""
        model = self.model
        contrastive = model.contrastive_temperature.detach().clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        found = {"contrastive_temperature": contrastive.squeeze()}
        if model.dictionary is not None and not model.dictionary.nearest:
            found["grounding_temperature"] = model.dictionary.temperature.detach().squeeze()
        return found

    def _contrast(self, images: Tensor, texts: Tensor, batch: PairBatch) -> Tensor:
        """The model's contrastive loss, but a pair's twins (same image, same words) stay out of it.

        Labels make the same sentence for many images: none of them is a wrong answer. Ours.
        """
        temperature = self.model.contrastive_temperature.float()
        logits = images @ texts.t() / temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)  # [B, B]
        itself = torch.arange(len(logits), device=logits.device)
        twins = same_pair(batch.input_ids, batch.image_index)
        twins[itself, itself] = False
        logits = logits.masked_fill(twins, float("-inf"))
        there, back = (functional.cross_entropy(part, itself) for part in (logits, logits.t()))
        return (there + back) / 2

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
            losses["grounding"] = grounding.loss
        result["dictionary_counts"] = torch.bincount(
            grounding.indices.reshape(-1), minlength=self.model.config.dictionary_size
        )

    def _masked_words(self, vision: Tensor, hidden: Tensor, batch: PairBatch) -> Tensor:
        """Cross entropy of the hidden tokens; only their rows go through the head."""
        mask = batch.attention_mask[: len(hidden)]
        indices = self._choose(vision, hidden, mask)
        fused = self.model.fuse(vision, hidden, mask, grounded_indices=indices).fused_text
        assert fused is not None  # a text was given
        rows, labels = selected_rows(fused, batch.labels)
        logits = self.model.mlm_head(rows)  # [selected, vocabulary]
        return functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED)

    @torch.no_grad()
    def _negatives(self, images: Tensor, texts: Tensor, batch: PairBatch) -> _Negatives:
        """Draw a hard text for each image and a hard image for each text."""
        temperature = self.model.contrastive_temperature.clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
        similarity = images.float() @ texts.float().T / temperature  # [B, B]
        excluded = same_pair(batch.input_ids, batch.image_index)
        for_image, for_text = batch.negative_noise.unbind(dim=1)
        share = self.hard_share
        text_for, text_found = draw_negatives(similarity, excluded, for_image, share)
        image_for, image_found = draw_negatives(similarity.T, excluded, for_text, share)
        everything = torch.arange(len(images), device=images.device)
        return _Negatives(
            images=torch.cat([everything, everything, image_for]),
            texts=torch.cat([everything, text_for, everything]),
            usable=torch.cat([torch.ones_like(text_found), text_found, image_found]),
        )

    def _matching(
        self, vision: Tensor, text: Tensor, mask: Tensor, pairs: _Negatives
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy of matching over B true pairs and 2 B negatives, and the accuracy."""
        output = self.model.fuse(
            vision[pairs.images],
            text[pairs.texts],
            mask[pairs.texts],
            pooled_only=True,
            grounded_indices=self._choose(vision, text, mask, pairs),
        )
        assert output.itm_logits is not None  # image and text were given
        labels = torch.zeros_like(pairs.images)
        labels[: len(vision)] = 1
        logits = output.itm_logits.float()  # [3 B, 2]
        loss = functional.cross_entropy(logits, labels.masked_fill(~pairs.usable, IGNORED))
        correct = (logits.detach().argmax(dim=1) == labels)[pairs.usable]
        return loss, correct.float().mean()

    @torch.no_grad()
    def _choose(
        self, vision: Tensor, text: Tensor, mask: Tensor, pairs: _Negatives | None = None
    ) -> Tensor | None:
        """Grounded tokens of pairs, [pairs, K]; None leaves the choice to the model.

        Args:
            vision: [B, M + 1, H].
            text: [B, N, H].
            mask: [B, N].
            pairs: which image goes with which text; row by row if None.
        """
        dictionary = self.model.dictionary
        if dictionary is None or self.model.config.grounding != "topk":
            return None
        counted = self.model.config.padding == "counted"
        image_scores = dictionary.scores(vision[:, 1:])  # [B, C]
        text_scores = dictionary.scores(text[:, 1:], None if counted else mask[:, 1:])
        if pairs is None:
            return dictionary.select(image_scores + text_scores)
        return dictionary.select(image_scores[pairs.images] + text_scores[pairs.texts])
