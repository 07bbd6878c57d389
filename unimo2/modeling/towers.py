"""Towers from elsewhere: timm's plain ViTs and RoBERTa, as the paper initialises them.

Sources: a timm name (weights from timm's hub cache or download), a local weights file together with
its timm name, a transformers hub id or a local folder.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from unimo2.errors import BadCheckpoint, MissingData, UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.fields import TIMM_FOLDER
from unimo2.modeling.fusion import GroundedLayer
from unimo2.modeling.model import Unimo2Model
from unimo2.modeling.vision import interpolate_positions

# timm's plain ViTs: class token, learned absolute positions, pre-norm blocks with biases and GELU,
# one final norm. Any pretrained tag of these (".augreg_in21k" and so on) will do.
_GRIDS = {
    "deit_base": ("16_224", "16_384"),
    "deit_small": ("16_224",),
    "deit_tiny": ("16_224",),
    "vit_base": ("16_224", "16_384", "32_224", "32_384", "8_224"),
    "vit_giant": ("14_224",),
    "vit_gigantic": ("14_224",),
    "vit_huge": ("14_224",),
    "vit_large": ("14_224", "16_224", "16_384", "32_224", "32_384"),
    "vit_small": ("16_224", "16_384", "32_224", "32_384", "8_224"),
    "vit_tiny": ("16_224", "16_384"),
}
PLAIN_VITS = tuple(f"{size}_patch{grid}" for size, grids in _GRIDS.items() for grid in grids)

# What timm calls a model in a folder by.


def load_vit(name: str, weights: Path | None = None) -> VisionTransformer:
    """A plain ViT of timm.

    Args:
        name: A timm model name from `PLAIN_VITS`, with or without a pretrained tag; or
            "local-dir:FOLDER", a model that timm or `unimo2.training.towers` saved.
        weights: A local weights file in timm's format; None for timm's own weights.

    Returns:
        The model, without classifier.

    Raises:
        UsageError: The model is not a plain ViT (registers, relative positions, global pooling).
        MissingData: The weights are not there or cannot be fetched.
        BadCheckpoint: The file does not hold this model's weights.
    """
    architecture = name.split(".", 1)[0]
    if name.startswith(TIMM_FOLDER):
        return _fetch_vit(name)
    if architecture not in PLAIN_VITS:
        raise UsageError(
            f"'{name}' is not a plain ViT of timm (class token, absolute positions, no registers, "
            f"no global pooling); supported: {', '.join(PLAIN_VITS)}"
        )
    if weights is None:
        return _fetch_vit(name)
    if not weights.is_file():
        raise MissingData(f"no ViT weights at {weights}")
    # timm drops the classifier of the file where the model has none.
    try:
        model = timm.create_model(architecture, num_classes=0, checkpoint_path=str(weights))
    except Exception as error:  # unpickling, safetensors and key errors alike
        reason = str(error).strip().splitlines()[0]
        raise BadCheckpoint(
            f"{weights} does not hold weights of {architecture}: {reason}"
        ) from None
    return cast(VisionTransformer, model)


def _fetch_vit(name: str) -> VisionTransformer:
    """A model with timm's own weights."""
    try:
        model = timm.create_model(name, num_classes=0, pretrained=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(
            f"the weights of '{name}' cannot be fetched ({reason}); give a local file instead"
        ) from None
    return cast(VisionTransformer, model)


def load_roberta(source: str | Path) -> RobertaModel:
    """RoBERTa from a hub id or a local folder, in float32, without pooler.

    Args:
        source: What `transformers.RobertaModel.from_pretrained` takes.

    Returns:
        The model.

    Raises:
        MissingData: It is not there.
        UsageError: It is another encoder (BERT, ELECTRA ...), or one with another activation.
        BadCheckpoint: Its weights are missing or of other shapes.
    """
    try:
        check_encoder(RobertaConfig.get_config_dict(source)[0], str(source))
        loaded: Any = RobertaModel.from_pretrained(
            source, add_pooling_layer=False, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(f"no RoBERTa at '{source}': {reason}") from None
    model: RobertaModel
    model, info = loaded
    absent = sorted(info["missing_keys"]) + sorted(str(k[0]) for k in info["mismatched_keys"])
    if absent:
        raise BadCheckpoint(
            f"'{source}' is not a complete RoBERTa: {absent[0]} is missing or has the wrong shape"
        )
    return model


def config_from_towers(
    vit: VisionTransformer, roberta: RobertaModel, **overrides: Any
) -> Unimo2Config:
    """The base configuration with the sizes of two towers.

    Args:
        vit: From `load_vit`.
        roberta: From `load_roberta`; the Grounded Transformer takes its sizes too.
        **overrides: Fields of `Unimo2Config` that are not sizes of the towers.

    Returns:
        The configuration.

    Raises:
        UsageError: The towers are not of the same width, or compute what the model cannot.
    """
    _check_kinds(vit, roberta)
    text = roberta.config
    block: Any = vit.blocks[0]
    sizes = (vit.embed_dim, block.mlp.fc1.out_features)
    if sizes != (text.hidden_size, text.intermediate_size):
        raise UsageError(
            f"the ViT has widths {sizes[0]} and {sizes[1]}, RoBERTa {text.hidden_size} and "
            f"{text.intermediate_size}: both towers must have the same"
        )
    fields: dict[str, Any] = {
        "image_size": vit.patch_embed.img_size[0],
        "patch_size": vit.patch_embed.patch_size[0],
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_attention_heads": text.num_attention_heads,
        "vision_attention_heads": block.attn.num_heads,
        "vision_layers": len(vit.blocks),
        "text_layers": text.num_hidden_layers,
        "fusion_layers": text.num_hidden_layers,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "pad_token_id": text.pad_token_id,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "vision_layer_norm_eps": vit.norm.eps,
        "layer_norm_eps": text.layer_norm_eps,
    }
    return Unimo2Config(**{**fields, **overrides})


def from_towers(vit: VisionTransformer, roberta: RobertaModel, **overrides: Any) -> Unimo2Model:
    """A UNIMO-2 model whose towers, and Grounded Transformer, start from these weights.

    As in the paper (section 4): the Visual Transformer from the ViT, the Text Transformer and the
    Grounded Transformer both from RoBERTa. The dictionary and the heads are new.

    Args:
        vit: From `load_vit`.
        roberta: From `load_roberta`.
        **overrides: Fields of `Unimo2Config`, for example fusion_layers or image_size.

    Returns:
        The model, in evaluation mode.

    Raises:
        UsageError: The towers do not fit each other or the overrides, more fusion layers than
            RoBERTa has, or towers that compute what the model cannot.
    """
    config = config_from_towers(vit, roberta, **overrides)
    model = Unimo2Model(config).eval()
    start_from_towers(model, vit, roberta)
    return model


def start_from_towers(model: Unimo2Model, vit: VisionTransformer, roberta: RobertaModel) -> None:
    """Give a model's towers and Grounded Transformer these weights, as `from_towers` does.

    The towers then give what timm and transformers give with the same weights.

    Raises:
        UsageError: The towers are of other sizes or settings than the model's, have fewer layers,
            or compute what the model cannot.
    """
    _check_kinds(vit, roberta)
    check_settings(cast(Unimo2Config, model.config), vit, roberta)
    layers, wanted = roberta.encoder.layer, model.config.fusion_layers
    if wanted > len(layers):
        raise UsageError(
            f"fusion_layers={wanted}, but RoBERTa has {len(layers)} layers to start from"
        )
    try:
        _copy(vit.state_dict(), model.vision.vit, skip="head.")
        _copy(roberta.state_dict(), model.text.roberta, skip="pooler.")
        for ours, theirs in zip(model.fusion.layers, layers, strict=False):
            copy_layer(theirs, cast(GroundedLayer, ours))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"the towers are of other sizes than the model: {reason}") from None
    check_outputs(model.vision.vit, vit, model.text.roberta, roberta)


def _check_kinds(vit: nn.Module, roberta: Any) -> None:
    """Refuse what is not a plain ViT or no RoBERTa."""
    check_vit(vit)
    check_encoder(roberta.config.to_dict(), type(roberta).__name__)


@torch.no_grad()
def copy_layer(theirs: Any, ours: GroundedLayer) -> None:
    """Give a Grounded Transformer layer the weights of a RoBERTa layer."""
    attention = theirs.attention
    asked = (attention.self.query, attention.self.key, attention.self.value)
    ours.qkv.weight.copy_(torch.cat([part.weight for part in asked]))
    ours.qkv.bias.copy_(torch.cat([part.bias for part in asked]))
    pairs = (
        (ours.output, attention.output.dense),
        (ours.attention_norm, attention.output.LayerNorm),
        (ours.up, theirs.intermediate.dense),
        (ours.down, theirs.output.dense),
        (ours.ffn_norm, theirs.output.LayerNorm),
    )
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())


def _copy(state: dict[str, torch.Tensor], module: nn.Module, skip: str) -> None:
    """Load strictly, but for the names with that prefix, into positions of the module's size."""
    state = {name: value for name, value in state.items() if not name.startswith(skip)}
    wanted = module.state_dict()
    types = "embeddings.token_type_embeddings.weight"
    if types in state:
        # UNIMO-2 has no token types; RoBERTa's first row is part of every token's embedding.
        state[types] = state[types][: wanted[types].shape[0]]
    if "pos_embed" in state and state["pos_embed"].shape != wanted["pos_embed"].shape:
        state["pos_embed"] = _resized(state["pos_embed"], wanted["pos_embed"].shape[1])
    module.load_state_dict(state, strict=True)


def _resized(positions: torch.Tensor, rows: int) -> torch.Tensor:
    """Position embeddings [1, 1 + a * a, D] for a grid of rows - 1 patches."""
    grid = round((rows - 1) ** 0.5)
    return torch.cat([positions[:, :1], interpolate_positions(positions[:, 1:], grid)], dim=1)


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
