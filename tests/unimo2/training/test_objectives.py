"""Losses of pre-training: negatives and the sum of losses, against their definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from builders.masked_texts import PAD, VOCAB, masked, texts
from unimo2 import Unimo2Config, Unimo2Model
from unimo2.data.batches import PairBatch
from unimo2.training.config import PretrainConfig
from unimo2.training.losses import draw_negatives, same_pair
from unimo2.training.objectives import Everyone, GroupMatching, PairObjective


def everyone_of(model, whole, batch):
    """What the pairs of a batch are compared by."""
    features = model.image_features(whole.vision), model.text_features(whole.text)
    return Everyone.of(*features, batch, model.config.pad_token_id)


@pytest.mark.parametrize("hard_share", [1.0, 0.5, 0.0])
def test_negatives_are_never_the_positive_nor_a_twin(hard_share):
    """Truth: image numbers and words of the drawn pairs, compared one by one."""
    generator = torch.Generator().manual_seed(0)
    ids = texts(12)
    ids[7] = ids[2]  # the same words for another image
    images = torch.arange(12)
    images[9] = images[4]  # two captions of one image
    excluded = same_pair(ids, images, ids, images)
    similarity = 50 * torch.eye(12) + torch.randn(12, 12, generator=generator)
    for _ in range(300):
        noise = torch.rand(12, 1, generator=generator)
        drawn, found = draw_negatives(similarity, excluded, noise, hard_share)
        assert bool(found.all())
        for row, column in enumerate(drawn[:, 0].tolist()):
            assert images[row] != images[column]
            assert not torch.equal(ids[row], ids[column])


def test_hard_negatives_follow_the_softmax_of_the_similarities():
    """Truth: frequencies against exp(s) / sum of exp(s) over the columns that are allowed."""
    similarity = torch.tensor([[9.0, 1.0, 2.0, 0.0]] * 4)
    excluded = torch.eye(4, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    counts: Counter[int] = Counter()
    for _ in range(4000):
        noise = torch.rand(4, 1, generator=generator)
        counts[int(draw_negatives(similarity, excluded, noise)[0][0])] += 1
    total = math.exp(1) + math.exp(2) + math.exp(0)
    for column, score in ((1, 1.0), (2, 2.0), (3, 0.0)):
        assert counts[column] / 4000 == pytest.approx(math.exp(score) / total, abs=0.025)


@pytest.mark.parametrize("noise", [0.0, 1.0 - 2**-24])
def test_extreme_noise_never_draws_an_excluded_column(noise):
    """Truth: the ends of the interval, with the excluded column first and last."""
    similarity = torch.zeros(3, 3)
    excluded = torch.eye(3, dtype=torch.bool)
    drawn, _ = draw_negatives(similarity, excluded, torch.full((3, 1), noise))
    assert all(column != row for row, column in enumerate(drawn[:, 0].tolist()))


def test_a_row_without_any_negative_is_reported():
    """Truth: two samples of one image exclude each other."""
    excluded = torch.ones(2, 2, dtype=torch.bool)
    _, found = draw_negatives(torch.zeros(2, 2), excluded, torch.zeros(2, 1))
    assert found.tolist() == [[False], [False]]


def tiny_config(**changes) -> Unimo2Config:
    """A model that runs in milliseconds."""
    sizes = {
        "image_size": 16,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "vision_layers": 1,
        "text_layers": 1,
        "fusion_layers": 2,
        "vocab_size": VOCAB,
        "dictionary_size": 12,
        "grounded_tokens": 4,
    }
    return Unimo2Config.mini(**{**sizes, **changes})


def weighted(**values) -> PretrainConfig:
    """A configuration with these weights of losses, and other values."""
    kinds = ("mlm", "itm", "contrastive", "grounding", "vcl", "text")
    named = {f"{k}_weight" if k in kinds else k: value for k, value in values.items()}
    return PretrainConfig(**named)


def tiny_batch(rows: int = 6) -> PairBatch:
    """A batch of random pairs."""
    generator = torch.Generator().manual_seed(0)
    ids = texts(rows, shortest=5, longest=12)[:, :14]
    hidden = masked(ids)
    return PairBatch(
        pixel_values=torch.randn(rows, 3, 16, 16, generator=generator),
        input_ids=ids,
        attention_mask=(ids != PAD).long(),
        masked_ids=hidden.input_ids,
        labels=hidden.labels,
        image_index=torch.arange(rows),
        negative_noise=torch.rand(rows, 2, generator=generator),
        position=torch.arange(rows),
    )


@pytest.mark.parametrize(
    "changes", [{}, {"grounding": "nearest"}, {"grounding": "none"}, {"attention": "dense"}]
)
def test_shared_encodings_give_the_losses_of_separate_forwards(changes):
    """Truth: every loss computed by the model's plain forward, pair by pair, without sharing."""
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config(**changes)).eval()
    batch = tiny_batch()
    objective = PairObjective(model, weighted(itm=2.0, contrastive=3.0, grounding=4.0))
    with torch.no_grad():
        result = objective(batch)
        pixels, ids, mask = batch.pixel_values, batch.input_ids, batch.attention_mask
        whole = model(pixels, ids, mask, return_loss=True)
        hidden = model(pixels, batch.masked_ids, mask, labels=batch.labels)
        everyone = everyone_of(model, whole, batch)
        pairs = objective._negatives(everyone, batch)
        logits = torch.cat(
            [
                model(pixels[i : i + 1], ids[t : t + 1], mask[t : t + 1]).itm_logits
                for i, t in zip(pairs.images.tolist(), pairs.texts.tolist(), strict=True)
            ]
        )
    targets = torch.tensor([1] * 6 + [0] * 12)
    expected = {
        "mlm": hidden.mlm_loss,
        "itm": functional.cross_entropy(logits, targets),
        "contrastive": whole.cmcl_loss,
        "grounding": whole.grounding_loss,
    }
    total = torch.zeros(())
    for weight, (name, value) in zip((1.0, 2.0, 3.0, 4.0), expected.items(), strict=True):
        if value is None:
            assert name not in result
            continue
        torch.testing.assert_close(result[name], value, atol=1e-5, rtol=1e-4)
        total = total + weight * value
    torch.testing.assert_close(result["loss"], total, atol=1e-4, rtol=1e-4)


