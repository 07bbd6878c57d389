"""Next-token logits of captions, with keys and values of image, object tags and earlier words kept.

As in the released code (UniLM style): text is causal and sees visual, grounded and earlier text
rows; visual and grounded rows see no text. Object tags, where there are any, see visual and grounded
rows and each other, and all words of the caption see them. So the keys and values of an image and
its tags are computed once and shared by all its beams.

Shapes: b images, r text rows (the beams of all images), t tokens so far, g tokens of object tags, s
visual, grounded and tag rows, h heads, d width of a head, D width, V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache

from unimo2.fusion import GroundedLayer, merge_heads
from unimo2.modeling import Unimo2Model
from unimo2.object_tags import TagTokens


class CachedDecoder:
    """Next-token logits from the newest token alone."""

    def __init__(self, model: Unimo2Model, vision: Tensor, tags: TagTokens | None = None) -> None:
        """Run image and tags through the Grounded Transformer and keep their keys and values.

        Args:
            model: In evaluation mode.
            vision: [b, p + 1, D] from `encode_image`.
            tags: Object tags of the images, [b, g]; None for none.
        """
        self.model = model
        self.images = len(vision)
        self.tokens = 0
        self.text_cache = DynamicCache()
        self.image_keys: list[Tensor] = []  # a layer: [b, h, s, d]
        self.image_values: list[Tensor] = []
        self.fused_cache = DynamicCache()  # a layer: [r, h, t, d]
        self.tag_mask: Tensor | None = None  # [r, g]
        self.image_bias: Tensor | None = None  # [b, 1, 1, s], float32: hides padding of tags
        grounded = context = mask = None
        if model.dictionary is not None:
            grounded = model.ground(vision, None, with_loss=False).tokens
        width = 0
        if tags is not None:
            width, mask = tags.input_ids.shape[1], tags.attention_mask
            context = self._read_tags(tags)
        layout = model.fusion.make_layout(
            vision, grounded, context, mask, causal=tags is not None, context=width
        )
        self.image_bias = layout.bias
        hidden = model.fusion.join(vision, grounded, context)
        self.layers = [cast(GroundedLayer, layer) for layer in model.fusion.layers]
        for layer in self.layers:
            query, key, value = layer.project(hidden)
            self.image_keys.append(key)
            self.image_values.append(value)
            if layer is not self.layers[-1]:
                hidden = layer.finish(hidden, layout.attend(query, key, value, 0.0))

    def _read_tags(self, tags: TagTokens) -> Tensor:
        """Run tags through the text tower, which keeps their keys and values: [b, g, D]."""
        self.tag_mask = tags.attention_mask
        return self.model.text(
            tags.input_ids,
            tags.attention_mask,
            tags.positions(self.model.config.pad_token_id + 1),
            causal=True,
            cache=self.text_cache,
            context=tags.input_ids.shape[1],
        )

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, [r], and return the logits of the next, [r, V]."""
        positions = torch.full_like(tokens, self.model.config.pad_token_id + 1 + self.tokens)
        mask = None
        if self.tag_mask is not None:
            words = self.tag_mask.new_ones(len(tokens), self.tokens + 1)
            mask = torch.cat([self.tag_mask, words], dim=1)
        hidden = self.model.text(
            tokens[:, None], mask, positions[:, None], causal=True, cache=self.text_cache
        )
        for index, layer in enumerate(self.layers):
            hidden = self._layer(index, layer, hidden)
        self.tokens += 1
        return self.model.mlm_head(hidden[:, 0])

    def _layer(self, index: int, layer: GroundedLayer, hidden: Tensor) -> Tensor:
        """One layer of the Grounded Transformer for the newest text rows, [r, 1, D]."""
        query, key, value = layer.project(hidden)  # [r, h, 1, d]
        key, value = self.fused_cache.update(key, value, index)  # [r, h, t, d]
        image_key, image_value = self.image_keys[index], self.image_values[index]
        query = query * query.shape[-1] ** -0.5
        # The beams of an image ask its keys together: [b, k, h, d] -> [b, h, k, d].
        asking = query[:, :, 0].unflatten(0, (self.images, -1)).transpose(1, 2)
        of_image = asking @ image_key.transpose(2, 3)  # [b, h, k, s]
        if self.image_bias is not None:
            of_image = of_image.float() + self.image_bias
        of_image = of_image.transpose(1, 2).flatten(0, 1)  # [r, h, s]
        of_text = (query @ key.transpose(2, 3))[:, :, 0]  # [r, h, t]
        logits = torch.cat([of_image, of_text.to(of_image.dtype)], dim=2).float()
        weights = logits.softmax(dim=2).to(value.dtype)
        on_image, on_text = weights.tensor_split([of_image.shape[2]], dim=2)
        on_image = on_image.view(self.images, -1, *on_image.shape[1:])  # [b, k, h, s]
        on_image = on_image.transpose(1, 2)
        context = (on_image @ image_value).transpose(1, 2).flatten(0, 1)  # [r, h, d]
        context = context[:, :, None] + on_text[:, :, None] @ value  # [r, h, 1, d]
        return layer.finish(hidden, merge_heads(context))

    def reorder(self, rows: Tensor) -> None:
        """Make row i what row rows[i] was; the number of rows may change."""
        rows = cast(torch.LongTensor, rows)
        self.text_cache.reorder_cache(rows)
        self.fused_cache.reorder_cache(rows)
        if self.tag_mask is not None:
            self.tag_mask = self.tag_mask[rows]

    def keep(self, images: Tensor) -> None:
        """Go on with these images alone; `reorder` for their rows follows."""
        self.image_keys = [keys.index_select(0, images) for keys in self.image_keys]
        self.image_values = [values.index_select(0, images) for values in self.image_values]
        if self.image_bias is not None:
            self.image_bias = self.image_bias[images]
        self.images = len(images)
