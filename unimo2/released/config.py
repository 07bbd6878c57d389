"""The released code's configuration fields, and their names here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimo2.errors import MissingData, UsageError
from unimo2.released.lodtensor import shown

# Released field -> ours. The text and vision towers have fields of their own with a prefix.
_FIELDS = {
    "num_hidden_layers": "fusion_layers",
    "text_num_hidden_layers": "text_layers",
    "vit_num_hidden_layers": "vision_layers",
    "num_attention_heads": "num_attention_heads",
    "text_num_attention_heads": "text_attention_heads",
    "vit_num_attention_heads": "vision_attention_heads",
    "text_vocab_size": "vocab_size",
    "text_max_position_embeddings": "max_position_embeddings",
    "vit_layer_norm_eps": "vision_layer_norm_eps",
    "initializer_range": "initializer_range",
    "resolution": "patch_size",
    "image_size": "image_size",
    # These two are command-line arguments of the released code, and fields of an oracle's config.
    "num_codebook": "dictionary_size",
    "topk_value": "grounded_tokens",
}
# One value for all towers here: the released fields must agree.
_SHARED = {
    "hidden_size": ("hidden_size", "text_hidden_size", "vit_hidden_size"),
    "hidden_dropout": (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "text_hidden_dropout_prob",
        "text_attention_probs_dropout_prob",
    ),
}
_REQUIRED = (
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "text_num_hidden_layers",
    "vit_num_hidden_layers",
    "text_vocab_size",
)
# The only value that this model has for a field of the released code.
_FIXED: dict[str, object] = {
    "hidden_act": "gelu",
    "text_hidden_act": "gelu",
    "vit_hidden_act": "gelu",
    "vit_hidden_dropout_prob": 0,
    "vit_attention_probs_dropout_prob": 0,
    "type_vocab_size": 0,
    "fusion_method": "mul",
}
# Fields that say nothing about the pre-trained model.
_IGNORED = ("max_position_embeddings", "num_labels", "use_neg_lm_loss")

GROUNDINGS = ("topk", "nearest", "none")

# `grounded_base_en.json` of the release, as far as it says something about the model.
BASE_FIELDS: dict[str, Any] = {
    **dict.fromkeys(_SHARED["hidden_size"], 768),
    **dict.fromkeys(_SHARED["hidden_dropout"], 0.1),
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "text_num_hidden_layers": 12,
    "vit_num_hidden_layers": 12,
    "text_vocab_size": 50265,
    "text_max_position_embeddings": 514,
    "vit_layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "resolution": 16,
    "image_size": 224,
}


def config_from_released(fields: Mapping[str, Any], grounding: str = "topk") -> dict[str, Any]:
    """Arguments for `Unimo2Config.released` from the released code's configuration.

    Args:
        fields: The released fields (`grounded_base_en.json`), with `num_codebook` and `topk_value`
            beside them when they are not the release's 2048 and 100; or a mapping that holds them
            under "config".
        grounding: "topk" as the released checkpoint, "nearest" (the 1-to-1 map), or "none": the
            released baseline, dense attention and contrastive scores between projections.

    Returns:
        Arguments by name.

    Raises:
        UsageError: A field is missing, or has a value that this model does not have.
    """
    fields = _inner(fields)
    if grounding not in GROUNDINGS:
        raise UsageError(f"grounding {grounding!r} is not one of {', '.join(GROUNDINGS)}")
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise UsageError(f"the released configuration lacks {', '.join(missing)}")
    for name, only in _FIXED.items():
        if name in fields and fields[name] != only:
            raise UsageError(
                f"released configuration: {name}={fields[name]!r}, this model has {only!r}"
            )
    arguments = {ours: fields[name] for name, ours in _FIELDS.items() if name in fields}
    for ours, names in _SHARED.items():
        values = [fields[name] for name in names if name in fields]
        if any(value != values[0] for value in values):
            given = ", ".join(f"{name}={fields[name]!r}" for name in names if name in fields)
            raise UsageError(f"released configuration: {given} differ; this model has one {ours}")
        if values:
            arguments[ours] = values[0]
    for tower in ("text_attention_heads", "vision_attention_heads"):
        if arguments.get(tower) == arguments["num_attention_heads"]:
            del arguments[tower]
    # Nowhere a field in the released code: four times the width, and "same" padding of patches.
    arguments["intermediate_size"] = 4 * _whole(arguments, "hidden_size")
    if "patch_size" in arguments:
        arguments["patch_padding"] = (_whole(arguments, "patch_size") - 1) // 2
    arguments["grounding"] = grounding
    if grounding == "none":
        arguments.update(attention="dense")
    return arguments


def unknown_fields(fields: Mapping[str, Any]) -> list[str]:
    """Fields of a released configuration that `config_from_released` knows nothing of."""
    known = {*_FIELDS, *_FIXED, *_IGNORED}.union(*_SHARED.values())
    return sorted(name for name in _inner(fields) if name not in known)


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the JSON file of a released configuration.

    Raises:
        MissingData: The file does not exist.
        UsageError: It is not a JSON object.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingData(f"{shown(path)}: no such configuration file") from error
    except OSError as error:
        raise UsageError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{shown(path)}: line {error.lineno}: not JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown(path)}: not a text file, JSON in UTF-8 is expected") from error
    if not isinstance(fields, dict):
        raise UsageError(f"{shown(path)}: a JSON object of configuration fields is expected")
    return fields


def _inner(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields themselves, where they lie under "config"."""
    inner = fields.get("config", fields)
    if not isinstance(inner, Mapping):
        raise UsageError('released configuration: "config" must hold the fields by name')
    return inner


def _whole(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"released configuration: {name}={value!r} must be a whole number")
    return value
