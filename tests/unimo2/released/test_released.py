"""Reading, converting and writing the released checkpoint: its own files are the truth."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unimo2 import Unimo2Config, Unimo2Model
from unimo2.released.convert import config_from_released, convert, export_released, read_released
from unimo2.released.lodtensor import read_lodtensor, write_lodtensor
from unimo2.released.names import NEVER_USED, name_pairs

PROJECTIONS = [
    f"grounded.cmcl_pooled_fc_{side}.{kind}_0" for side in ("image", "text") for kind in "bw"
]


@pytest.fixture
def model(released_folder: Path, released_config: Unimo2Config, tmp_path: Path) -> Unimo2Model:
    convert(released_folder, tmp_path / "converted", released_config)
    return Unimo2Model.from_pretrained(tmp_path / "converted").eval()


def test_reads_every_file_under_its_own_name(released_folder: Path) -> None:
    """Truth: the folder's listing, and the data at the end of each file."""
    read = read_released(released_folder)
    assert sorted(read) == sorted(os.listdir(released_folder))
    for name, array in read.items():
        assert (released_folder / name).read_bytes().endswith(array.tobytes())
    assert read["vit.position_embeddings"].shape == (1, 197, 48)


def test_weights_land_in_the_layers_that_compute_the_same(
    released_folder: Path, model: Unimo2Model
) -> None:
    """Truth: x @ w + b with the released [in, out] weights, for separate and fused projections."""
    read = {name: torch.from_numpy(array) for name, array in read_released(released_folder).items()}
    x = torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
    fused = {
        "vit.encoder_layer_1": model.vision.vit.blocks[1].attn.qkv,
        "grounded.encoder_layer_0": model.fusion.layers[0].qkv,
    }
    for prefix, layer in fused.items():
        for name, part in zip(("query", "key", "value"), layer(x).split(48, dim=-1), strict=True):
            released_name = f"{prefix}_multi_head_att_{name}_fc"
            want = x @ read[f"{released_name}.w_0"] + read[f"{released_name}.b_0"]
            torch.testing.assert_close(part, want)
    key = model.text.roberta.encoder.layer[1].attention.self.key
    name = "text.encoder_layer_1_multi_head_att_key_fc"
    torch.testing.assert_close(key(x), x @ read[f"{name}.w_0"] + read[f"{name}.b_0"])
    assert torch.equal(model.dictionary.embedding, read["vq_emb"])
    assert not model.text.roberta.embeddings.token_type_embeddings.weight.any()


@pytest.mark.parametrize(
    ("grounding", "unused"),
    [
        ("topk", PROJECTIONS),
        ("nearest", [*PROJECTIONS, "topk_temperature"]),
        (
            "none",
            [
                "grounded.pre_encoder_layer_norm_bias",
                "grounded.pre_encoder_layer_norm_scale",
                "topk_temperature",
                "vq_emb",
            ],
        ),
    ],
)
def test_every_name_is_loaded_or_reported(
    released_folder: Path,
    released_fields: dict[str, Any],
    tmp_path: Path,
    grounding: str,
    unused: list[str],
) -> None:
    """Truth: which parameters each mode reads, from the description of the released code."""
    config = Unimo2Config.released(**config_from_released(released_fields, grounding))
    report = convert(released_folder, tmp_path / "out", config)
    assert sorted(report.unused) == sorted(unused)
    assert sorted(report.loaded + report.unused) == sorted(os.listdir(released_folder))
    assert report.missing == () and report.notes == ()


def test_no_two_released_names_fill_the_same_rows(released_config: Unimo2Config) -> None:
    """Truth: the table is one to one, and covers the model but for the token types."""
    everything = Unimo2Config.from_dict(
        {**released_config.to_dict(), "contrastive_projection": True}
    )
    state = Unimo2Model(everything).state_dict()
    filled = {name: torch.zeros(value.shape[0]) for name, value in state.items()}
    for pair in name_pairs(released_config):
        filled[pair.target][pair.rows(len(filled[pair.target]))] += 1
    token_types = filled.pop("text.roberta.embeddings.token_type_embeddings.weight")
    assert not token_types.any()
    assert all((rows == 1).all() for rows in filled.values())


def test_export_gives_the_released_files_byte_by_byte(
    released_folder: Path, model: Unimo2Model, tmp_path: Path
) -> None:
    """Truth: the files that the authors' code wrote."""
    names = export_released(model, tmp_path / "back")
    assert sorted(names) == sorted(os.listdir(tmp_path / "back"))
    assert set(os.listdir(released_folder)) - set(names) == set(PROJECTIONS)
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (released_folder / name).read_bytes()