def test_matching_on_a_share_draws_its_negatives_from_the_whole_batch():
    """Truth: the pairs that are named, fused one by one; and that others are drawn, too."""
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config()).eval()
    objective = PairObjective(model, weighted(mlm=0.0, hard_share=0.0, match_share=0.25))
    drawn: set[int] = set()
    for seed in range(8):
        batch = tiny_batch(8)
        noise = torch.rand(8, 2, generator=torch.Generator().manual_seed(seed))
        batch = replace(batch, negative_noise=noise)
        pixels, ids, mask = batch.pixel_values, batch.input_ids, batch.attention_mask
        with torch.no_grad():
            whole = model(pixels, ids, mask)
            pairs = objective._negatives(everyone_of(model, whole, batch), batch)
            rows = zip(pairs.images.tolist(), pairs.texts.tolist(), strict=True)
            logits = torch.cat(
                [model(pixels[[i]], ids[[t]], mask[[t]]).itm_logits for i, t in rows]
            )
            result = objective(batch)
        assert pairs.images[:4].tolist() == [3, 7, 3, 7]
        assert pairs.texts[[0, 1, 4, 5]].tolist() == [3, 7, 3, 7]
        expected = functional.cross_entropy(logits, torch.tensor([1, 1, 0, 0, 0, 0]))
        torch.testing.assert_close(result["itm"], expected, atol=1e-5, rtol=1e-4)
        drawn |= {*pairs.texts[2:4].tolist(), *pairs.images[4:].tolist()}
    assert drawn - {3, 7}


def test_dictionary_counts_are_those_of_the_true_pairs():
    """Truth: the chosen rows of the model's own forward, counted."""
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config()).eval()
    batch = tiny_batch()
    with torch.no_grad():
        counts = PairObjective(model, PretrainConfig())(batch)["dictionary_counts"]
        chosen = model(batch.pixel_values, batch.input_ids, batch.attention_mask).grounded_indices
    expected = Counter(chosen.reshape(-1).tolist())
    assert counts.tolist() == [expected[row] for row in range(12)]


def test_a_loss_without_weight_is_left_out():
    """Truth: its name is absent and its head gets no gradient."""
    model = Unimo2Model(tiny_config())
    result = PairObjective(model, weighted(mlm=0.0, grounding=0.0))(tiny_batch())
    result["loss"].backward()
    assert "mlm" not in result and "grounding" not in result
    assert model.mlm.dense.weight.grad is None
    assert model.itm_head.weight.grad is not None


