"""Task models: losses against their formulas, and loading from a pre-trained checkpoint."""

import json

import pytest
import torch
from torch.nn import functional as F

from unimo2 import Unimo2Config, Unimo2Model
from unimo2.errors import UsageError
from unimo2.modeling.heads import (
    Unimo2ForImages,
    Unimo2ForPairs,
    Unimo2ForPreTraining,
    Unimo2ForTexts,
    task_loss,
)
from unimo2.modeling.model import Unimo2Output

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "vision_layers": 1,
    "text_layers": 1,
    "fusion_layers": 1,
    "vocab_size": 60,
    "dictionary_size": 20,
    "grounded_tokens": 4,
}
PIXELS = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(4, 60, (3, 6), generator=torch.Generator().manual_seed(1))


def _config(**overrides) -> Unimo2Config:
    return Unimo2Config.mini(**{**SIZES, **overrides})


@pytest.mark.parametrize(
    ("itm_input", "head_input"),
    [("product", None), ("concat", None), ("product", "both"), ("concat", "towers")],
)
def test_a_pre_trained_checkpoint_becomes_a_task_model(tmp_path, itm_input, head_input):
    """Independent truth: the pre-trained weights are in the task model, the head is trainable."""
    torch.manual_seed(0)
    base = Unimo2Model(_config(itm_input=itm_input))
    base.save_pretrained(tmp_path / "base")
    model = Unimo2ForPairs.from_pretrained(tmp_path / "base", num_labels=7, head_input=head_input)
    assert all(
        torch.equal(value, model.unimo2.state_dict()[name])
        for name, value in base.state_dict().items()
    )
    out = model(PIXELS, IDS, labels=torch.tensor([0, 6, 3]))
    out.loss.backward()
    assert out.logits.shape == (3, 7) and model.head[0].weight.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path / "task")
    again = Unimo2ForPairs.from_pretrained(tmp_path / "task").eval()
    assert torch.equal(again(PIXELS, IDS).logits, model(PIXELS, IDS).logits)


def test_a_head_reads_what_the_configuration_says():
    """Independent truth: the head applied to what is joined here, by hand."""
    for head_input in ("product", "concat", "both", "towers"):
        model = Unimo2ForPairs(_config(head_input=head_input)).eval()
        out = model.unimo2(PIXELS, IDS)
        image, text = out.pooled_image, out.pooled_text
        ways = {"product": [image * text], "concat": [text, image]}
        ways["both"] = ways["concat"] + ways["product"]
        # Of length 1, times the square root of the width: the mean square of an element is 1.
        seen, said = (
            F.normalize(first, dim=1) * 32**0.5 for first in (out.vision[:, 0], out.text[:, 0])
        )
        ways["towers"] = [*ways["both"], said, seen, said * seen]
        joined = torch.cat(ways[head_input], dim=1)
        assert torch.allclose(model(PIXELS, IDS).logits, model.head(joined), atol=1e-5)
    with pytest.raises(
        UsageError, match="head_input='sum' is not one of product, concat, both, towers, None"
    ):
        _config(head_input="sum")


def test_positions_of_patches_start_as_large_as_the_configuration_says():
    """Independent truth: the standard deviation of what was drawn."""
    for wanted in (0.02, 0.5):
        config = _config(image_size=128, patch_size=8, patch_position_range=wanted)
        drawn = Unimo2Model(config).vision.vit.pos_embed
        assert drawn.std().item() == pytest.approx(wanted, rel=0.05)


def test_image_and_text_heads_give_logits_and_losses():
    """Independent truth: torch's own cross entropy and squared error of the logits."""
    images = Unimo2ForImages(_config(num_labels=5)).eval()
    out = images(PIXELS, labels=torch.tensor([0, 1, 4]))
    expected = -out.logits.log_softmax(-1)[range(3), [0, 1, 4]].mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    numbers = Unimo2ForTexts(_config(num_labels=1)).eval()
    scores = torch.tensor([0.0, 2.5, 5.0])
    out = numbers(IDS, labels=scores)
    assert out.loss.item() == pytest.approx((out.logits[:, 0] - scores).square().mean().item())


def test_soft_targets_are_summed_over_answers():
    """Independent truth: the formula of binary cross entropy, one number at a time."""
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.0, -2.0]])
    targets = torch.tensor([[0.3, 0.0, 1.0], [0.0, 0.6, 0.0]])
    p = logits.sigmoid()
    expected = -(targets * p.log() + (1 - targets) * (1 - p).log()).sum() / 2
    assert task_loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(UsageError, match="soft targets"):
        task_loss(logits, targets[:, :2])


def test_vcl_features_have_length_one_and_gradients():
    """Independent truth: the norm; the vision tower learns from them."""
    model = Unimo2ForPreTraining(_config())
    features = model(PIXELS)
    assert torch.allclose(features.norm(dim=-1), torch.ones(3), atol=1e-5)
    features[0, 0].backward()
    assert model.unimo2.vision.vit.cls_token.grad.abs().sum() > 0


def test_a_folder_says_which_task_it_is_for(tmp_path):
    """Independent truth: the JSON on disk; pre-trained weights, and older ones, name no task."""
    Unimo2ForTexts(_config(num_labels=2, task="sst2")).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["task"] == "sst2"
    assert Unimo2Config.from_pretrained(tmp_path).task == "sst2"
    del written["task"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert Unimo2Config.from_pretrained(tmp_path).task is None


@pytest.mark.parametrize("itm_input", ["product", "concat"])
def test_the_matching_head_reads_through_dropout_in_training_alone(itm_input):
    """Independent truth: torch's dropout of the joined pooled outputs with the same random numbers."""
    config = _config(itm_input=itm_input, hidden_dropout=0.4)
    model = Unimo2Model(config)
    rows = torch.randn(2, 64, config.hidden_size, generator=torch.Generator().manual_seed(2))
    for training in (True, False):
        model.train(training)
        torch.manual_seed(5)
        out = Unimo2Output()
        model.fill_pooled_outputs(out, rows[0], rows[1])
        pair = (out.pooled_image, out.pooled_text)
        joined = pair[0] * pair[1] if itm_input == "product" else torch.cat(pair[::-1], dim=-1)
        torch.manual_seed(5)
        expected = model.itm_head(F.dropout(joined, 0.4, training))
        assert torch.equal(out.itm_logits, expected)
        assert torch.equal(out.itm_logits, model.itm_head(joined)) is not training


def test_without_dropout_the_matching_head_draws_no_number():
    """Independent truth: torch's generator; runs of the mini model end with the same bits."""
    model = Unimo2Model(_config()).train()
    assert model.config.hidden_dropout == 0.0
    before = torch.get_rng_state()
    rows = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(2))
    model.fill_pooled_outputs(Unimo2Output(), rows[0], rows[1])
    assert torch.equal(torch.get_rng_state(), before)
