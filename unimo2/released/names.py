"""The one table between the released checkpoint's parameter names and this model's.

It is read both ways: `convert.convert` follows it from the released files to a state dict,
`convert.export_released` back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unimo2.modeling.configuration import Unimo2Config


@dataclass(frozen=True)
class NamePair:
    """One released parameter, and where it lies in this model's state dict."""

    released: str  # file name in the released checkpoint
    target: str  # name in the state dict of `Unimo2Model`
    # Paddle's fully connected layers are [in, out], those of torch [out, in].
    transposed: bool = False
    # Which third of the target's rows this is, where query, key and value, three files in the release,
    # are one fused projection here.
    part: int | None = None

    def rows(self, target_rows: int) -> slice:
        """The rows of the target that this parameter fills."""
        if self.part is None:
            return slice(0, target_rows)
        third = target_rows // 3
        return slice(self.part * third, (self.part + 1) * third)

    def released_shape(self, target_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the released file, from the shape of its target."""
        shape = target_shape
        if self.part is not None:
            shape = (shape[0] // 3, *shape[1:])
        return shape[::-1] if self.transposed else shape


# RoBERTa's token types: the release has none, so that ours are zeros.
TOKEN_TYPES = "text.roberta.embeddings.token_type_embeddings.weight"
POSITIONS = "vit.position_embeddings"
TEXT_POSITION_TABLE = "text.roberta.embeddings.position_embeddings.weight"

# Parameters that the released code can write and this model never reads: projections and the
# masked grounded-token head, both off in the published configuration; an output matrix of its own
# for the language model; classifiers that were fine-tuned.
NEVER_USED = frozenset(
    f"grounded.{name}.{kind}"
    for name in (
        "grounding_patch_projection",
        "grounding_token_projection",
        "mask_g_trans_fc",
        "mask_g_out_fc",
    )
    for kind in ("w_0", "b_0")
) | {
    "grounded.mask_g_trans_layer_norm_scale",
    "grounded.mask_g_trans_layer_norm_bias",
    "grounded.mask_lm_out_fc.w_0",
    *("cls_out_w", "cls_out_b", "cls_out_new_w", "cls_out_new_b"),
}

_QUERY_KEY_VALUE = tuple(f"multi_head_att_{name}_fc" for name in ("query", "key", "value"))
# Parts of a layer, released name to ours. Where three parts have one name here, it is one projection.
_VISION = {  # pre-norm, timm's names
    "pre_att_layer_norm": "norm1",
    **dict.fromkeys(_QUERY_KEY_VALUE, "attn.qkv"),
    "multi_head_att_output_fc": "attn.proj",
    "pre_ffn_layer_norm": "norm2",
    "ffn_fc_0": "mlp.fc1",
    "ffn_fc_1": "mlp.fc2",
}
_TEXT = {  # post-norm, the names of transformers' RoBERTa
    "multi_head_att_query_fc": "attention.self.query",
    "multi_head_att_key_fc": "attention.self.key",
    "multi_head_att_value_fc": "attention.self.value",
    "multi_head_att_output_fc": "attention.output.dense",
    "post_att_layer_norm": "attention.output.LayerNorm",
    "ffn_fc_0": "intermediate.dense",
    "ffn_fc_1": "output.dense",
    "post_ffn_layer_norm": "output.LayerNorm",
}
_FUSION = {  # post-norm
    **dict.fromkeys(_QUERY_KEY_VALUE, "qkv"),
    "multi_head_att_output_fc": "output",
    "post_att_layer_norm": "attention_norm",
    "ffn_fc_0": "up",
    "ffn_fc_1": "down",
    "post_ffn_layer_norm": "ffn_norm",
}


def reads(config: Unimo2Config, pair: NamePair) -> bool:
    """Whether the forward pass of a configuration ever looks at a parameter.

    What it does not look at need not be in a checkpoint: the released baseline has no grounded
    tokens to normalise, and the 1-to-1 map no temperature.
    """
    if pair.target.startswith("dictionary.") or pair.target.startswith("fusion.grounded_norm."):
        if config.grounding == "none":
            return False
        return config.grounding == "topk" or pair.target != "dictionary.temperature"
    if pair.target.startswith(("contrastive_image_projection.", "contrastive_text_projection.")):
        return config.projects_contrast
    return True


def name_pairs(config: Unimo2Config) -> list[NamePair]:
    """Every released parameter that some model of these numbers of layers has.

    Which of them a configuration looks at, `reads` says.
    """
    embeddings = "text.roberta.embeddings"
    return [
        NamePair("vit.patch_embeddings_projection_weight", "vision.vit.patch_embed.proj.weight"),
        NamePair("vit.patch_embeddings_projection_bias", "vision.vit.patch_embed.proj.bias"),
        NamePair("vit.cls_token_embeddings", "vision.vit.cls_token"),
        NamePair(POSITIONS, "vision.vit.pos_embed"),
        *_layers("vit", "vision.vit.blocks", config.vision_layers, _VISION),
        *_named("vit.post_encoder_layer_norm", "vision.vit.norm"),
        NamePair("text.word_embedding", f"{embeddings}.word_embeddings.weight"),
        NamePair("text.pos_embedding", TEXT_POSITION_TABLE),
        *_named("text.pre_encoder_layer_norm", f"{embeddings}.LayerNorm"),
        *_layers("text", "text.roberta.encoder.layer", config.text_layers, _TEXT),
        # The norm of the grounded tokens alone.
        *_named("grounded.pre_encoder_layer_norm", "fusion.grounded_norm"),
        *_layers("grounded", "fusion.layers", config.fusion_layers, _FUSION),
        NamePair("vq_emb", "dictionary.embedding"),
        NamePair("topk_temperature", "dictionary.temperature"),
        NamePair("cmcl_temperature", "contrastive_temperature"),
        *_named("grounded.pooled_fc_image", "image_pooler"),
        *_named("grounded.pooled_fc_text", "text_pooler"),
        *_named("grounded.img_text_matching_fc", "itm_head"),
        *_named("grounded.cmcl_pooled_fc_image", "contrastive_image_projection"),
        *_named("grounded.cmcl_pooled_fc_text", "contrastive_text_projection"),
        *_named("grounded.mask_lm_trans_fc", "mlm.dense"),
        *_named("grounded.mask_lm_trans_layer_norm", "mlm.norm"),
        # The output matrix is tied to the word embeddings, in the release and here.
        NamePair("grounded.mask_lm_out_fc.b_0", "mlm.bias"),
    ]


def _layers(released: str, target: str, count: int, parts: Mapping[str, str]) -> Iterator[NamePair]:
    fused = len(set(parts.values())) < len(parts)
    for layer in range(count):
        for name, ours in parts.items():
            third = _QUERY_KEY_VALUE.index(name) if fused and name in _QUERY_KEY_VALUE else None
            theirs = f"{released}.encoder_layer_{layer}_{name}"
            yield from _named(theirs, f"{target}.{layer}.{ours}", third)


def _named(released: str, target: str, part: int | None = None) -> Iterator[NamePair]:
    """Weight and bias of a layer norm or of a linear layer."""
    if released.endswith("_norm"):
        yield NamePair(f"{released}_scale", f"{target}.weight")
        yield NamePair(f"{released}_bias", f"{target}.bias")
    else:
        yield NamePair(f"{released}.w_0", f"{target}.weight", transposed=True, part=part)
        yield NamePair(f"{released}.b_0", f"{target}.bias", part=part)
