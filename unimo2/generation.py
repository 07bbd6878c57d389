"""Captioning: batched beam search; `unimo2.decoding` gives it the next token's logits.

Shapes: b images, k beams of each, r = b * k text rows, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from unimo2.decoding import CachedDecoder
from unimo2.errors import UsageError
from unimo2.modeling import Unimo2Model
from unimo2.object_tags import TagTokens

# What a repeated trigram costs (released code): never chosen while anything else is left.
_REPEATED = 65000.0
# Images whose beams have all ended leave the batch when they are this share of it: leaving copies
# the keys and values of those that stay.
_LEAVING_SHARE = 0.25


@dataclass(frozen=True)
class BeamSettings:
    """How captions are searched for; the defaults are the released code's for COCO.

    Args:
        beam_size: Beams of an image.
        min_length: Tokens before the end token, at least.
        max_length: Tokens at most, the end token included.
        length_penalty: a in ((5 + t) / 6) ** a, by which the log probability of t tokens, the end
            token included, is divided; 0 for none.
        block_trigrams: Whether a caption that says the same three words again is put last.

    Raises:
        UsageError: Values that cannot be meant.
    """

    beam_size: int = 5
    min_length: int = 5
    max_length: int = 50
    length_penalty: float = 0.6
    block_trigrams: bool = False

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if self.beam_size < 1:
            raise UsageError(f"beam size {self.beam_size}: at least one beam is needed")
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
    """One caption.

    Args:
        tokens: Token ids without start and end.
        score: Log probability divided by the length penalty.
        ended: Whether it reached the end token, rather than the maximum length.
    """

    tokens: tuple[int, ...]
    score: float
    ended: bool


class Decoder(Protocol):
    """What the search needs of a model: the next token's logits, and rows that move with beams."""

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
    word_starts: Sequence[bool] | None = None,
    tags: TagTokens | None = None,
) -> list[list[Hypothesis]]:
    """Caption images.

    Args:
        model: A model; dropout is off while it captions.
        pixel_values: [b, 3, s, s] normalised images.
        settings: How to search; the paper's when None.
        word_starts: For each token id, whether it begins a word, so that trigrams are of words;
            every token is a word when None.
        tags: Object tags of the images, which the captions are written with; None for none.

    Returns:
        For each image its beams, best first.

    Raises:
        UsageError: Captions longer than the model has positions for.
    """
    settings = settings or BeamSettings()
    if settings.max_length > model.text.longest:
        raise UsageError(
            f"captions of up to {settings.max_length} tokens were asked for, the model has "
            f"positions for {model.text.longest}"
        )
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            decoder = CachedDecoder(model, model.encode_image(pixel_values), tags)
            start = torch.full((len(pixel_values),), model.config.bos_token_id)
            start = start.to(pixel_values.device)
            return beam_search(decoder, start, model.config.eos_token_id, settings, word_starts)
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
        """[b] whether every beam of an image has ended (a score of -inf is no beam at all)."""
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
    decoder: Decoder,
    start: Tensor,
    end: int,
    settings: BeamSettings,
    word_starts: Sequence[bool] | None = None,
) -> list[list[Hypothesis]]:
    """Search for the best texts of several images at once (released code's rules).

    A beam that has ended keeps its score and its place among the beams until better ones push it
    out; an image is done when all its beams have ended. Scores are compared after division by the
    length penalty.

    Args:
        decoder: Gives logits; one row an image at first.
        start: [b] start token of each image.
        end: The end token.
        settings: How to search.
        word_starts: Which token ids begin a word, for trigrams of words.

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
        beams, parents = _extend(beams, log_probs, end, length, settings, word_starts)
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
    beams: _Beams,
    log_probs: Tensor,
    end: int,
    length: int,
    settings: BeamSettings,
    word_starts: Sequence[bool] | None,
) -> tuple[_Beams, Tensor]:
    """Append a token to every beam and keep the best.

    Args:
        beams: Of b images, k each.
        log_probs: [r, V] of the token to append.
        end: The end token.
        length: Tokens of a text that goes on, the new one included.
        settings: How to search.
        word_starts: Which token ids begin a word.

    Returns:
        The new beams, and for each the row of log_probs that it comes from, [b, k'].
    """
    images, width = beams.scores.shape
    some = min(settings.beam_size, log_probs.shape[1])
    gains, tokens = log_probs.view(images, width, -1).topk(some, dim=2)  # [b, k, some]
    sums = beams.sums[:, :, None] + gains
    if settings.block_trigrams:
        sums = sums - _REPEATED * _repeated(beams.tokens, tokens, word_starts)
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


def _repeated(history: Tensor, candidates: Tensor, word_starts: Sequence[bool] | None) -> Tensor:
    """Whether a candidate completes three words that its beam has said before.

    Args:
        history: [b, k, t] tokens so far, with the start token.
        candidates: [b, k, some] tokens to append.
        word_starts: Which token ids begin a word; all when None.

    Returns:
        [b, k, some] of zeros and ones.
    """
    answers = [
        [repeats_trigram([*said, token], word_starts) for token in tokens]
        for said, tokens in zip(
            history.flatten(0, 1).tolist(), candidates.flatten(0, 1).tolist(), strict=True
        )
    ]
    return torch.tensor(answers, device=history.device).float().view_as(candidates)


def repeats_trigram(tokens: Sequence[int], word_starts: Sequence[bool] | None = None) -> bool:
    """Whether the last three words of a text occur in it before.

    Args:
        tokens: Token ids.
        word_starts: Which token ids begin a word; a token that does not belongs to the word
            before it (the first one begins a word in any case). All begin words when None.
    """
    words: list[tuple[int, ...]] = []
    for token in tokens:
        if words and word_starts is not None and not word_starts[token]:
            words[-1] += (token,)
        else:
            words.append((token,))
    last = words[-3:]
    return len(words) > 3 and any(words[i : i + 3] == last for i in range(len(words) - 3))
