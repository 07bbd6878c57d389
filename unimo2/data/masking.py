"""Span masking for masked language modelling (paper, section 3.2; SpanBERT).

Everything random is decided by numbers that are drawn beforehand, one row a text, so that a text's
mask does not depend on what shares its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.errors import UsageError
from unimo2.modeling.padding import IGNORED

# How tokenizers write the space, newline or tab that a word begins with: byte-level BPE (RoBERTa,
# XLM-R's sentence pieces in the second place).
_WORD_MARKS = ("\u0120", "\u2581", "\u010a", "\u0109")


@dataclass(frozen=True)
class MaskingSpec:
    """How spans of text are hidden for masked language modelling.

    Paper, section 3.2: spans of length l ~ Geo(0.2) until 15 % of the tokens are selected; 80 %
    become the mask token, 10 % a random token, 10 % stay. As in SpanBERT (Joshi et al., 2020),
    which the paper follows, lengths above 10 do not occur (the distribution is cut there and
    normalised again, mean 3.8), the choice between mask, random and original is made once for a
    whole span, and the last span is cut short so that the share is met exactly. Spans are of
    tokens here, which is ours; the paper does not say.

    With `word_starts`, spans are those of the released code instead: of 0 to `max_span` whole words
    (0 and 1 both give the one word of the start), of words that were chosen before, too, never over
    a special token; and the share is rounded up and counts <s> and </s>. It decides for each token
    (`level="token"`), and may draw the mask token as a random one, which is left out here.
    """

    mask_id: int  # id of the mask token
    special_ids: tuple[int, ...]  # ids that are never selected and never drawn as a random token
    vocab_size: int  # number of token ids
    max_length: int  # longest text in tokens; fixes how many random numbers a sample needs
    # share of the real tokens (special tokens not counted) to select, in (0, 1]
    fraction: float = 0.15
    geometric_p: float = 0.2  # parameter of the geometric distribution of span lengths
    max_span: int = 10  # longest span in tokens
    mask_share: float = 0.8  # share of the spans that become the mask token
    random_share: float = 0.1  # share of the spans that become random tokens
    # whether mask, random or original is decided for each "span" or each "token"
    level: Literal["span", "token"] = "span"
    # bool [vocab_size], the ids that begin a word (`word_starts`), for spans of whole words; None
    # for spans of tokens
    word_starts: Tensor | None = field(default=None, compare=False, repr=False)
    pad_id: int = -1  # id of the padding token, which does not count; for spans of whole words

    def span_distribution(self) -> Tensor:
        """Probability of each span length, from 1 token or 0 words to max_span, float64."""
        shortest = 1 if self.word_starts is None else 0
        lengths = torch.arange(self.max_span + 1 - shortest, dtype=torch.float64)
        weights = self.geometric_p * (1.0 - self.geometric_p) ** lengths
        return weights / weights.sum()

    def budget(self, input_ids: Tensor, allowed: Tensor) -> Tensor:
        """Tokens to select in each text, at least one where any is allowed, int64 [B]."""
        real_tokens = allowed.sum(dim=1)
        if self.word_starts is None:
            wanted = (real_tokens.double() * self.fraction).round().long().clamp_min(1)
        else:
            counted = (input_ids != self.pad_id).sum(dim=1)
            wanted = (counted.double() * self.fraction).ceil().long()
        return torch.minimum(wanted, real_tokens)

    @property
    def rounds(self) -> int:
        """Spans that suffice for the longest text, since each selects one token or more."""
        if self.word_starts is not None:
            return math.ceil(self.max_length * self.fraction)
        return max(1, round(self.max_length * self.fraction))

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers in [0, 1) for `mask_spans`, float32 [rows, 3 rounds + 2 max_length]."""
        width = 3 * self.rounds + 2 * self.max_length
        return torch.rand(rows, width, generator=generator)


@dataclass(frozen=True)
class MaskedText:
    """Texts with hidden spans."""

    input_ids: Tensor  # int64 [B, N], with the replacements made
    labels: Tensor  # int64 [B, N], the original id where a token was selected and -100 elsewhere
    span_ids: Tensor  # int64 [B, N], which span (0, 1, ...) selected the token, -1 where none did


def maskable(input_ids: Tensor, spec: MaskingSpec) -> Tensor:
    """Positions that may be masked: all but special tokens, bool [B, N]."""
    special = torch.tensor(spec.special_ids, dtype=input_ids.dtype, device=input_ids.device)
    return ~torch.isin(input_ids, special)


