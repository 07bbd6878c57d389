"""Fine-tuning for retrieval: circle loss over negative images and texts, and the contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unimo2.data.batches import Batch
from unimo2.data.images import AugmentedImages
from unimo2.data.sampler import Chosen
from unimo2.data.seeding import NEGATIVES, Shard, stream
from unimo2.data.texts import TokenTable
from unimo2.modeling.model import Unimo2Model
from unimo2.training.dictionary_usage import dictionary_news
from unimo2.training.distributed import gather, rank, world_size
from unimo2.training.finetuning.config import RetrievalConfig
from unimo2.training.finetuning.samples import TaskData
from unimo2.training.losses import circle_loss, draw_several, same_pair


@dataclass(frozen=True)
class RetrievalBatch(Batch):
    """Images and texts, and which are negatives of which.

    The first B images and the first B texts are the true pairs.
    """

    pixel_values: Tensor  # float32 [I, 3, S, S]
    input_ids: Tensor  # int64 [T, n]
    attention_mask: Tensor  # int64 [T, n]
    image_index: Tensor  # int64 [B], which image of the data set each true pair shows
    # int64 [B, k], rows of pixel_values for each text; [B, 0] to draw them from the batch
    negative_images: Tensor
    negative_texts: Tensor  # int64 [B, k], rows of input_ids for each image; or [B, 0]
    noise: Tensor  # float32 [B, 4, B] in [0, 1), for the draws from the batch; [B, 4, 0] without

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"pairs": len(self.image_index)}


class RetrievalTrainingData(TaskData):
    """Images with captions.

    A pass takes every image once, with one of its captions, drawn at random or in turn; an epoch is
    as many pairs as there are captions.
    """

    def __init__(
        self,
        config: RetrievalConfig,
        images: AugmentedImages,
        texts: TokenTable,
        captions: Sequence[int],
    ) -> None:
        """Put the columns together: all captions in the order of their images, so many of each.

        Raises:
            UsageError: There are fewer images than a batch holds.
        """
        draw: Literal["in turn"] | int = "in turn" if config.captions == "each" else 1
        super().__init__(config, torch.tensor(captions), texts, sum(captions), draw=draw)
        self._config, self._images, self._texts = config, images, texts

    def images_of(self, chosen: Chosen) -> Tensor:
        """Images of a step, without negatives."""
        return chosen.items

    def batch(self, step: int, share: Shard) -> RetrievalBatch:
        """A part of the batch of a step."""
        part, size, count = share.rows(self.items), self.items, self._config.negatives
        chosen = self.chosen(step)
        images, texts = chosen.items[part], chosen.texts[part, 0]
        own = len(images)
        generator = stream(self._config.seed, step, NEGATIVES)
        if self._config.negatives_from == "batch":
            noise = torch.rand(size, 4, size, generator=generator)[part, :, :own]
            none = images.new_empty(own, 0)
            pixels = self.pixels(self._images, step, part)
            return RetrievalBatch(pixels, *self._texts.pad(texts), images, none, none, noise)
        others = torch.randint(len(self.owned) - 1, (size, 2 * count), generator=generator)[part]
        others = others + (others >= images[:, None])  # any image but the pair's own
        places = torch.rand(size, count, generator=generator)[part]
        captions = self.owned.one(others[:, count:], places)
        every = torch.cat([images, others[:, :count].flatten()])
        ids, mask = self._texts.pad(torch.cat([texts, captions.flatten()]))
        rows = own + torch.arange(own * count).view(own, count)
        # Every image of the whole batch has its own place, whatever else this part holds.
        slots = size + torch.arange(size * count).view(size, count)[part].flatten()
        places = torch.cat([torch.arange(size)[part], slots])
        pixels = self._images.batch(every, None, step, places, size * (1 + count))
        return RetrievalBatch(pixels, ids, mask, images, rows, rows, torch.empty(own, 4, 0))

    def describe(self) -> dict[str, Any]:
        """Counts and fingerprint."""
        digest = sha256(self._images.digest().encode())
        digest.update(self._texts.digest().encode())
        digest.update(self.owned.counts.numpy().tobytes())
        counts = {"images": len(self._images), "captions": self.samples}
        return {**counts, "fingerprint": digest.hexdigest()}


@dataclass(frozen=True)
class _Pairs:
    """The B true pairs, then the negatives of each text (images) and of each image (texts)."""

    images: Tensor  # int64 [B + 2 B k]
    texts: Tensor  # int64 [B + 2 B k]
    usable: Tensor  # bool [2, B, k]: of the images, of the texts


class RetrievalObjective(nn.Module):
    """Circle loss in both directions, contrastive loss, and optionally matching and grounding.

    Every image and text of a batch is encoded once; pairs index those encodings.
    """

    def __init__(self, model: Unimo2Model, config: RetrievalConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, batch: RetrievalBatch) -> dict[str, Tensor]:
        """Compute the losses.

        Returns:
            Scalars "loss", those of "circle", "contrastive", "itm", "grounding" that have a weight,
            "first": the share of true pairs that score above all their negatives; the temperature
            of the contrast; and what `dictionary_news` gives, of the true pairs.
        """
        config, model = self.config, self.model
        own = len(batch.image_index)
        vision = model.encode_image(batch.pixel_values)  # [I, p + 1, D]
        text = model.encode_text(batch.input_ids, batch.attention_mask)  # [T, n, D]
        images, texts = model.image_features(vision), model.text_features(text)
        losses: dict[str, Tensor] = {}
        if config.contrastive_weight:
            losses["contrastive"] = self._contrast(images[:own], texts[:own])
        if config.grounding_weight and model.dictionary is not None:
            mask = batch.attention_mask[:own]
            grounding = model.ground(vision[:own], text[:own], mask, with_loss=True)
            assert grounding.loss is not None  # it was asked for
            losses["grounding"] = grounding.loss
        pairs = self._pairs(images, texts, batch)
        logits, rows = self._match(vision, text, batch.attention_mask, pairs)  # [B + 2 B k, 2]
        contrast = (images[pairs.images] * texts[pairs.texts]).sum(dim=1)
        scores = logits[:, 1] + config.score_weight * contrast
        positive, negative = scores[:own], scores[own:].view(2, own, -1)  # [B], [2, B, k]
        if config.circle_weight:
            losses["circle"] = self._circle(positive, negative, pairs.usable)
        if config.itm_weight:
            losses["itm"] = _matching(logits, own, pairs.usable)
        result = {name: loss.detach() for name, loss in losses.items()}
        result["first"] = _first(positive, negative, pairs.usable)
        result["contrastive_temperature"] = model.clamped_temperature.detach().squeeze()
        result |= dictionary_news(model, None if rows is None else rows[:own])
        weighted = [getattr(config, f"{name}_weight") * loss for name, loss in losses.items()]
        return {**result, "loss": torch.stack(weighted).sum()}

    def _contrast(self, images: Tensor, texts: Tensor) -> Tensor:
        """The model's contrastive loss of the true pairs, against those of all processes."""
        everyone = own = None
        if world_size() > 1:
            everyone = gather(images), gather(texts)
            own = torch.arange(len(images), device=images.device) + rank() * len(images)
        return self.model.contrastive_loss(images, texts, everyone, own)

    def _circle(self, positive: Tensor, negative: Tensor, usable: Tensor) -> Tensor:
        margin, scale = self.config.circle_margin, self.config.circle_scale
        both = [circle_loss(positive, negative[i], usable[i], margin, scale) for i in range(2)]
        return (both[0] + both[1]) / 2

    def _match(
        self, vision: Tensor, text: Tensor, mask: Tensor, pairs: _Pairs
    ) -> tuple[Tensor, Tensor | None]:
        """Matching logits of all pairs, float32 [pairs, 2], and dictionary rows [pairs, K]."""
        rows = None
        if (scores := self.model.dictionary_scores(vision, text, mask)) is not None:
            assert self.model.dictionary is not None  # it gave the scores
            rows = self.model.dictionary.select(scores[0][pairs.images] + scores[1][pairs.texts])
        out = self.model.fuse(
            vision[pairs.images],
            text[pairs.texts],
            mask[pairs.texts],
            pooled_only=True,
            grounded_indices=rows,
        )
        assert out.itm_logits is not None  # image and text were given
        return out.itm_logits.float(), rows

    @torch.no_grad()
    def _pairs(self, images: Tensor, texts: Tensor, batch: RetrievalBatch) -> _Pairs:
        """True pairs and negatives, as rows of images and texts."""
        own = len(batch.image_index)
        true = torch.arange(own, device=images.device)
        if batch.negative_images.shape[1]:
            of_text, of_image = batch.negative_images, batch.negative_texts
            usable = torch.ones_like(torch.stack([of_text, of_image]), dtype=torch.bool)
        else:
            similarity = images @ texts.T / self.model.clamped_temperature  # [B, B]
            ids, shown = batch.input_ids, batch.image_index
            excluded = same_pair(ids, shown, ids, shown)
            count, share = self.config.negatives, self.config.hard_share
            of_text, left = draw_several(similarity.T, excluded, batch.noise[:, :2], count, share)
            of_image, right = draw_several(similarity, excluded, batch.noise[:, 2:], count, share)
            usable = torch.stack([left, right])
        again = true.repeat_interleave(of_text.shape[1])
        return _Pairs(
            images=torch.cat([true, of_text.flatten(), again]),
            texts=torch.cat([true, again, of_image.flatten()]),
            usable=usable,
        )


def _matching(logits: Tensor, own: int, usable: Tensor) -> Tensor:
    """Cross entropy of matching: one true pair weighs as much as all its negatives."""
    true = -logits[:own].log_softmax(dim=1)[:, 1]
    false = -logits[own:].log_softmax(dim=1)[:, 0]
    real = usable.flatten().float()
    return (true.mean() + (false * real).sum() / real.sum().clamp_min(1.0)) / 2


def _first(positive: Tensor, negative: Tensor, usable: Tensor) -> Tensor:
    """Share of true pairs that score above all their negatives of either kind."""
    best = negative.detach().masked_fill(~usable, float("-inf")).amax(dim=(0, 2))
    return (positive.detach() > best).float().mean()
