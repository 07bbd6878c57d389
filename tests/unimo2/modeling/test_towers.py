"""Towers from timm and transformers give, inside UNIMO-2, what they give outside it."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import RobertaConfig, RobertaModel

from unimo2.errors import BadCheckpoint, MissingData, UsageError
from unimo2.modeling.towers import PLAIN_VITS, from_towers, load_roberta, load_vit


def _roberta(**overrides) -> RobertaModel:
    torch.manual_seed(1)
    sizes = {
        "vocab_size": 90,
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }
    model = RobertaModel(RobertaConfig(**{**sizes, **overrides}), add_pooling_layer=False).eval()
    with torch.no_grad():  # away from the initial values, so that every weight matters
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def test_a_timm_tower_gives_timms_own_output(vit):
    """Independent truth: timm's forward_features of the same weights."""
    model = from_towers(vit, _roberta())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    assert (model.encode_image(images) - vit.forward_features(images)).abs().max() < 1e-5


@torch.no_grad()
def test_a_roberta_tower_gives_transformers_own_output(vit, tmp_path):
    """Independent truth: transformers' RobertaModel, padding and token type row included."""
    roberta = _roberta(type_vocab_size=2)
    roberta.save_pretrained(tmp_path)
    model = from_towers(vit, load_roberta(tmp_path))
    ids = torch.randint(4, 90, (3, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = 1, 0
    expected = roberta(ids, attention_mask=mask).last_hidden_state
    assert (model.encode_text(ids, mask) - expected)[mask.bool()].abs().max() < 1e-5


@torch.no_grad()
def test_the_grounded_transformer_starts_from_roberta(vit):
    """Independent truth: RoBERTa's encoder over the same rows, with dense attention."""
    roberta = _roberta()
    model = from_towers(vit, roberta, attention="dense", grounded_tokens=4, dictionary_size=8)
    visual, text = torch.randn(2, 6, 192), torch.randn(2, 5, 192)
    layout = model.fusion.make_layout(visual, None, text, None)
    fused = torch.cat(
        [part for part in model.fusion(visual, None, text, layout) if part is not None], 1
    )
    expected = roberta.encoder(torch.cat([visual, text], dim=1)).last_hidden_state
    assert (fused - expected).abs().max() < 1e-5


@torch.no_grad()
def test_weights_come_from_a_local_file(vit, tmp_path):
    """Independent truth: the model that the file was saved from."""
    state = {name: value.contiguous() for name, value in vit.state_dict().items()}
    save_file(state, tmp_path / "vit.safetensors")
    loaded = load_vit("vit_tiny_patch16_224.augreg_in21k", tmp_path / "vit.safetensors").eval()
    images = torch.randn(1, 3, 224, 224)
    assert torch.equal(loaded.forward_features(images), vit.forward_features(images))


@torch.no_grad()
def test_a_tower_takes_another_resolution(vit):
    """Independent truth: positions resized beforehand equal positions resized in the forward."""
    large = from_towers(vit, _roberta(), image_size=256)
    native = from_towers(vit, _roberta())
    images = torch.randn(1, 3, 256, 256)
    assert torch.allclose(large.encode_image(images), native.encode_image(images), atol=1e-5)


@pytest.mark.parametrize("name", PLAIN_VITS)
def test_listed_vits_are_plain(name):
    """Independent truth: timm's own model of that name, built without memory."""
    with torch.device("meta"):
        vit = timm.create_model(name, num_classes=0)
    assert type(vit).__name__ == "VisionTransformer" and vit.num_reg_tokens == 0
    assert vit.pos_embed.shape[1] == vit.patch_embed.num_patches + 1
    assert vit.global_pool == "token" and isinstance(vit.norm_pre, torch.nn.Identity)


@pytest.mark.parametrize(
    "name",
    ["vit_base_patch14_reg4_dinov2", "vit_relpos_base_patch16_224", "vit_base_patch16_gap_224",
     "vit_base_patch16_clip_224", "deit_tiny_distilled_patch16_224", "resnet50"],
)  # fmt: skip
def test_other_vits_are_refused_in_one_line(name):
    """Independent truth: each has registers, relative positions, pooling or another block."""
    with pytest.raises(UsageError, match=name) as caught:
        load_vit(name)
    assert "\n" not in str(caught.value)


def test_towers_that_are_not_there_or_do_not_fit(vit, tmp_path):
    """Independent truth: a missing file, a broken file, a missing folder, another width."""
    with pytest.raises(MissingData):
        load_vit("vit_tiny_patch16_224", tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadCheckpoint):
        load_vit("vit_tiny_patch16_224", tmp_path / "broken.safetensors")
    with pytest.raises(MissingData):
        load_roberta(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="same"):
        from_towers(vit, _roberta(hidden_size=96, intermediate_size=384))
