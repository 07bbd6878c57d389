"""Fine-tuning for captions: the next word, given the image and the words before (released code).

Text rows see visual, grounded and earlier text rows; visual and grounded rows see no text. So the
captions of one image can stand in one sequence, each seeing the image and itself: the image goes
through the model once for all of them.

Object tags stand before each caption, which sees them; they see each other and the image.

Shapes: b images, c captions of each, n tokens of a caption, g of object tags, D width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from unimo2.data.batches import Batch
from unimo2.data.images import AugmentedImages
from unimo2.data.sampler import Chosen
from unimo2.data.seeding import Shard
from unimo2.data.texts import TokenTable
from unimo2.modeling.attention import key_bias
from unimo2.modeling.fusion import Layout
from unimo2.modeling.generation import TagTokens
from unimo2.modeling.model import Unimo2Model
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.modeling.text import causal_mask
from unimo2.training.dictionary_usage import dictionary_news
from unimo2.training.distributed import mean_cross_entropy
from unimo2.training.finetuning.config import CaptionConfig
from unimo2.training.finetuning.samples import TaskData


@dataclass(frozen=True)
class CaptionBatch(Batch):
    """Images, and captions of each."""

    pixel_values: Tensor  # float32 [b, 3, S, S]
    input_ids: Tensor  # int64 [b * c, n], the c captions of an image side by side
    attention_mask: Tensor  # int64 [b * c, n]
    tag_ids: Tensor | None = None  # int64 [b, g], object tags of the images; None for none
    tag_mask: Tensor | None = None  # int64 [b, g], 1 at their real tokens

    @property
    def counts(self) -> dict[str, int]:
        """Samples by kind."""
        return {"pairs": len(self.input_ids)}


@dataclass(frozen=True)
class ImageTags:
    """Object tags of training images."""

    source: Mapping[str, Any]  # the file, as its reader describes it
    rows: Sequence[Sequence[int]]  # token ids of each image's tags, none for an image without
    padding: int  # what shorter ones are filled up with
    longest: int  # tokens that the model has positions for

    def of(self, images: Tensor) -> TagTokens | None:
        """Tags of some images, int64 [b]; None where none of them has any."""
        rows = [self.rows[image] for image in images.tolist()]
        return TagTokens.of(rows, self.padding, self.longest)

    def describe(self) -> dict[str, Any]:
        """The file, and how many of the images have tags."""
        return {**self.source, "training_images": sum(1 for row in self.rows if row)}


class CaptionData(TaskData):
    """Images with captions.

    A batch holds `batch_size` captions, `captions_per_image` of each image. With one, a pass takes
    every caption once; with several it takes every image once, with captions drawn at random.
    """

    def __init__(
        self,
        config: CaptionConfig,
        images: AugmentedImages,
        texts: TokenTable,
        captions: Sequence[int],
        tags: ImageTags | None = None,
    ) -> None:
        """Put the columns together.

        Args:
            config: Batch size, seed, captions of an image.
            images: The images.
            texts: All captions, in the order of their images.
            captions: Number of captions per image.
            tags: Object tags of the images; None for none.

        Raises:
            UsageError: There is less than a batch, or the batch size is not a multiple.
        """
        together, counts = config.captions_per_image, torch.tensor(captions)
        config.require(
            "batch_size",
            config.batch_size % together == 0,
            f"a multiple of captions_per_image, {together}",
        )
        self._images, self._texts, self._tags = images, texts, tags
        self._image_of = torch.repeat_interleave(torch.arange(len(counts)), counts)
        samples = len(self._image_of)
        items = counts if together > 1 else torch.ones(samples, dtype=torch.int64)
        super().__init__(config, items, texts, samples, together, draw=together)

    def images_of(self, chosen: Chosen) -> Tensor:
        """Images of a step."""
        return self._image_of[chosen.texts[:, 0]]

    def batch(self, step: int, share: Shard) -> CaptionBatch:
        """A part of the batch of a step."""
        part = share.rows(self.items)
        chosen = self.chosen(step)
        pixels = self.pixels(self._images, step, part)
        batch = CaptionBatch(pixels, *self._texts.pad(chosen.texts[part].flatten()))
        tags = None if self._tags is None else self._tags.of(self.images_of(chosen)[part])
        if tags is None:
            return batch
        return replace(batch, tag_ids=tags.input_ids, tag_mask=tags.attention_mask)

    def describe(self) -> dict[str, Any]:
        """Counts and fingerprint."""
        digest = sha256(self._images.digest().encode())
        digest.update(self._texts.digest().encode())
        digest.update(self._image_of.numpy().tobytes())
        told: dict[str, Any] = {"images": len(self._images), "captions": self.samples}
        if self._tags is not None:
            digest.update(json.dumps(self._tags.rows).encode())
            told |= {"object_tags": self._tags.describe()}
        return {**told, "fingerprint": digest.hexdigest()}


class CaptionObjective(nn.Module):
    """Cross entropy of the next token, with label smoothing."""

    def __init__(
        self, model: Unimo2Model, label_smoothing: float = 0.1, grounding_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing, self.grounding_weight = label_smoothing, grounding_weight

    def forward(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Compute the loss.

        Returns:
            Scalars "loss", "caption" (smoothed cross entropy a token), "accuracy" of the next token
            in [0, 1], and "grounding" where it has a weight; and what `dictionary_news` gives.
        """
        model = self.model
        words = _words(batch, model.config.pad_token_id + 1)
        ids, mask, context = words.ids, words.mask, words.context
        vision = model.encode_image(batch.pixel_values)  # [b, p + 1, D]
        text = model.text(ids, mask, words.positions, causal=True, context=context)
        packed = text.unflatten(0, (len(vision), -1)).flatten(1, 2)  # [b, c (g + n), D]
        grounded = grounding = chosen = None
        if model.dictionary is not None:
            wanted = self.grounding_weight > 0
            found = model.ground(vision, None, with_loss=wanted)
            grounded, grounding, chosen = found.tokens, found.loss, found.indices
        layout = _layout(model, vision, grounded, packed, words)
        fused = model.fusion(vision, grounded, packed, layout)[2]  # [b, c (g + n), D]
        assert fused is not None  # a text was given
        following = batch.input_ids[:, 1:].masked_fill(batch.attention_mask[:, 1:] == 0, IGNORED)
        rows, labels = selected_rows(fused.reshape(text.shape)[:, context:-1], following)
        logits = model.mlm_head(rows).float()  # [rows, vocabulary]
        # A mean over the tokens of all processes, some of which have longer captions than others.
        loss = mean_cross_entropy(logits, labels, self.label_smoothing)
        right = (logits.detach().argmax(dim=1) == labels).sum() / (labels != IGNORED).sum()
        result = {"loss": loss, "caption": loss.detach(), "accuracy": right}
        result |= dictionary_news(model, chosen)
        if grounding is not None:
            result["grounding"] = grounding.detach()
            result["loss"] = loss + self.grounding_weight * grounding
        return result


