"""Span masking, against the definition in the paper (section 3.2) and in SpanBERT."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from builders.masked_texts import BOS, EOS, MASK, PAD, SPEC, UNK, masked, texts
from unimo2.data.masking import mask_spans
from unimo2.modeling.padding import IGNORED


def test_fifteen_percent_of_the_real_tokens_are_selected_in_every_text():
    """Truth: round(0.15 n) counted per text in plain Python, at least one."""
    ids = texts(300)
    labels = masked(ids).labels
    for row in range(len(ids)):
        real = sum(1 for token in ids[row].tolist() if token > UNK and token != MASK)
        assert int((labels[row] != IGNORED).sum()) == max(1, round(0.15 * real))


def test_special_tokens_and_padding_are_never_touched():
    """Truth: the positions of special ids, found token by token."""
    ids = texts(200)
    result = masked(ids)
    special = torch.tensor([[token in SPEC.special_ids for token in row] for row in ids.tolist()])
    assert torch.equal(result.input_ids[special], ids[special])
    assert bool((result.labels[special] == IGNORED).all())


def test_labels_are_the_original_tokens_and_the_rest_is_unchanged():
    """Truth: the texts before masking."""
    ids = texts(200)
    result = masked(ids)
    chosen = result.labels != IGNORED
    assert torch.equal(result.labels[chosen], ids[chosen])
    assert torch.equal(result.input_ids[~chosen], ids[~chosen])


def test_span_lengths_follow_the_geometric_distribution_cut_at_ten():
    """Truth: p (1 - p)^(l - 1) normalised over 1..10, mean 3.8 (SpanBERT, section 3.1)."""
    weights = [0.2 * 0.8 ** (length - 1) for length in range(1, 11)]
    expected = [w / sum(weights) for w in weights]
    assert sum(n * p for n, p in enumerate(expected, start=1)) == pytest.approx(3.8, abs=0.01)
    # One long text a row and a wide budget: first spans are cut by nothing.
    spec = replace(SPEC, max_length=402, fraction=0.15)
    ids = torch.full((4000, 402), 50)
    ids[:, 0], ids[:, -1] = BOS, EOS
    spans = masked(ids, spec).span_ids
    first = (spans == 0) & (torch.arange(402) < 380)
    starts_early = (spans == 0).to(torch.uint8).argmax(dim=1) < 380
    lengths = Counter(first[starts_early].sum(dim=1).tolist())
    total = sum(lengths.values())
    for length, share in enumerate(expected, start=1):
        assert lengths[length] / total == pytest.approx(share, abs=0.03)
    assert max(lengths) == 10


def test_spans_are_contiguous_runs_of_tokens():
    """Truth: the first span of every text has no gap between its ends."""
    spans = masked(texts(300, shortest=20)).span_ids
    for row in spans.tolist():
        places = [place for place, span in enumerate(row) if span == 0]
        assert places == list(range(places[0], places[-1] + 1))


def test_starts_are_uniform_over_the_text():
    """Truth: a chi-square statistic of first starts over 40 positions, far below its 0.1 % bound."""
    ids = torch.full((8000, 42), 50)
    ids[:, 0], ids[:, -1] = BOS, EOS
    spans = masked(ids).span_ids
    starts = Counter((spans == 0).to(torch.uint8).argmax(dim=1).tolist())
    expected = 8000 / 40
    statistic = sum((starts[place] - expected) ** 2 / expected for place in range(1, 41))
    assert starts.keys() <= set(range(1, 41))
    assert statistic < 73  # 99.9th percentile with 39 degrees of freedom


def test_whole_spans_become_mask_random_or_original_eighty_ten_ten():
    """Truth: the paper's shares; within a span all tokens meet the same fate."""
    ids = texts(4000, shortest=40, seed=3)
    result = masked(ids)
    fates = Counter()
    for row in range(len(ids)):
        span = result.span_ids[row] == 0
        now, before = result.input_ids[row][span], ids[row][span]
        if bool((now == MASK).all()):
            fates["mask"] += 1
        elif torch.equal(now, before):
            fates["original"] += 1
        else:
            assert not bool((now == MASK).any())
            fates["random"] += 1
    assert fates["mask"] / len(ids) == pytest.approx(0.8, abs=0.03)
    assert fates["random"] / len(ids) == pytest.approx(0.1, abs=0.02)
    assert fates["original"] / len(ids) == pytest.approx(0.1, abs=0.02)


def test_random_tokens_are_drawn_from_all_ordinary_tokens():
    """Truth: 95 ordinary ids of 100; every one of them occurs and no special one does."""
    spec = replace(SPEC, mask_share=0.0, random_share=1.0)
    ids = texts(2000, shortest=40)
    result = masked(ids, spec)
    drawn = set(result.input_ids[result.labels != IGNORED].tolist())
    assert drawn == set(range(4, 99))


def test_random_tokens_of_level_token_spread_over_all_ordinary_tokens():
    """Truth: with the paper's shares too, every one of the 95 ordinary ids is drawn."""
    ids = texts(4000, shortest=40)
    result = masked(ids, replace(SPEC, level="token"))
    chosen = result.labels != IGNORED
    changed = chosen & (result.input_ids != MASK) & (result.input_ids != ids)
    assert set(result.input_ids[changed].tolist()) == set(range(4, 99))


def test_level_token_decides_for_each_token():
    """Truth: with decisions per token most long spans are mixed, which level "span" never gives."""
    ids = texts(2000, shortest=50)
    result = masked(ids, replace(SPEC, level="token"))
    share = (result.input_ids[result.labels != IGNORED] == MASK).float().mean()
    assert float(share) == pytest.approx(0.8, abs=0.02)
    mixed = 0
    for row in range(len(ids)):
        now = result.input_ids[row][result.span_ids[row] == 0] == MASK
        mixed += bool(now.any()) and not bool(now.all())
    assert mixed > 100


def test_a_text_without_ordinary_tokens_stays_as_it_is():
    """Truth: there is nothing to select."""
    ids = torch.tensor([[BOS, EOS, PAD, PAD]])
    result = masked(ids)
    assert torch.equal(result.input_ids, ids)
    assert bool((result.labels == IGNORED).all())


def test_masks_do_not_depend_on_the_rest_of_the_batch():
    """Truth: the same rows masked alone with their own noise."""
    ids = texts(16)
    noise = SPEC.draw(16, torch.Generator().manual_seed(5))
    whole = mask_spans(ids, noise, SPEC)
    part = mask_spans(ids[10:], noise[10:], SPEC)
    assert torch.equal(whole.input_ids[10:], part.input_ids)
    assert torch.equal(whole.labels[10:], part.labels)