def test_export_keeps_outputs_of_a_model_with_token_types(tmp_path: Path) -> None:
    """Truth: the model's own outputs before export and after conversion back."""
    torch.manual_seed(0)
    config = Unimo2Config.mini(
        vocab_size=50, itm_input="concat", vision_attention_heads=2, contrastive_projection=True
    )
    model = Unimo2Model(config).eval()
    model.text.roberta.embeddings.token_type_embeddings.weight.data.normal_()
    export_released(model, tmp_path / "released")
    convert(tmp_path / "released", tmp_path / "back", config)
    back = Unimo2Model.from_pretrained(tmp_path / "back").eval()
    pixels, ids = torch.randn(2, 3, 48, 48), torch.randint(4, 50, (2, 7))
    with torch.no_grad():
        want, got = model(pixels, ids), back(pixels, ids)
    torch.testing.assert_close(got.itm_logits, want.itm_logits)
    torch.testing.assert_close(got.cmcl_score, want.cmcl_score)
    torch.testing.assert_close(got.fused_text, want.fused_text)


def test_switches_can_be_turned_after_conversion(
    released_folder: Path, released_fields: dict[str, Any], model: Unimo2Model, tmp_path: Path
) -> None:
    """Truth: the same checkpoint converted with the baseline's switches."""
    config = Unimo2Config.released(**config_from_released(released_fields, "none"))
    convert(released_folder, tmp_path / "baseline", config)
    baseline = Unimo2Model.from_pretrained(tmp_path / "baseline")
    turned = Unimo2Model.from_pretrained(tmp_path / "converted", grounding="none")
    want, got = baseline.state_dict(), turned.state_dict()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[name], got[name]) for name in want)
    again = Unimo2Model.from_pretrained(tmp_path / "baseline", grounding="topk")
    assert torch.equal(again.dictionary.embedding, model.dictionary.embedding)


def test_half_and_double_precision_files_are_converted(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: numpy's conversion of the same values."""
    for name, kind in (("vq_emb", np.float16), ("text.pos_embedding", np.float64)):
        write_lodtensor(checkpoint / name, read_lodtensor(checkpoint / name).astype(kind))
    convert(checkpoint, checkpoint.parent / "out", released_config)
    state = Unimo2Model.from_pretrained(checkpoint.parent / "out").state_dict()
    half = read_lodtensor(checkpoint / "vq_emb").astype(np.float32)
    np.testing.assert_array_equal(state["dictionary.embedding"].numpy(), half)
    assert all(value.dtype == torch.float32 for value in state.values())


def test_known_names_that_no_configuration_reads_are_reported(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: names of heads in the description of the released code, off in its configuration."""
    for name in NEVER_USED:
        write_lodtensor(checkpoint / name, np.zeros((2, 2), np.float32))
    report = convert(checkpoint, checkpoint.parent / "out", released_config)
    assert set(report.unused) == {*NEVER_USED, *PROJECTIONS}


def test_allow_partial_lists_missing_and_keeps_the_rest(
    checkpoint: Path, released_config: Unimo2Config, model: Unimo2Model
) -> None:
    """Truth: the complete conversion for what is there, a second run with the same seed for the rest."""
    key = "vit.encoder_layer_0_multi_head_att_key_fc.w_0"
    gone = sorted(["vq_emb", key])
    for name in gone:
        (checkpoint / name).unlink()
    states = []
    for run, seed in enumerate((3, 3, 4)):
        before = torch.get_rng_state()
        report = convert(checkpoint, checkpoint.parent / f"out{run}", released_config, True, seed)
        assert torch.equal(torch.get_rng_state(), before)
        assert sorted(report.missing) == gone
        folder = checkpoint.parent / f"out{run}"
        states.append(Unimo2Model.from_pretrained(folder).state_dict())
    whole, first = model.state_dict(), states[0]
    qkv = "vision.vit.blocks.0.attn.qkv.weight"
    assert torch.equal(first[qkv][:48], whole[qkv][:48])
    assert not torch.equal(first[qkv][48:96], whole[qkv][48:96])
    assert torch.equal(first[qkv][96:], whole[qkv][96:])
    bound = 1 / 64  # rows are drawn from U(-1/C, 1/C)
    assert first["dictionary.embedding"].abs().max() <= bound
    assert all(torch.equal(first[name], states[1][name]) for name in first)
    assert not torch.equal(first["dictionary.embedding"], states[2]["dictionary.embedding"])
    rest = set(whole) - {qkv, "dictionary.embedding"}
    assert all(torch.equal(first[name], whole[name]) for name in rest)


def test_positions_for_224_pixels_load_whatever_the_image_size(
    released_folder: Path, released_fields: dict[str, Any], model: Unimo2Model, tmp_path: Path
) -> None:
    """Truth: the same checkpoint under the 224-pixel configuration, run on 384-pixel images."""
    large = config_from_released({**released_fields, "image_size": 384})
    report = convert(released_folder, tmp_path / "large", Unimo2Config.released(**large))
    assert len(report.notes) == 1 and "384" in report.notes[0]
    pixels = torch.randn(1, 3, 384, 384)
    with torch.no_grad():
        got = Unimo2Model.from_pretrained(tmp_path / "large").eval().encode_image(pixels)
        assert torch.equal(got, model.encode_image(pixels))
