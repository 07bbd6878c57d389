"""Captioning: batched beam search over the logits of the next token.

Shapes: b images, k beams of each, r = b * k text rows, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerBase

from unimo2.errors import UsageError
from unimo2.modeling.fusion import GroundedLayer, merge_heads
from unimo2.modeling.model import Unimo2Model
from unimo2.modeling.padding import pad

# Names of detected objects are a second text for the caption's words to look at (released code, COCO).
# Its tokens see each other and the image, every word of the caption sees them, and they see no word of
# the caption. Positions of both texts are counted from the first.
LONGEST = 100  # tokens of an image's tags (released code)


@dataclass(frozen=True)
class TagTokens:
    """Object tags of a batch of images; g may be more than any of them has."""

    input_ids: Tensor  # int64 [b, g], padded on the right
    attention_mask: Tensor  # int64 [b, g], 1 at real tokens; without any for an image without tags

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], pad_id: int, longest: int) -> TagTokens | None:
        """Put images together.

        Args:
            rows: Token ids of each image's tags, none for an image without tags.
            pad_id: Token id that pads shorter ones.
            longest: Tokens that the model has positions for.

        Returns:
            The batch; None where no image has tags.
        """
        if not any(rows):
            return None
        tokens = [torch.tensor(list(row), dtype=torch.int64) for row in rows]
        return cls(*pad(tokens, pad_id, longest))

    def to(self, device: torch.device) -> TagTokens:
        """The same on another device."""
        return TagTokens(self.input_ids.to(device), self.attention_mask.to(device))

    def positions(self, first: int) -> Tensor:
        """Position ids [b, g], the first token's being `first`."""
        columns = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        return (columns + first).expand(self.input_ids.shape)


def tag_tokens(
    tokenizer: PreTrainedTokenizerBase, tags: Sequence[Sequence[str]], positions: int
) -> list[list[int]]:
    """Tags as token ids: "<s>dog frisbee</s>", in their order.

    Args:
        tokenizer: The model's.
        tags: Object tags of each image.
        positions: Tokens that the model has positions for; of more, and of more than the released
            code's 100, the last ones are left out.

    Returns:
        Token ids of each image, start and end token included; none for an image without tags.
    """
    texts = [" ".join(names) for names in tags]
    if not any(texts):
        return [[] for _ in texts]
    encoded = tokenizer(texts, truncation=True, max_length=min(LONGEST, positions))
    rows = cast(list[list[int]], encoded["input_ids"])
    return [row if text else [] for row, text in zip(rows, texts, strict=True)]


# Next-token logits of captions, with keys and values of image, object tags and earlier words kept.
#
# As in the released code (UniLM style): text is causal and sees visual, grounded and earlier text
# rows; visual and grounded rows see no text. Object tags, where there are any, see visual and grounded
# rows and each other, and all words of the caption see them. So the keys and values of an image and
# its tags are computed once and shared by all its beams.
#
# Shapes: b images, r text rows (the beams of all images), t tokens so far, g tokens of object tags, s
# visual, grounded and tag rows, h heads, d width of a head, D width, V vocabulary.