def mask_spans(input_ids: Tensor, noise: Tensor, spec: MaskingSpec) -> MaskedText:
    """Hide spans of text until the wanted share of every row is selected.

    All rows advance together, one span a round: a start is drawn among the tokens that are not
    selected yet, so that every round selects at least one token in every unfinished row. Special
    tokens and padding are never touched.

    Args:
        input_ids: int64 [B, N] with special tokens and padding, N at most `spec.max_length`.
        noise: What `spec.draw` returned, one row per text.
        spec: Shares, distribution and special tokens.
    """
    rows, length = input_ids.shape
    allowed = maskable(input_ids, spec)  # [B, N]
    missing = spec.budget(input_ids, allowed)  # [B]
    rounds = spec.rounds
    starts, lengths, actions = noise[:, : 3 * rounds].reshape(rows, 3, rounds).unbind(dim=1)
    edges = spec.span_distribution().cumsum(dim=0).float()
    span_lengths = torch.searchsorted(edges, lengths.contiguous())  # [B, rounds]
    if spec.word_starts is None:
        span_lengths += 1
        unit = torch.arange(length).expand(rows, length)
        stretch = torch.zeros_like(unit)
    else:
        unit, stretch = _words(input_ids, allowed, spec.word_starts)
    span_lengths.clamp_(min=1, max=spec.max_span)

    free = allowed.clone()
    span_ids = torch.full_like(input_ids, -1)
    for turn in range(int(missing.max()) if rows else 0):
        order = free.cumsum(dim=1)  # the how-maniest free token each one is, from 1
        count = order[:, -1:]
        target = (starts[:, turn : turn + 1] * count).long().clamp_max(count - 1) + 1
        start = ((order == target) & free).to(torch.uint8).argmax(dim=1, keepdim=True)  # [B, 1]
        first = unit.gather(1, start)
        span = (unit >= first) & (unit < first + span_lengths[:, turn : turn + 1]) & free
        span &= stretch == stretch.gather(1, start)
        span &= span.cumsum(dim=1) <= missing[:, None]  # the last span is cut short
        span_ids.masked_fill_(span, turn)
        free &= ~span
        missing = missing - span.sum(dim=1)
    return _replace(input_ids, span_ids, actions, noise[:, 3 * rounds :], spec)


def word_starts(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Which token ids begin a word: those that hold the space before it, bool [vocabulary].

    The first word of a text has none; `mask_spans` knows it by the special token before it.

    Raises:
        UsageError: the tokenizer marks no token so.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    found = torch.tensor([str(token).startswith(_WORD_MARKS) for token in tokens])
    if not found.any():
        raise UsageError(
            "training.mask_unit='word' needs a tokenizer that marks where words begin, as RoBERTa's "
            "does; got one that marks no token: use mask_unit='token'"
        )
    return found


def _words(input_ids: Tensor, allowed: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of words, and of stretches without a special token, of each token, int64 [B, N]."""
    first = ~allowed
    first[:, 1:] |= ~allowed[:, :-1]  # what follows a special token begins a word
    words = (starts[input_ids] | first).cumsum(dim=1)
    return words, (~allowed).cumsum(dim=1)


def _replace(
    input_ids: Tensor, span_ids: Tensor, actions: Tensor, noise: Tensor, spec: MaskingSpec
) -> MaskedText:
    """Turn the selected tokens [B, N] into the mask token, a random one, or leave them."""
    length = input_ids.shape[1]
    selected = span_ids >= 0
    token_noise, word_noise = noise[:, :length], noise[:, spec.max_length :][:, :length]
    action = actions.gather(1, span_ids.clamp_min(0)) if spec.level == "span" else token_noise
    ordinary = torch.ones(spec.vocab_size, dtype=torch.bool)
    ordinary[list(spec.special_ids)] = False
    words = ordinary.nonzero().squeeze(1)  # the ids a random token may have
    drawn = words[(word_noise * len(words)).long().clamp_max(len(words) - 1)]
    masked = selected & (action < spec.mask_share)
    random = selected & ~masked & (action < spec.mask_share + spec.random_share)
    replaced = torch.where(masked, spec.mask_id, torch.where(random, drawn, input_ids))
    labels = input_ids.masked_fill(~selected, IGNORED)
    return MaskedText(replaced, labels, span_ids)