@dataclass(frozen=True)
class _Words:
    """Input of the text tower: captions, each preceded by the object tags of its image."""

    ids: Tensor  # [b c, g + n]
    mask: Tensor  # the same, 1 at real tokens
    positions: Tensor | None  # the same; None without tags, where the tower counts itself
    context: int  # g


def _words(batch: CaptionBatch, first: int) -> _Words:
    """Tags and captions side by side; positions of both begin at `first`."""
    if batch.tag_ids is None or batch.tag_mask is None:
        return _Words(batch.input_ids, batch.attention_mask, None, 0)
    together = len(batch.input_ids) // len(batch.tag_ids)
    tags = batch.tag_ids.repeat_interleave(together, dim=0)  # [b c, g]
    seen = batch.tag_mask.repeat_interleave(together, dim=0)
    ids = torch.cat([tags, batch.input_ids], dim=1)
    columns = torch.arange(max(tags.shape[1], batch.input_ids.shape[1]), device=ids.device)
    places = torch.cat([columns[: tags.shape[1]], columns[: batch.input_ids.shape[1]]]) + first
    mask = torch.cat([seen, batch.attention_mask], dim=1)
    return _Words(ids, mask, places.expand(ids.shape), tags.shape[1])


def _layout(
    model: Unimo2Model, vision: Tensor, grounded: Tensor | None, packed: Tensor, words: _Words
) -> Layout:
    """Sizes and masks: each caption's rows see the image, the grounded rows and themselves.

    `packed` is [b, c (g + n), D], with `words` of c captions an image; n below is g + n of these.
    """
    mask = words.mask
    length = mask.shape[1]
    layout = model.fusion.make_layout(vision, grounded, packed, None, causal=False)
    earlier = causal_mask(mask, length, context=words.context)
    earlier = earlier.unflatten(0, (len(vision), -1))  # [b, c, n, n]
    count = earlier.shape[1]
    own = torch.eye(count, dtype=mask.dtype, device=mask.device)[None, :, None, :, None]
    blocks = (earlier[:, :, :, None] * own).reshape(len(vision), count * length, count * length)
    seen = mask.new_ones(len(vision), count * length, layout.visual + layout.grounded)
    return replace(layout, text_bias=key_bias(torch.cat([seen, blocks], dim=2), torch.float32))
