"""Hidden spans of whole words, against a plain implementation of the released code's rule.

The rule (released code, pre-training's batching): draw a span length from 0 to 10 words, and a token; if
it is special or chosen already, draw both again; else choose its word, and the words after it up to that
length (words chosen before count, none beyond a special token), until 15 % of all tokens, rounded up and
special ones counted, are chosen. Each chosen token becomes the mask token (80 %), a random one (10 %), or
stays.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch

from unimo2.data.masking import MaskingSpec, mask_spans, word_starts
from unimo2.errors import UsageError
from unimo2.modeling.padding import IGNORED, pad
from unimo2.processing import PLAIN_SENTENCES, train_tokenizer
from unimo2.training.config import PretrainConfig
from unimo2.training.recipes import load_recipe

LENGTHS = [0.2 * 0.8**length for length in range(11)]  # of spans, before they are normalised
CAPTIONS = 1000


@cache
def _tokenizer():
    """A vocabulary so small that words have several tokens."""
    return train_tokenizer(PLAIN_SENTENCES, 340)


@cache
def _captions() -> list[list[int]]:
    """Token ids of 1,000 captions of 1 to 40 words, with punctuation."""
    dice = random.Random(0)
    words = [word for sentence in PLAIN_SENTENCES for word in sentence.split()]
    texts = [" ".join(dice.choices(words, k=dice.randint(1, 40))) for _ in range(CAPTIONS)]
    return _tokenizer()(texts)["input_ids"]


def _spec(longest: int = 0) -> MaskingSpec:
    tokenizer = _tokenizer()
    return MaskingSpec(
        mask_id=tokenizer.mask_token_id,
        special_ids=tuple(sorted(tokenizer.all_special_ids)),
        vocab_size=len(tokenizer),
        max_length=longest or max(map(len, _captions())),
        level="token",
        word_starts=word_starts(tokenizer),
        pad_id=tokenizer.pad_token_id,
    )


def _words(ids: list[int]) -> list[int]:
    """-1 at special tokens, 0 where a word begins, 1 where it goes on, from the text itself."""
    tokenizer = _tokenizer()
    labels = []
    for place, token in enumerate(ids):
        if token in tokenizer.all_special_ids:
            labels.append(-1)
        else:
            begins = labels[-1] == -1 or tokenizer.decode([token]).startswith(" ")
            labels.append(0 if begins else 1)
        assert place or labels == [-1]
    return labels


def _plain(ids: list[int], span_length, anchor) -> list[set[int]]:
    """The released rule over one text: the places of each span, in the order of drawing.

    Args:
        ids: the text.
        span_length: gives the next length, in words.
        anchor: given the places that may be chosen, the next one; a place that may not is rejected.
    """
    labels, size = _words(ids), len(ids)
    wanted = math.ceil(size * 0.15)
    chosen: set[int] = set()
    spans = []
    while len(chosen) < wanted and size > 2:
        length = span_length()
        start = anchor([p for p in range(size) if labels[p] != -1 and p not in chosen])
        if start in chosen or labels[start] == -1:
            continue
        while labels[start] == 1:
            start -= 1
        span: set[int] = set()
        words, end = 0, start
        while words < max(1, length) and labels[end] != -1 and len(chosen) < wanted:
            words += 1
            first = end
            while end == first or labels[end] == 1:
                if end not in chosen and len(chosen) < wanted:
                    chosen.add(end)
                    span.add(end)
                end += 1
        spans.append(span)
    return spans


def _masked(captions: list[list[int]], spec: MaskingSpec, seed: int = 1):
    ids, _ = pad([torch.tensor(row) for row in captions], spec.pad_id, spec.max_length)
    noise = spec.draw(len(captions), torch.Generator().manual_seed(seed))
    return ids, noise, mask_spans(ids, noise, spec)


def test_every_choice_is_that_of_the_released_rule_on_a_thousand_captions():
    """Independent truth: the plain loop, given the same random numbers; spans, ids and labels."""
    spec = _spec()
    ids, noise, result = _masked(_captions(), spec)
    edges = [sum(LENGTHS[: n + 1]) / sum(LENGTHS) for n in range(11)]
    ordinary = [i for i in range(spec.vocab_size) if i not in spec.special_ids]
    partly = 0
    for row, text in enumerate(_captions()):
        numbers = noise[row].tolist()
        starts, lengths = numbers[: spec.rounds], numbers[spec.rounds : 2 * spec.rounds]
        fates = numbers[3 * spec.rounds :][: spec.max_length]
        drawn = numbers[3 * spec.rounds + spec.max_length :]
        turns, turns_again = iter(lengths), iter(starts)
        spans = _plain(
            text,
            lambda turns=turns: bisect_left(edges, next(turns)),
            lambda free, turns=turns_again: free[int(next(turns) * len(free))],
        )
        expected, labels = list(text), [IGNORED] * len(text)
        for place in set().union(*spans):
            labels[place] = text[place]
            if fates[place] < 0.8:
                expected[place] = spec.mask_id
            elif fates[place] < 0.9:
                expected[place] = ordinary[int(drawn[place] * len(ordinary))]
        assert result.input_ids[row, : len(text)].tolist() == expected
        assert result.labels[row, : len(text)].tolist() == labels
        found = result.span_ids[row].tolist()
        assert [{p for p, s in enumerate(found) if s == n} for n in range(len(spans))] == spans
        kinds = {fates[p] < 0.8 for p in spans[0]}
        partly += len(kinds) == 2
    assert partly > 50  # each token has its own fate


@pytest.mark.parametrize("seed", [2, 3])
def test_chosen_places_are_distributed_as_by_drawing_and_rejecting(seed):
    """Independent truth: the rule's literal form, anchors over all places, with Python's dice."""
    dice = random.Random(seed)
    captions = [text for text in _captions() if len(text) > 30][:20] * 60
    spec = _spec()
    _, _, result = _masked(captions, spec, seed)
    ours, theirs = Counter(), Counter()
    runs, their_runs = Counter(), Counter()
    for row, text in enumerate(captions):
        spans = _plain(
            text,
            lambda: dice.choices(range(11), weights=LENGTHS)[0],
            lambda free, last=text: dice.randrange(len(last)),
        )
        found = result.span_ids[row].tolist()
        ours.update(place for place, span in enumerate(found) if span >= 0)
        theirs.update(set().union(*spans))
        runs[sum(span == 0 for span in found)] += 1
        their_runs[len(spans[0])] += 1
    rows = len(captions)
    for place in range(1, 30):
        assert ours[place] / rows == pytest.approx(theirs[place] / rows, abs=0.045)
    for length in range(1, 8):
        assert runs[length] / rows == pytest.approx(their_runs[length] / rows, abs=0.06)


def test_the_share_is_rounded_up_and_counts_special_tokens():
    """Independent truth: ceil(0.15 n) with <s> and </s> among the n, which rounding undercuts."""
    ids, _, result = _masked(_captions(), _spec())
    chosen = (result.labels != IGNORED).sum(dim=1).tolist()
    assert chosen == [math.ceil(0.15 * len(text)) for text in _captions()]
    tokens = replace(_spec(), word_starts=None)
    fewer = (
        mask_spans(ids, tokens.draw(len(ids), torch.Generator()), tokens).labels != IGNORED
    ).sum()
    assert int(fewer) < sum(chosen)


def test_words_begin_where_the_text_has_a_space():
    """Independent truth: the words of a sentence, found by their letters."""
    tokenizer = _tokenizer()
    starts = word_starts(tokenizer)
    text = "unbelievable elephants, slowly walking"
    ids = tokenizer(text)["input_ids"][1:-1]
    begins = [place == 0 or bool(starts[token]) for place, token in enumerate(ids)]
    pieces: list[str] = []
    for token, begin in zip(ids, begins, strict=True):
        if begin:
            pieces.append("")
        pieces[-1] += tokenizer.decode([token])
    assert [piece.strip() for piece in pieces] == text.split()
    assert not starts[list(_spec().special_ids)].any()


def test_a_tokenizer_without_marks_is_refused():
    """Independent truth: a vocabulary in which no token holds a space."""

    class Letters:
        def __len__(self):
            return 3

        def convert_ids_to_tokens(self, ids):
            return ["a", "b", "c"]

    with pytest.raises(UsageError, match="mask_unit"):
        word_starts(Letters())


def test_the_papers_recipe_uses_it_and_runs_from_before_go_on():
    """Independent truth: the recipes' files; a configuration's identity has no new field."""
    base, mini = load_recipe("base").training, load_recipe("mini").training
    assert (base.mask_unit, base.mask_level, base.mask_fraction) == ("word", "token", 0.15)
    assert (mini.mask_unit, mini.mask_level) == ("token", "span")
    assert "mask_unit" not in mini.identity() and base.identity()["mask_unit"] == "word"
    assert "mask_unit" not in PretrainConfig().identity()
