"""The released configuration, and the `unimo2 zoo` commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from unimo2 import Unimo2Config, Unimo2Model
from unimo2.cli import main
from unimo2.errors import MissingData, UsageError
from unimo2.released.config import BASE_FIELDS, read_config_file, unknown_fields
from unimo2.released.convert import config_from_released

PROJECTIONS = [
    f"grounded.cmcl_pooled_fc_{side}.{kind}_0" for side in ("image", "text") for kind in "bw"
]


def test_base_fields_are_the_released_preset() -> None:
    """Truth: the preset, and the fields of the release's own configuration file."""
    config = Unimo2Config.released(**config_from_released(BASE_FIELDS))
    assert config.to_dict() == Unimo2Config.released().to_dict()
    extra = {"use_neg_lm_loss": False, "fusion_method": "mul", "num_labels": 2}
    assert unknown_fields({**BASE_FIELDS, **extra}) == []


def test_configuration_fields_of_each_tower(released_fields: dict[str, Any]) -> None:
    """Truth: values that differ from tower to tower, so that none can stand in for another."""
    fields = {
        **released_fields,
        "num_attention_heads": 2,
        "text_num_attention_heads": 6,
        "vit_num_attention_heads": 8,
        "num_hidden_layers": 3,
        "text_num_hidden_layers": 4,
        "vit_num_hidden_layers": 5,
    }
    config = Unimo2Config.released(**config_from_released({"config": fields}, "nearest"))
    assert (config.fusion_layers, config.text_layers, config.vision_layers) == (3, 4, 5)
    assert config.num_attention_heads == 2
    assert (config.text_attention_heads, config.vision_attention_heads) == (6, 8)
    assert (config.dictionary_size, config.grounded_tokens) == (64, 10)
    assert (config.intermediate_size, config.patch_padding) == (192, 7)
    assert (config.vocab_size, config.max_position_embeddings) == (211, 66)
    assert config.grounding == "nearest" and config.vision_layer_norm_eps == 1e-12


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"fusion_method": "sum"}, "fusion_method"),
        ({"vit_hidden_dropout_prob": 0.1}, "vit_hidden_dropout_prob"),
        ({"text_hidden_size": 64}, "text_hidden_size"),
        ({"hidden_dropout_prob": 0.1}, "hidden_dropout_prob"),
        ({"hidden_size": "48"}, "hidden_size"),
        ({"resolution": 16.5}, "patch_size"),
        ({"config": 3}, "config"),
    ],
)
def test_configuration_that_the_model_does_not_have_is_refused(
    released_fields: dict[str, Any], change: dict[str, Any], word: str
) -> None:
    """Truth: one field changed to something that this model cannot be."""
    with pytest.raises(UsageError, match=word):
        config_from_released({**released_fields, **change})


def test_configuration_without_sizes_is_refused(released_fields: dict[str, Any]) -> None:
    """Truth: number of heads, which no weight's shape shows."""
    del released_fields["num_attention_heads"]
    with pytest.raises(UsageError, match="lacks num_attention_heads"):
        config_from_released(released_fields)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"{\n,", UsageError), (b"[1]", UsageError), (b"\xff\xfe", UsageError), (None, MissingData)],
)
def test_broken_configuration_file_is_refused(
    tmp_path: Path, content: bytes | None, error: type[UsageError]
) -> None:
    """Truth: files that hold no JSON object."""
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(error, match=r"config\.json"):
        read_config_file(tmp_path / "config.json")


def test_command_converts_and_reports(
    checkpoint: Path,
    released_fields: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Truth: the folder loads; every unused and missing name and unknown field is printed."""
    (checkpoint / "vq_emb").unlink()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"config": {**released_fields, "colour": "red"}}))
    command = ["zoo", "convert", str(checkpoint), str(tmp_path / "out"), "--config", str(config)]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "vq_emb" in captured.err
    assert main([*command, "--allow-partial"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in [*PROJECTIONS, "vq_emb", "colour"])
    Unimo2Model.from_pretrained(tmp_path / "out")
    assert main([*command, "--allow-partial"]) == 2
    assert "not empty" in capsys.readouterr().err
    command[3] = str(tmp_path / "json")
    assert main([*command, "--allow-partial", "--json", "--grounding", "none"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "topk_temperature" in report["unused"] and report["missing"] == []
    assert json.loads((tmp_path / "json" / "config.json").read_text())["attention"] == "dense"


def test_command_without_config_expects_the_base_size(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: a model of two layers is not one of twelve; the message says what to give."""
    assert main(["zoo", "convert", str(checkpoint), str(tmp_path / "out")]) == 2
    assert "--config" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_commands_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    """Truth: the embedded model's card."""
    assert main(["zoo", "list"]) == 0
    assert "mini" in capsys.readouterr().out
    assert main(["zoo", "show", "mini", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["kind"] == "embedded"
    assert main(["zoo", "show", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
