"""Towers from elsewhere: timm's plain ViTs and RoBERTa, as the paper initialises them.

Sources: a timm name (weights from timm's hub cache or download), a local weights file together with
its timm name, a transformers hub id or a local folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import RobertaConfig, RobertaModel

from unimo2.errors import BadCheckpoint, MissingData, UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.fusion import GroundedLayer
from unimo2.modeling.model import Unimo2Model
from unimo2.modeling.tower_checks import check_encoder, check_outputs, check_settings, check_vit
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
TIMM_FOLDER = "local-dir:"


def load_vit(name: str, weights: Path | None = None, pretrained: bool = True) -> VisionTransformer:
    """A plain ViT of timm.

    Args:
        name: A timm model name from `PLAIN_VITS`, with or without a pretrained tag; or
            "local-dir:FOLDER", a model that timm or `unimo2.training.towers` saved.
        weights: A local weights file in timm's format; None for timm's own weights.
        pretrained: Whether timm's weights are fetched when no file is given.

    Returns:
        The model, without classifier.

    Raises:
        UsageError: The model is not a plain ViT (registers, relative positions, global pooling).
        MissingData: The weights are not there or cannot be fetched.
        BadCheckpoint: The file does not hold this model's weights.
    """
    architecture = name.split(".", 1)[0]
    if name.startswith(TIMM_FOLDER):
        return _fetch_vit(name, pretrained=True)
    if architecture not in PLAIN_VITS:
        raise UsageError(
            f"'{name}' is not a plain ViT of timm (class token, absolute positions, no registers, "
            f"no global pooling); supported: {', '.join(PLAIN_VITS)}"
        )
    if weights is None:
        return _fetch_vit(name, pretrained)
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


def _fetch_vit(name: str, pretrained: bool) -> VisionTransformer:
    """Timm's own weights, or its initial ones."""
    try:
        model = timm.create_model(name, num_classes=0, pretrained=pretrained)
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