class CachedDecoder:
    """Next-token logits from the newest token alone."""

    def __init__(self, model: Unimo2Model, vision: Tensor, tags: TagTokens | None = None) -> None:
        """Run image and tags through the Grounded Transformer and keep their keys and values.

        Args:
            model: Model in evaluation mode.
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
                hidden = layer.feed_forward(hidden, layout.attend(query, key, value, 0.0))

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
        return layer.feed_forward(hidden, merge_heads(context))

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


# What a repeated trigram costs (released code): never chosen while anything else is left.
_REPEATED = 65000.0
# Images whose beams have all ended leave the batch when they are this share of it: leaving copies
# the keys and values of those that stay.
_LEAVING_SHARE = 0.25


@dataclass(frozen=True)
class BeamSettings:
    """How captions are searched for; the defaults are the released code's for COCO.

    Raises:
        UsageError: A number of beams or tokens that is not possible.
    """

    beam_size: int = 5
    min_length: int = 5  # tokens before the end token
    max_length: int = 50  # tokens, the end token included
    # a in ((5 + t) / 6) ** a, which divides the log probability of t tokens, the end token included
    length_penalty: float = 0.6
    block_trigrams: bool = False  # whether a caption that repeats three tokens is put last

    def __post_init__(self) -> None:
        if self.beam_size < 1:
            raise UsageError(f"beam size {self.beam_size}: expected at least one")
        if not 0 <= self.min_length < self.max_length:
            raise UsageError(
                f"captions of {self.min_length} to {self.max_length} tokens: the minimum must be 0 "
                "or more, and less than the maximum, which counts the end token"
            )

    def penalty(self, length: int) -> float:
        """The divisor of the log probability of a text of `length` tokens."""
        return float(((5.0 + length) / 6.0) ** self.length_penalty)


@dataclass(frozen=True)
class Hypothesis:
    """One caption."""

    tokens: tuple[int, ...]  # without start and end token
    score: float  # log probability divided by the length penalty
    ended: bool  # whether it reached the end token, rather than the maximum length


class Decoder(Protocol):
    """Model interface of the search: next-token logits, and rows that move with beams."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, [r], and return the logits of the next, [r, V]."""

    def reorder(self, rows: Tensor) -> None:
        """Make row i what row rows[i] was; the number of rows may change."""

    def keep(self, images: Tensor) -> None:
        """Go on with these images alone; `reorder` for their rows follows."""


def generate(
    model: Unimo2Model,
    pixel_values: Tensor,
    settings: BeamSettings | None = None,
    tags: TagTokens | None = None,
) -> list[list[Hypothesis]]:
    """Caption images.

    Args:
        model: A model; dropout is off while it captions.
        pixel_values: [b, 3, s, s] normalised images.
        settings: Search settings; the paper's when None.
        tags: Object tags of the images, which the captions are written with; None for none.

    Returns:
        For each image its beams, best first.

    Raises:
        UsageError: Captions longer than the model has positions for.
    """
    settings = settings or BeamSettings()
    if settings.max_length > model.text.longest:
        raise UsageError(
            f"captions of up to {settings.max_length} tokens were requested, but the model has "
            f"positions for {model.text.longest}"
        )
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            decoder = CachedDecoder(model, model.encode_image(pixel_values), tags)
            start = torch.full((len(pixel_values),), model.config.bos_token_id)
            start = start.to(pixel_values.device)
            return beam_search(decoder, start, model.config.eos_token_id, settings)
    finally:
        model.train(training)


@dataclass(frozen=True)
class _Beams:
    """The beams of the images that are still searched, best first."""

    tokens: Tensor  # [b, k, t] with the start token
    sums: Tensor  # [b, k] log probability
    scores: Tensor  # [b, k] the same divided by the length penalty; fixed once ended
    ended: Tensor  # [b, k]

    def over(self) -> Tensor:
        """[b] whether every beam of an image has ended (a score of -inf is not a beam)."""
        return (self.ended | self.scores.isneginf()).all(dim=1)

    def keep(self, images: Tensor) -> _Beams:
        """Those of some images."""
        return _Beams(*(part[images] for part in vars(self).values()))

    def hypotheses(self, image: int, end: int) -> list[Hypothesis]:
        """The beams of one image, best first."""
        found = []
        rows = zip(self.tokens[image].tolist(), self.scores[image].tolist(), strict=True)
        for tokens, score in rows:
            if score > float("-inf"):
                ended = end in tokens[1:]
                stop = tokens.index(end, 1) if ended else len(tokens)
                found.append(Hypothesis(tuple(tokens[1:stop]), score, ended))
        return found


