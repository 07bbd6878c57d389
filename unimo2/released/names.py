"""The one table between the released checkpoint's parameter names and this model's.

It is read both ways: `convert.convert` follows it from the released files to a state dict,
`convert.export_released` back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unimo2.modeling.configuration import Unimo2Config


@dataclass(frozen=True)
class NamePair:
    """One released parameter, and where it lies in this model's state dict.

    Args:
        released: File name in the released checkpoint.
        target: Name in the state dict of `Unimo2Model`.
        transposed: Whether the released file holds the transpose (Paddle's fully connected layers
            are [in, out], those of torch [out, in]).
        part: Which third of the target's rows this is, where query, key and value, three files in
            the release, are one fused projection here; None where the target is the whole.
    """

    released: str
    target: str
    transposed: bool = False
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
    {
        "grounded.grounding_patch_projection.w_0",
        "grounded.grounding_patch_projection.b_0",
        "grounded.grounding_token_projection.w_0",
        "grounded.grounding_token_projection.b_0",
        "grounded.mask_g_trans_fc.w_0",
        "grounded.mask_g_trans_fc.b_0",
        "grounded.mask_g_trans_layer_norm_scale",
        "grounded.mask_g_trans_layer_norm_bias",
        "grounded.mask_g_out_fc.w_0",
        "grounded.mask_g_out_fc.b_0",
        "grounded.mask_lm_out_fc.w_0",
        "cls_out_w",
        "cls_out_b",
        "cls_out_new_w",
        "cls_out_new_b",
    }
)


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
    pairs = [*_vision(config), *_text(config), *_fusion(config)]
    pairs += [
        NamePair("vq_emb", "dictionary.embedding"),
        NamePair("topk_temperature", "dictionary.temperature"),
        NamePair("cmcl_temperature", "contrastive_temperature"),
    ]
    for released, target in (
        ("grounded.pooled_fc_image", "image_pooler"),
        ("grounded.pooled_fc_text", "text_pooler"),
        ("grounded.img_text_matching_fc", "itm_head"),
        ("grounded.cmcl_pooled_fc_image", "contrastive_image_projection"),
        ("grounded.cmcl_pooled_fc_text", "contrastive_text_projection"),
        ("grounded.mask_lm_trans_fc", "mlm.dense"),
    ):
        pairs += _linear(released, target)
    pairs += _norm("grounded.mask_lm_trans_layer_norm", "mlm.norm")
    # The output matrix is tied to the word embeddings, in the release and here.
    pairs.append(NamePair("grounded.mask_lm_out_fc.b_0", "mlm.bias"))
    return pairs


def _linear(released: str, target: str, part: int | None = None) -> Iterator[NamePair]:
    yield NamePair(f"{released}.w_0", f"{target}.weight", transposed=True, part=part)
    yield NamePair(f"{released}.b_0", f"{target}.bias", part=part)


def _norm(released: str, target: str) -> Iterator[NamePair]:
    yield NamePair(f"{released}_scale", f"{target}.weight")
    yield NamePair(f"{released}_bias", f"{target}.bias")


def _fused_attention(released: str, qkv: str, output: str) -> Iterator[NamePair]:
    for part, name in enumerate(("query", "key", "value")):
        yield from _linear(f"{released}_{name}_fc", qkv, part)
    yield from _linear(f"{released}_output_fc", output)


def _vision(config: Unimo2Config) -> Iterator[NamePair]:
    """Pre-norm layers, timm's names."""
    yield NamePair("vit.patch_embeddings_projection_weight", "vision.vit.patch_embed.proj.weight")
    yield NamePair("vit.patch_embeddings_projection_bias", "vision.vit.patch_embed.proj.bias")
    yield NamePair("vit.cls_token_embeddings", "vision.vit.cls_token")
    yield NamePair(POSITIONS, "vision.vit.pos_embed")
    for layer in range(config.vision_layers):
        released, target = f"vit.encoder_layer_{layer}", f"vision.vit.blocks.{layer}"
        yield from _norm(f"{released}_pre_att_layer_norm", f"{target}.norm1")
        yield from _fused_attention(
            f"{released}_multi_head_att", f"{target}.attn.qkv", f"{target}.attn.proj"
        )
        yield from _norm(f"{released}_pre_ffn_layer_norm", f"{target}.norm2")
        yield from _linear(f"{released}_ffn_fc_0", f"{target}.mlp.fc1")
        yield from _linear(f"{released}_ffn_fc_1", f"{target}.mlp.fc2")
    yield from _norm("vit.post_encoder_layer_norm", "vision.vit.norm")


def _text(config: Unimo2Config) -> Iterator[NamePair]:
    """Post-norm layers, the names of transformers' RoBERTa."""
    embeddings = "text.roberta.embeddings"
    yield NamePair("text.word_embedding", f"{embeddings}.word_embeddings.weight")
    yield NamePair("text.pos_embedding", TEXT_POSITION_TABLE)
    yield from _norm("text.pre_encoder_layer_norm", f"{embeddings}.LayerNorm")
    for layer in range(config.text_layers):
        released, target = f"text.encoder_layer_{layer}", f"text.roberta.encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            yield from _linear(
                f"{released}_multi_head_att_{name}_fc", f"{target}.attention.self.{name}"
            )
        yield from _linear(
            f"{released}_multi_head_att_output_fc", f"{target}.attention.output.dense"
        )
        yield from _norm(f"{released}_post_att_layer_norm", f"{target}.attention.output.LayerNorm")
        yield from _linear(f"{released}_ffn_fc_0", f"{target}.intermediate.dense")
        yield from _linear(f"{released}_ffn_fc_1", f"{target}.output.dense")
        yield from _norm(f"{released}_post_ffn_layer_norm", f"{target}.output.LayerNorm")


def _fusion(config: Unimo2Config) -> Iterator[NamePair]:
    """Post-norm layers of the Grounded Transformer, and the norm of the grounded tokens alone."""
    yield from _norm("grounded.pre_encoder_layer_norm", "fusion.grounded_norm")
    for layer in range(config.fusion_layers):
        released, target = f"grounded.encoder_layer_{layer}", f"fusion.layers.{layer}"
        yield from _fused_attention(
            f"{released}_multi_head_att", f"{target}.qkv", f"{target}.output"
        )
        yield from _norm(f"{released}_post_att_layer_norm", f"{target}.attention_norm")
        yield from _linear(f"{released}_ffn_fc_0", f"{target}.up")
        yield from _linear(f"{released}_ffn_fc_1", f"{target}.down")
        yield from _norm(f"{released}_post_ffn_layer_norm", f"{target}.ffn_norm")
