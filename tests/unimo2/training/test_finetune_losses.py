"""Losses of fine-tuning against their formulas, one number at a time."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from builders.tiny_tasks import write_model
from unimo2 import Unimo2Model
from unimo2.modeling.generation import CachedDecoder, TagTokens
from unimo2.training.finetuning.captioning import CaptionBatch, CaptionObjective
from unimo2.training.finetuning.classification import SoftTargets, judge
from unimo2.training.finetuning.config import RetrievalConfig
from unimo2.training.finetuning.retrieval import RetrievalBatch, RetrievalObjective
from unimo2.training.losses import circle_loss, draw_several


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def _circle(p: float, negatives: list[float], m: float, g: float) -> float:
    """Equation 6 of Sun et al. (2020) with one positive, in plain Python."""
    positive = math.exp(-g * max(0.0, 1 + m - p) * (p - (1 - m)))
    total = sum(math.exp(g * max(0.0, n + m) * (n - m)) for n in negatives)
    return math.log(1 + total * positive)


def test_circle_loss_is_its_formula():
    """Independent truth: the paper's equation 6 in plain Python, masked negatives left out."""
    positive = torch.tensor([0.3, 2.0, -1.5])
    negative = torch.tensor([[0.1, -0.4, 0.9], [1.1, -3.0, 0.2], [0.5, 0.6, 0.7]])
    usable = torch.tensor([[True, True, True], [True, True, False], [False, True, True]])
    for margin, scale in ((0.2, 1.0), (0.25, 8.0)):
        expected = [
            _circle(p, [n for n, u in zip(row, keep, strict=True) if u], margin, scale)
            for p, row, keep in zip(
                positive.tolist(), negative.tolist(), usable.tolist(), strict=True
            )
        ]
        loss = circle_loss(positive, negative, usable, margin, scale)
        assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_circle_loss_weights_carry_no_gradient_and_large_logits_do_not_overflow():
    """Independent truth: the derivative by hand, with the weights as constants."""
    positive = torch.tensor([0.3], requires_grad=True)
    negative = torch.tensor([[0.4]], requires_grad=True)
    circle_loss(positive, negative, torch.ones(1, 1, dtype=torch.bool), 0.2, 1.0).backward()
    inner = math.exp(0.6 * (0.4 - 0.2)) * math.exp(-0.9 * (0.3 - 0.8))
    assert positive.grad.item() == pytest.approx(-0.9 * inner / (1 + inner), rel=1e-5)
    assert negative.grad.item() == pytest.approx(0.6 * inner / (1 + inner), rel=1e-5)
    far = circle_loss(torch.tensor([-40.0]), torch.tensor([[40.0]]), torch.ones(1, 1) > 0, 0.2, 1.0)
    assert far.item() == pytest.approx(40.2 * 39.8 + 41.2 * 40.8, rel=1e-4)


def test_negatives_are_drawn_once_each_and_hard_ones_by_the_softmax():
    """Independent truth: the softmax's own probabilities, and the exclusions."""
    similarity = torch.tensor([[2.0, 0.0, 1.0, -1.0, 9.0]]).expand(20_000, 5)
    excluded = torch.zeros(20_000, 5, dtype=torch.bool)
    excluded[:, 4] = True
    noise = torch.rand(20_000, 2, 5, generator=torch.Generator().manual_seed(0))
    first, usable = draw_several(similarity, excluded, noise, 1, 1.0)
    shares = torch.bincount(first[:, 0], minlength=5) / 20_000
    expected = functional.pad(torch.tensor([2.0, 0.0, 1.0, -1.0]).softmax(0), (0, 1))
    assert usable.all() and torch.allclose(shares, expected, atol=0.015)
    uniform, _ = draw_several(similarity, excluded, noise, 1, 0.0)
    assert torch.allclose(
        torch.bincount(uniform[:, 0]) / 20_000, torch.full((4,), 0.25), atol=0.015
    )
    both, usable = draw_several(similarity, excluded, noise, 5, 0.5)
    assert bool((usable.sum(dim=1) == 4).all())  # there are only four, and each comes once
    drawn = both.masked_fill(~usable, 4).sort(dim=1).values
    assert torch.equal(drawn, torch.arange(5).expand(20_000, 5))


def test_label_smoothing_and_soft_targets_are_torchs_and_the_sum_of_the_answers():
    """Independent truth: smoothing by hand; a dense table of targets made by a loop."""
    logits = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.1, 2.0]])
    labels = torch.tensor([0, 1])
    result = judge(logits, labels, 0.1)
    log = logits.log_softmax(1)
    by_hand = [-(0.9 * log[i, y] + 0.1 * log[i].mean()) for i, y in enumerate([0, 1])]
    assert result["loss"].item() == pytest.approx(float(sum(by_hand)) / 2, rel=1e-5)
    assert result["accuracy"].item() == 0.5
    sparse = [{2: 1.0, 0: 1 / 3}, {}, {1: 2 / 3}]
    dense = torch.zeros(3, 3)
    for row, target in enumerate(sparse):
        for column, weight in target.items():
            dense[row, column] = weight
    rows = torch.tensor([2, 0, 1, 0])
    assert torch.allclose(SoftTargets(sparse, 3).of(rows), dense[rows])
    worth = judge(logits, dense[[0, 2]], 0.0)["accuracy"]
    assert worth.item() == pytest.approx((1 / 3 + 0.0) / 2)