def test_matching_in_groups_finds_the_true_partner_among_similar_pairs():
    """Truth: each image with each text of a group, fused one by one; twins are left out."""
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config()).eval()
    objective = PairObjective(model, weighted(mlm=0.0, match_share=0.25, match_group=3))
    batch = tiny_batch(8)
    index = batch.image_index.clone()
    index[0] = index[1]  # two captions of one image
    noise = torch.rand(8, 2, generator=torch.Generator().manual_seed(1))
    batch = replace(batch, negative_noise=noise, image_index=index)
    pixels, ids, mask = batch.pixel_values, batch.input_ids, batch.attention_mask
    with torch.no_grad():
        whole = model(pixels, ids, mask)
        groups = objective._groups(everyone_of(model, whole, batch), batch)
        result = objective(batch)
        losses, right = [], 0
        for members in groups.members.tolist():
            scores = torch.full((3, 3), float("-inf"))
            for a, image in enumerate(members):
                for b, text in enumerate(members):
                    if a != b and index[image] == index[text]:
                        continue
                    logits = model(pixels[[image]], ids[[text]], mask[[text]]).itm_logits[0]
                    scores[a, b] = logits[1] - logits[0]
            for way in (scores, scores.T):
                losses.append(functional.cross_entropy(way, torch.arange(3)))
                right += int((way.argmax(dim=1) == torch.arange(3)).sum())
    assert groups.members[:, 0].tolist() == [3, 7]
    assert all(len(set(members)) == 3 for members in groups.members.tolist())
    torch.testing.assert_close(result["itm"], torch.stack(losses).mean(), atol=1e-5, rtol=1e-4)
    assert float(result["itm_accuracy"]) == pytest.approx(right / 12)


def test_partners_are_different_and_the_likeliest_come_first():
    """Truth: frequencies of the first draw against the softmax; all different, none excluded."""
    similarity = torch.tensor([[0.0, 3.0, 1.0, 2.0]])
    excluded = torch.tensor([[True, False, False, False]])
    generator = torch.Generator().manual_seed(0)
    first: Counter[int] = Counter()
    for _ in range(2000):
        drawn, found = draw_negatives(similarity, excluded, torch.rand(1, 3, generator=generator))
        assert sorted(drawn[0].tolist()) == [1, 2, 3] and bool(found.all())
        first[int(drawn[0, 0])] += 1
    total = math.exp(3) + math.exp(1) + math.exp(2)
    assert first[1] / 2000 == pytest.approx(math.exp(3) / total, abs=0.03)
    _, found = draw_negatives(similarity, excluded, torch.rand(1, 4, generator=generator))
    assert found.tolist() == [[True, True, True, False]]


def test_matching_by_the_fused_score_learns_what_contrast_leaves():
    """Truth: the loss of logits plus contrastive scores over the temperature, by hand."""
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config()).eval()
    batch = tiny_batch(6)
    results = {}
    for fused in (0.0, 1.0, 0.25):
        objective = PairObjective(model, weighted(mlm=0.0, match_group=3, match_fused=fused))
        with torch.no_grad():
            results[fused] = float(objective(batch)["itm"])
    objective = PairObjective(model, weighted(mlm=0.0, match_group=3, match_fused=1.0))
    with torch.no_grad():
        whole = model(batch.pixel_values, batch.input_ids, batch.attention_mask)
        everyone = everyone_of(model, whole, batch)
        groups = objective._groups(everyone, batch)
        images, texts = groups.pairs
        pixels, ids, mask = batch.pixel_values, batch.input_ids, batch.attention_mask
        logits = model(pixels[images], ids[texts], mask[texts]).itm_logits
        contrast = (everyone.images[images] * everyone.texts[texts]).sum(1) / 0.07
        scores = (logits[:, 1] - logits[:, 0] + contrast).view(-1, 3, 3)
    true = torch.arange(3).repeat(6)
    ways = (scores.flatten(0, 1), scores.transpose(1, 2).flatten(0, 1))
    expected = sum(float(functional.cross_entropy(way, true)) for way in ways) / 2
    assert results[1.0] == pytest.approx(expected, abs=1e-4)
    assert results[0.25] == pytest.approx(0.25 * results[1.0] + 0.75 * results[0.0], abs=1e-5)


def test_matching_is_trained_on_images_that_contrast_does_not_see():
    """Truth: the shares of many images; contrast by the model's own loss of those that it sees."""
    matching = GroupMatching(2, contrast_share=0.6)
    assert matching.contrasted(torch.arange(20_000)).float().mean() == pytest.approx(0.6, abs=0.01)
    torch.manual_seed(0)
    model = Unimo2Model(tiny_config()).eval()
    batch = tiny_batch(8)
    seen = matching.contrasted(batch.image_index)
    assert 2 <= int(seen.sum()) <= 6  # of the eight
    config = weighted(mlm=0.0, match_group=2, contrast_share=0.6)
    objective = PairObjective(model, config)
    with torch.no_grad():
        whole = model(batch.pixel_values, batch.input_ids, batch.attention_mask)
        everyone = everyone_of(model, whole, batch)
        groups = objective._groups(everyone, batch)
        expected = model.contrastive_loss(everyone.images[seen], everyone.texts[seen])
        result = objective(batch)
    torch.testing.assert_close(result["contrastive"], expected, atol=1e-5, rtol=1e-4)
    assert not seen[groups.members].any() and len(groups.members) == int((~seen).sum())
