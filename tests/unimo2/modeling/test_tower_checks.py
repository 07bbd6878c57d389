"""Towers from outside compute what their library computes, or are refused in one line.

Independent truth throughout: timm's and transformers' own outputs of the same weights.
"""

from __future__ import annotations

import json
from functools import partial

import pytest
import timm
import torch
from timm.models.vision_transformer import ResPostBlock
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from unimo2 import Unimo2Model
from unimo2.errors import UsageError
from unimo2.modeling.towers import config_from_towers, from_towers, load_roberta, start_from_towers

SIZES = {
    "vocab_size": 90,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "layer_norm_eps": 1e-5,
}


def _drawn(model):
    """The model away from its initial values, so that every weight and setting matters."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _roberta(kind=RobertaModel, config=RobertaConfig, **overrides):
    torch.manual_seed(1)
    return _drawn(kind(config(**{**SIZES, **overrides}), add_pooling_layer=False))


def _vit(**overrides):
    torch.manual_seed(2)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    plain = {**sizes, "mlp_ratio": 2.0, "num_classes": 0, **overrides}
    return _drawn(timm.models.vision_transformer.VisionTransformer(**plain))


@torch.no_grad()
def _assert_equal(model, vit, roberta):
    ids = torch.randint(6, 90, (3, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = roberta.config.pad_token_id, 0
    theirs = roberta(ids, attention_mask=mask).last_hidden_state
    assert (model.encode_text(ids, mask) - theirs)[mask.bool()].abs().max() < 1e-5
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    assert (model.encode_image(images) - vit.forward_features(images)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_attention_heads": 12},
        {"layer_norm_eps": 1e-2},
        {"layer_norm_eps": 1e-12, "type_vocab_size": 2},
        {"pad_token_id": 0},
        {"pad_token_id": 5, "bos_token_id": 1},
        {"hidden_act": "gelu_python"},
        {"num_hidden_layers": 3, "hidden_dropout_prob": 0.3},
        {"kind": XLMRobertaModel, "config": XLMRobertaConfig},
    ],
)
def test_every_roberta_that_is_taken_gives_transformers_own_output(settings, tmp_path):
    """Independent truth: RobertaModel or XLMRobertaModel with the same weights, padding included."""
    theirs = _roberta(**settings)
    theirs.save_pretrained(tmp_path)
    _assert_equal(from_towers(_vit(), load_roberta(tmp_path)).eval(), _vit(), theirs)


@pytest.mark.parametrize(
    "settings",
    [{"num_heads": 6}, {"norm_layer": partial(nn.LayerNorm, eps=1e-3)}, {"depth": 3}],
)
def test_every_vit_that_is_taken_gives_timms_own_output(settings):
    """Independent truth: forward_features of the same weights."""
    vit = _vit(**settings)
    _assert_equal(from_towers(vit, _roberta()).eval(), vit, _roberta())


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "silu", "quick_gelu"])
def test_a_roberta_with_another_activation_is_refused(activation, tmp_path):
    """From a folder, and as a model in memory."""
    theirs = _roberta(hidden_act=activation)
    theirs.save_pretrained(tmp_path)
    for load in (lambda: load_roberta(tmp_path), lambda: from_towers(_vit(), theirs)):
        with pytest.raises(
            UsageError, match=f"expected hidden_act 'gelu' in config.json, got '{activation}'"
        ):
            load()


@pytest.mark.parametrize(
    "kind, config", [(BertModel, BertConfig), (ElectraModel, ElectraConfig)]
)  # fmt: skip
def test_another_encoder_is_not_taken_for_a_roberta(kind, config, tmp_path):
    """BERT's weights have RoBERTa's names and shapes, and other positions."""
    kind(config(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="expected model_type roberta") as caught:
        load_roberta(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_that_does_not_say_what_it_is_is_refused(tmp_path):
    """Independent truth: a RoBERTa whose config.json lost its model_type."""
    _roberta().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="got None"):
        load_roberta(tmp_path)


def test_a_decoder_is_refused(tmp_path):
    """Its tokens see earlier tokens only."""
    _roberta(is_decoder=True).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="is_decoder"):
        load_roberta(tmp_path)


@pytest.mark.parametrize(
    "of_vit, of_roberta, of_model, field",
    [
        ({}, {"num_attention_heads": 12}, {"num_attention_heads": 4}, "text_attention_heads=12"),
        ({}, {"num_attention_heads": 12}, {"text_attention_heads": 4}, "text_attention_heads=12"),
        ({}, {}, {"num_attention_heads": 3, "text_attention_heads": 4}, "num_attention_heads=4"),
        ({}, {"layer_norm_eps": 1e-2}, {"layer_norm_eps": 1e-5}, "layer_norm_eps=0.01"),
        ({}, {"pad_token_id": 0}, {"pad_token_id": 1}, "pad_token_id=0"),
        ({"num_heads": 6}, {}, {"vision_attention_heads": 3}, "vision_attention_heads=6"),
        ({}, {}, {"vision_attention_heads": None}, "vision_attention_heads=3"),
        ({}, {}, {"vision_layer_norm_eps": 1e-3}, "vision_layer_norm_eps=1e-06"),
        ({}, {}, {"patch_padding": 3}, "patch_padding=0"),
    ],
)
def test_settings_that_no_shape_shows_must_be_the_models(of_vit, of_roberta, of_model, field):
    """What `unimo2 pretrain` does with vision_tower and text_tower; the message says what to set."""
    vit, roberta = _vit(**of_vit), _roberta(**of_roberta)
    model = Unimo2Model(config_from_towers(vit, roberta, **of_model))
    with pytest.raises(UsageError, match=field) as caught:
        start_from_towers(model, vit, roberta)
    assert "\n" not in str(caught.value)


def test_a_vit_of_six_heads_stands_beside_a_roberta_of_twelve():
    """A model with those heads takes both: a ViT-S and a RoBERTa of its width."""
    vit, roberta = _vit(num_heads=6), _roberta(num_attention_heads=12)
    model = Unimo2Model(config_from_towers(vit, roberta)).eval()
    start_from_towers(model, vit, roberta)
    _assert_equal(model, vit, roberta)


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"act_layer": nn.ReLU}, "outputs"),
        ({"block_fn": ResPostBlock}, "outputs"),
        ({"reg_tokens": 2}, "no registers"),
        ({"global_pool": "avg"}, "layer norm after the last block"),
        ({"no_embed_class": True}, "absolute positions"),
        ({"img_size": (32, 64)}, "square images"),
        ({"pre_norm": True}, "norm_pre"),
        ({"init_values": 0.1}, "ls1"),
        ({"qk_norm": True}, "q_norm"),
    ],
)
def test_a_vit_that_computes_something_else_is_refused(settings, says):
    """Models in memory, whose names `load_vit` never sees; most have a plain ViT's weights."""
    with pytest.raises(UsageError, match=says) as caught:
        from_towers(_vit(**settings), _roberta())
    assert "\n" not in str(caught.value)


def test_checking_outputs_leaves_modes_and_random_numbers_alone():
    """Independent truth: what torch.rand gives after the same seed, and modes of before."""
    vit, roberta = _vit().train(), _roberta().train()
    model = Unimo2Model(config_from_towers(vit, roberta)).train()
    torch.manual_seed(6)
    expected = torch.rand(3)
    torch.manual_seed(6)
    start_from_towers(model, vit, roberta)
    assert torch.equal(torch.rand(3), expected)
    assert all(module.training for tower in (vit, roberta, model) for module in tower.modules())