def beam_search(
    decoder: Decoder, start: Tensor, end: int, settings: BeamSettings
) -> list[list[Hypothesis]]:
    """Search for the best texts of several images at once (released code's rules).

    A beam that has ended keeps its score and its place among the beams until better ones push it
    out; an image is done when all its beams have ended. Scores are compared after division by the
    length penalty.

    Args:
        decoder: Gives logits; one row an image at first.
        start: [b] start token of each image.
        end: The end token.
        settings: Search settings.

    Returns:
        For each image its beams, best first; equal scores in the order of beam and token rank.
    """
    found: list[list[Hypothesis]] = [[] for _ in start]
    images = list(range(len(start)))  # which image of the call each row of the beams is
    zeros = torch.zeros(len(start), 1, device=start.device)
    beams = _Beams(start[:, None, None], zeros, zeros, zeros.bool())
    for length in range(1, settings.max_length + 1):
        logits = decoder.step(beams.tokens[:, :, -1].flatten())
        log_probs = _log_probs(logits, end, length <= settings.min_length)
        beams, parents = _extend(beams, log_probs, end, length, settings)
        over = beams.over()
        if length == settings.max_length or bool(over.all()):
            break
        if over.float().mean() >= _LEAVING_SHARE:
            for place in over.nonzero()[:, 0].tolist():
                found[images[place]] = beams.hypotheses(place, end)
            staying = (~over).nonzero()[:, 0]
            images = [images[place] for place in staying.tolist()]
            beams, parents = beams.keep(staying), parents[staying]
            decoder.keep(staying)
        decoder.reorder(parents.flatten())
    for place, image in enumerate(images):
        found[image] = beams.hypotheses(place, end)
    return found


def _log_probs(logits: Tensor, end: int, forbid_end: bool) -> Tensor:
    """Log probabilities in float32; the other tokens share what a forbidden end token had."""
    logits = logits.float()
    if forbid_end:
        logits = logits.index_fill(1, torch.tensor([end], device=logits.device), float("-inf"))
    return logits.log_softmax(dim=1)


def _extend(
    beams: _Beams, log_probs: Tensor, end: int, length: int, settings: BeamSettings
) -> tuple[_Beams, Tensor]:
    """Append a token to every beam and keep the best.

    Args:
        beams: Beams of b images, k each.
        log_probs: [r, V] of the token to append.
        end: The end token.
        length: Tokens of a text so far, including the new one.
        settings: Search settings.

    Returns:
        The new beams, and for each the row of log_probs that it comes from, [b, k'].
    """
    images, width = beams.scores.shape
    some = min(settings.beam_size, log_probs.shape[1])
    gains, tokens = log_probs.view(images, width, -1).topk(some, dim=2)  # [b, k, some]
    sums = beams.sums[:, :, None] + gains
    if settings.block_trigrams:
        sums = sums - _REPEATED * _repeated(beams.tokens, tokens)
    # An ended beam has one continuation, itself.
    first = torch.arange(some, device=tokens.device) == 0
    ended = beams.ended[:, :, None]
    scores = (sums / settings.penalty(length)).masked_fill(ended, float("-inf"))
    scores = torch.where(ended & first, beams.scores[:, :, None], scores)
    tokens = tokens.masked_fill(ended, end)
    # A stable sort, so that equal scores are taken in the same order on every machine.
    ranked, places = scores.flatten(1).sort(dim=1, descending=True, stable=True)
    ranked, places = ranked[:, : settings.beam_size], places[:, : settings.beam_size]
    parents = places // some  # [b, k'] beam
    chosen = tokens.flatten(1).gather(1, places)
    history = beams.tokens.gather(1, parents[:, :, None].expand(-1, -1, length))
    extended = _Beams(
        torch.cat([history, chosen[:, :, None]], dim=2),
        sums.flatten(1).gather(1, places),
        ranked,
        chosen == end,
    )
    offsets = torch.arange(images, device=parents.device)[:, None] * width
    return extended, parents + offsets


def _repeated(history: Tensor, candidates: Tensor) -> Tensor:
    """Whether a candidate completes three tokens that its beam has said before.

    Args:
        history: [b, k, t] tokens so far, with the start token.
        candidates: [b, k, some] tokens to append.

    Returns:
        [b, k, some] of zeros and ones.
    """
    answers = [
        [repeats_trigram([*said, token]) for token in tokens]
        for said, tokens in zip(
            history.flatten(0, 1).tolist(), candidates.flatten(0, 1).tolist(), strict=True
        )
    ]
    return torch.tensor(answers, device=history.device).float().view_as(candidates)


def repeats_trigram(tokens: Sequence[int]) -> bool:
    """Whether the last three tokens of a text occur in it before."""
    last = tokens[-3:]
    return any(tokens[i : i + 3] == last for i in range(len(tokens) - 3))
