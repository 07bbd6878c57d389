"""Losses of images alone and texts alone, against their definitions and the plain model."""

from __future__ import annotations

import pytest
import torch
from test_objectives import tiny_batch, tiny_config, weighted
from torch.nn import functional

from builders.masked_texts import PAD, masked, texts
from unimo2.data.batches import ImageBatch, MixedBatch, TextBatch
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.training.losses import nt_xent
from unimo2.training.objectives import JointObjective, PairObjective

WEIGHTS = weighted(itm=2.0, contrastive=3.0, grounding=4.0, vcl=5.0, text=6.0, vcl_temperature=0.2)


def test_nt_xent_is_simclrs_formula():
    """Truth: equation 1 of Chen et al. (2020), summed pair by pair."""
    features = functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    temperature = 0.3
    total = 0.0
    for i in range(6):
        j = (i + 3) % 6
        scores = [torch.exp(features[i] @ features[k] / temperature) for k in range(6)]
        total -= torch.log(scores[j] / sum(s for k, s in enumerate(scores) if k != i))
    loss, accuracy = nt_xent(features, temperature)
    torch.testing.assert_close(loss, total / 6)
    similarity = (features @ features.T).fill_diagonal_(-9)
    assert accuracy == (similarity.argmax(dim=1) == torch.tensor([3, 4, 5, 0, 1, 2])).float().mean()


def batches() -> tuple[ImageBatch, TextBatch]:
    """Three images twice, and five texts."""
    generator = torch.Generator().manual_seed(1)
    ids = texts(5, shortest=5, longest=12)[:, :14]
    hidden = masked(ids)
    return (
        ImageBatch(torch.randn(6, 3, 16, 16, generator=generator)),
        TextBatch(hidden.input_ids, (ids != PAD).long(), hidden.labels),
    )


@pytest.mark.parametrize(
    "changes", [{}, {"grounding": "nearest"}, {"grounding": "none"}, {"attention": "dense"}]
)
def test_a_mixed_batch_gives_the_losses_of_the_plain_model(changes):
    """Truth: Unimo2ForPreTraining's features and Unimo2Model's forward on each kind by itself."""
    torch.manual_seed(0)
    model = Unimo2ForPreTraining(tiny_config(**changes)).eval()
    pairs, (images, words) = tiny_batch(), batches()
    objective = JointObjective(model, WEIGHTS)
    with torch.no_grad():
        result = objective(MixedBatch(pairs, images, words))
        alone = PairObjective(model.unimo2, WEIGHTS)(pairs)
        of_images = model.unimo2(pixel_values=images.views)
        vcl, _ = nt_xent(model(images.views), 0.2)
        out = model.unimo2(
            input_ids=words.masked_ids, attention_mask=words.attention_mask, labels=words.labels
        )
    expected = alone["loss"] + 5 * vcl + 6 * out.mlm_loss
    torch.testing.assert_close(result["vcl"], vcl, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result["text_mlm"], out.mlm_loss, atol=1e-5, rtol=1e-4)
    if model.config.grounding != "none":
        expected = expected + 4 * (of_images.grounding_loss + out.grounding_loss)
        torch.testing.assert_close(result["text_grounding"], out.grounding_loss)
        torch.testing.assert_close(result["image_grounding"], of_images.grounding_loss)
        counts = alone["dictionary_counts"]
        for chosen in (of_images.grounded_indices, out.grounded_indices):
            counts = counts + torch.bincount(chosen.flatten(), minlength=len(counts))
        assert torch.equal(result["dictionary_counts"], counts)
    torch.testing.assert_close(result["loss"], expected, atol=1e-4, rtol=1e-4)
    for name in ("mlm", "itm", "contrastive"):
        assert torch.equal(result[name], alone[name])


def test_every_weight_gets_a_gradient_from_a_mixed_batch():
    """Truth: the parameters by name; only the temperature of an unused score has none."""
    torch.manual_seed(0)
    model = Unimo2ForPreTraining(tiny_config())
    objective = JointObjective(model, weighted())
    objective(MixedBatch(tiny_batch(), *batches()))["loss"].backward()
    without = [name for name, p in objective.named_parameters() if p.grad is None]
    assert without == []


def test_a_kind_without_weight_costs_no_loss():
    """Truth: weights of zero leave the loss of pairs."""
    torch.manual_seed(0)
    model = Unimo2ForPreTraining(tiny_config()).eval()
    objective = JointObjective(model, weighted(vcl=0.0, text=0.0, grounding=0.0))
    with torch.no_grad():
        mixed = objective(MixedBatch(tiny_batch(), *batches()))
        alone = objective(MixedBatch(tiny_batch()))
    assert torch.equal(mixed["loss"], alone["loss"]) and "vcl" not in mixed


def test_twins_are_no_wrong_answers_of_the_contrast():
    """Truth: cross entropy over the columns that are neither of the same image nor words."""
    torch.manual_seed(0)
    model = Unimo2ForPreTraining(tiny_config()).eval().unimo2
    batch = tiny_batch()
    batch.input_ids[4], batch.attention_mask[4] = batch.input_ids[1], batch.attention_mask[1]
    with torch.no_grad():
        result = PairObjective(model, weighted())(batch)
        images = model.image_features(model.encode_image(batch.pixel_values))
        words = model.text_features(model.encode_text(batch.input_ids, batch.attention_mask))
    logits = images @ words.T / model.contrastive_temperature
    total = 0.0
    for table in (logits, logits.T):
        for row in range(6):
            wrong = {1: [4], 4: [1]}.get(row, [])
            columns = [c for c in range(6) if c not in wrong]
            total -= torch.log_softmax(table[row, columns], dim=0)[columns.index(row)]
    torch.testing.assert_close(result["contrastive"], total / 12, atol=1e-5, rtol=1e-4)
