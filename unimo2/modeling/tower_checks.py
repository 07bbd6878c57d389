"""Checks of external towers: weights must give the same outputs as in their own library."""

from __future__ import annotations

import copy
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from unimo2.errors import UsageError
from unimo2.modeling.configuration import Unimo2Config

# Types of transformers' configurations that share RoBERTa's layers, positions and weight names.
ROBERTA_TYPES = ("roberta", "xlm-roberta", "camembert")
# The exact GELU under its two names; all three towers of the model compute it.
_GELU = ("gelu", "gelu_python")
# Of the largest output. Rounding stays below a tenth of it, any other formula is far above.
_TOLERANCE = 1e-4


def check_encoder(fields: dict[str, Any], source: str) -> None:
    """Refuse a text encoder that is not a RoBERTa with the exact GELU.

    Args:
        fields: Its config.json.
        source: Name in messages.

    Raises:
        UsageError: The field whose value is another than expected.
    """
    kinds = " or ".join(ROBERTA_TYPES)
    # Field, its default, the values that it may have, how they are named, and what to do.
    rules = (
        ("model_type", None, ROBERTA_TYPES, kinds, "the text tower can only start from a RoBERTa"),
        ("hidden_act", "gelu", _GELU, "'gelu'", "the model's layers compute no other activation"),
        ("is_decoder", False, (False, None), "false", "take a bidirectional encoder"),
        ("add_cross_attention", False, (False, None), "false", "take a bidirectional encoder"),
        (
            *("position_embedding_type", "absolute", ("absolute", None), "'absolute'"),
            "take a RoBERTa with a table of positions",
        ),
    )
    for name, default, allowed, expected, remedy in rules:
        found = fields.get(name, default)
        if found not in allowed:
            raise UsageError(
                f"{source}: expected {name} {expected} in config.json, got {found!r}; {remedy}"
            )
    if fields.get("pad_token_id", 1) is None:
        raise UsageError(
            f"{source}: expected a pad_token_id, got none; RoBERTa counts positions from it"
        )


def check_vit(vit: nn.Module) -> None:
    """Refuse a ViT that `Unimo2Config` cannot describe.

    Raises:
        UsageError: What it has that a plain ViT has not.
    """
    if type(vit) is not VisionTransformer:
        raise UsageError(
            f"expected timm's VisionTransformer, got {type(vit).__name__}; see load_vit"
        )
    model: Any = vit
    norms = [module for module in vit.modules() if isinstance(module, nn.LayerNorm)]
    patches = model.patch_embed
    plain = {
        "a class token and no registers": model.cls_token is not None
        and model.num_prefix_tokens == 1,
        "absolute positions of the class token and the patches": model.pos_embed is not None
        and model.pos_embed.shape[1] == patches.num_patches + 1,
        "a layer norm after the last block": isinstance(model.norm, nn.LayerNorm),
        "one epsilon in all layer norms": len({norm.eps for norm in norms}) == 1,
        "square images and patches": len(set(patches.img_size)) == 1
        and len(set(patches.patch_size)) == 1,
        "patches side by side without padding": tuple(patches.proj.stride)
        == tuple(patches.patch_size)
        and tuple(patches.proj.padding) == (0, 0),
    }
    for what, there in plain.items():
        if not there:
            raise UsageError(
                f"expected a plain ViT with {what}, got one without; take one that "
                "unimo2.modeling.towers.load_vit accepts"
            )


def check_settings(config: Unimo2Config, vit: VisionTransformer, roberta: Any) -> None:
    """Refuse towers whose settings, which their weights' shapes do not show, are not the model's.

    Args:
        config: The model's.
        vit: A plain ViT (`check_vit`).
        roberta: A RoBERTa (`check_encoder`).

    Raises:
        UsageError: The first setting that differs, and what the model must be given.
    """
    model: Any = vit
    text, heads = roberta.config, config.num_attention_heads
    # Of which tower, its value, the model's, and the field that the model takes it from.
    settings = (
        ("vision", model.blocks[0].attn.num_heads, config.vision_attention_heads or heads,
         "vision_attention_heads"),
        ("vision", model.norm.eps, config.vision_layer_norm_eps, "vision_layer_norm_eps"),
        ("vision", model.patch_embed.proj.padding[0], config.patch_padding, "patch_padding"),
        ("text", text.num_attention_heads, config.text_attention_heads or heads,
         "text_attention_heads"),
        # The Grounded Transformer's layers start from the text tower's.
        ("text", text.num_attention_heads, heads, "num_attention_heads"),
        ("text", text.layer_norm_eps, config.layer_norm_eps, "layer_norm_eps"),
        ("text", text.pad_token_id, config.pad_token_id, "pad_token_id"),
    )  # fmt: skip
    for tower, theirs, ours, field in settings:
        if theirs != ours:
            raise UsageError(
                f"the {tower} tower's weights: expected {field} {ours}, as the model has, got {theirs}; "
                f"give the model {field}={theirs} (in a recipe: model.{field})"
            )


@torch.no_grad()
def check_outputs(
    vision: VisionTransformer, vit: VisionTransformer, text: Any, roberta: Any
) -> None:
    """Run the model's towers and those that they started from over the same random input.

    Whatever is not looked for by name (activation, another order in a block ...) shows here.

    Args:
        vision: The model's ViT, whose positions may be of another size.
        vit: Where its weights are from.
        text: The model's RoBERTa.
        roberta: Where its weights are from.

    Raises:
        UsageError: A tower's outputs differ.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 5, vit.embed_dim, generator=generator)
    ids = torch.randint(text.config.vocab_size, (2, 6), generator=generator)
    ids[1, 3:] = text.config.pad_token_id
    pairs: tuple[tuple[str, Any, Any, Tensor], ...] = (
        ("vision", vision, vit, rows),
        ("text", text, roberta, ids),
    )
    for name, ours, theirs, given in pairs:
        results = [_computed(tower, given) for tower in (ours, theirs)]
        apart = float((results[0] - results[1]).abs().max())
        if not apart <= _TOLERANCE * max(1.0, float(results[1].abs().max())):
            raise UsageError(
                f"the {name} tower: expected the outputs that its weights give in their own library, "
                f"got others by {apart:.2g}; the model has no setting for what it computes"
            )


def _computed(tower: nn.Module, given: Tensor) -> Tensor:
    """Tower outputs in evaluation and float32: from rows [1, n, D] a ViT, from ids a RoBERTa."""
    if any(weight.dtype != torch.float32 for weight in tower.parameters()):
        tower = copy.deepcopy(tower).float()
    training = {module: module.training for module in tower.modules()}
    tower.eval()
    try:
        model: Any = tower
        if isinstance(tower, VisionTransformer):
            return model.norm(model.blocks(model.norm_pre(given)))
        return model(given).last_hidden_state
    finally:
        for module, was in training.items():
            module.training = was