def test_captions_packed_on_their_image_are_trained_as_one_by_one(folder):
    """Independent truth: the model's own causal logits and torch's cross entropy, one caption each."""
    model = Unimo2Model.from_pretrained(folder).eval()
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, 3, 16, 16, generator=generator)
    ids = torch.randint(4, 200, (6, 7), generator=generator)
    lengths = torch.tensor([7, 5, 4, 6, 7, 3])
    mask = (torch.arange(7) < lengths[:, None]).long()
    losses = []
    with torch.no_grad():
        for row in range(6):
            words = ids[row : row + 1, : lengths[row]]
            logits = model(pixels[row // 3 : row // 3 + 1], words, causal=True).lm_logits
            losses += functional.cross_entropy(
                logits[0, :-1], words[0, 1:], label_smoothing=0.1, reduction="none"
            ).tolist()
        packed = CaptionObjective(model, 0.1)(CaptionBatch(pixels, ids, mask))
        single = CaptionObjective(model, 0.1)(
            CaptionBatch(pixels.repeat_interleave(3, dim=0), ids, mask)
        )
    expected = sum(losses) / len(losses)
    assert packed["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert single["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_captions_are_trained_with_the_tags_that_the_search_reads(folder):
    """Independent truth: logits of the decoder of the search, word by word, and torch's loss."""
    model = Unimo2Model.from_pretrained(folder).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(3, 3, 16, 16, generator=generator)
    ids = torch.randint(4, 200, (6, 6), generator=generator)
    mask = (torch.arange(6) < torch.tensor([6, 4, 5, 6, 3, 6])[:, None]).long()
    tags = TagTokens.of([[0, 9, 8, 7, 2], [], [0, 11, 2]], 1, 20)
    losses, plain = [], []
    with torch.no_grad():
        for row in range(6):
            image, words = row // 2, ids[row, : mask[row].sum()]
            own = tags.attention_mask[image].sum()
            alone = TagTokens(tags.input_ids[image : image + 1, :own], mask.new_ones(1, own))
            vision = model.encode_image(pixels[image : image + 1])
            for kept, given in ((losses, alone if own else None), (plain, None)):
                decoder = CachedDecoder(model, vision, given)
                logits = torch.cat([decoder.step(word[None]) for word in words[:-1]])
                kept += functional.cross_entropy(
                    logits, words[1:], label_smoothing=0.1, reduction="none"
                ).tolist()
        objective = CaptionObjective(model, 0.1)
        batch = CaptionBatch(pixels, ids, mask, tags.input_ids, tags.attention_mask)
        found = objective(batch)["loss"].item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert abs(sum(plain) - sum(losses)) / len(losses) > 1e-3


@pytest.mark.parametrize("drawn", ["batch", "corpus"])
def test_retrieval_scores_each_negative_as_the_model_scores_the_pair(folder, drawn):
    """Independent truth: the model's own output for every pair, and the circle loss of those."""
    model = Unimo2Model.from_pretrained(folder).eval()
    generator = torch.Generator().manual_seed(2)
    rows = 3 if drawn == "batch" else 9
    pixels = torch.randn(rows, 3, 16, 16, generator=generator)
    ids = torch.randint(4, 200, (rows, 6), generator=generator)
    mask = torch.ones_like(ids)
    given = torch.arange(3, 9).view(3, 2) if drawn == "corpus" else torch.empty(3, 0).long()
    noise = torch.rand(3, 4, 3, generator=generator)
    batch = RetrievalBatch(pixels, ids, mask, torch.arange(3), given, given, noise)
    config = RetrievalConfig(negatives=2, negatives_from=drawn, score_weight=0.3)
    with torch.no_grad():
        result = RetrievalObjective(model, config)(batch)
        table = torch.empty(rows, rows)  # image, text
        for image in range(rows):
            out = model(pixels[image].expand(rows, -1, -1, -1), ids)
            table[image] = out.itm_logits[:, 1] + 0.3 * out.cmcl_score
    total = 0.0
    for i in range(3):
        # In a batch of three with two negatives each, the negatives are all the others.
        others = given[i].tolist() if drawn == "corpus" else [j for j in range(3) if j != i]
        true = float(table[i, i])
        total += _circle(true, [float(table[j, i]) for j in others], 0.2, 1.0) / 6
        total += _circle(true, [float(table[i, j]) for j in others], 0.2, 1.0) / 6
    assert result["circle"].item() == pytest.approx(total, rel=1e-4)
