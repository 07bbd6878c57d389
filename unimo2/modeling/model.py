"""UNIMO-2: two towers, the grounded dictionary, the Grounded Transformer, and its first heads.

Shapes: b batch, s image side, p patches, n text tokens, K grounded tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from unimo2.errors import BadCheckpoint, UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.contrast import info_nce
from unimo2.modeling.fusion import GroundedLayer, GroundedTransformer, join_pooled, joined_width
from unimo2.modeling.grounding import GroundedDictionary, Grounding
from unimo2.modeling.text import TextTransformer
from unimo2.modeling.token_statistics import TEXT
from unimo2.modeling.vision import VisualTransformer

# Range to which the released code clips the temperature of the contrastive loss.
_CONTRASTIVE_TEMPERATURE_RANGE = (0.001, 0.5)


@dataclass
class Unimo2Output(ModelOutput):
    """Outputs of a forward pass; fields that the input does not allow are None."""

    vision: Tensor | None = None  # [b, p + 1, D] Visual Transformer
    text: Tensor | None = None  # [b, n, D] Text Transformer
    grounded_indices: Tensor | None = None  # [b, K] chosen dictionary rows
    grounded_tokens: Tensor | None = None  # [b, K, D] those rows, before the layer norm
    grounding_loss: Tensor | None = None  # scalar, equation 3
    fused_visual: Tensor | None = None  # [b, p + 1, D] Grounded Transformer
    fused_grounded: Tensor | None = None  # [b, K, D]
    fused_text: Tensor | None = None  # [b, n, D]
    pooled_image: Tensor | None = None  # [b, D]
    pooled_text: Tensor | None = None  # [b, D]
    itm_logits: Tensor | None = None  # [b, 2], class 1 = match
    cmcl_score: Tensor | None = None  # [b] contrastive score of each pair
    mlm_loss: Tensor | None = None  # scalar, given labels
    cmcl_loss: Tensor | None = None  # scalar, given return_loss
    lm_logits: Tensor | None = None  # [b, n, vocabulary], captioning


class MlmHead(nn.Module):
    """Hidden states to token logits; the output weight is the word embedding's."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Logits [..., vocabulary] of hidden states [..., D], given the embedding [vocabulary, D]."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embedding, self.bias)


class Unimo2PreTrainedModel(PreTrainedModel):
    """Initial weights, strict loading and float32 by default, for all models of the family."""

    config_class = Unimo2Config
    base_model_prefix = "unimo2"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["GroundedLayer", "RobertaLayer", "Block"]
    # Parts of a checkpoint that a configuration can switch off; loading then leaves them out.
    _keys_to_ignore_on_load_unexpected = [
        r"^dictionary\.",
        r"^contrastive_(image|text)_projection\.",
    ]
    # Prefixes of heads that a checkpoint may lack: fine-tuning adds them.
    _optional_parts: tuple[str, ...] = ()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VisionTransformer):
            std = self.config.patch_position_range
            init.trunc_normal_(cast(Tensor, module.pos_embed), std=std)
            init.normal_(cast(Tensor, module.cls_token), std=1e-6)
        elif isinstance(module, GroundedDictionary):
            bound = 1.0 / module.embedding.shape[0]
            init.uniform_(module.embedding, -bound, bound)
            init.constant_(module.temperature, module.initial_temperature)
        elif isinstance(module, MlmHead):
            init.zeros_(module.bias)
        elif isinstance(module, Unimo2Model):
            init.constant_(module.contrastive_temperature, module.config.contrastive_temperature)
            # As in GPT-2, meant to let the towers' outputs reach the heads through all layers from
            # random weights; its effect was not measured by itself.
            std = self.config.initializer_range / (2 * self.config.fusion_layers) ** 0.5
            for layer in cast(list[GroundedLayer], module.fusion.layers):
                init.normal_(layer.output.weight, std=std)
                init.normal_(layer.down.weight, std=std)
            # Cross entropy trains the logits' difference alone, and the score reads logit[1]: rows that
            # start opposite have opposite gradients, and stay so under Adam, clipping and decay.
            match = module.itm_head.weight[1:].clone()
            init.copy_(module.itm_head.weight, torch.cat([-match, match]))
            init.zeros_(module.itm_head.bias)
            if self.config.itm_input == "product":
                # Equal poolers make the product a similarity, on which matching can build.
                init.copy_(module.text_pooler.weight, module.image_pooler.weight)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load weights strictly: as `transformers` does it, in float32 unless `dtype` is given.

        Raises:
            BadCheckpoint: A weight is missing, unexpected or of another shape; the first few are
                named. Weights that the configuration switches off (the dictionary when
                grounding="none", contrastive projections) may be there.
        """
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        model._require_exact_weights(info, pretrained_model_name_or_path)
        return (model, info) if wants_info else model

    def _require_exact_weights(self, info: dict[str, Any], source: Any) -> None:
        """Raise BadCheckpoint for weights that are missing, unexpected or mis-shaped."""
        problems = {
            "missing": [k for k in info["missing_keys"] if not k.startswith(self._optional_parts)],
            "unexpected": list(info["unexpected_keys"]),
            "of another shape": [str(key[0]) for key in info["mismatched_keys"]],
        }
        for what, names in problems.items():
            if names:
                some = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
                raise BadCheckpoint(f"{source}: {len(names)} weights are {what}: {some}")


class Unimo2Model(Unimo2PreTrainedModel):
    """The pre-trained model: towers, dictionary, fusion; matching, contrastive and token heads."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__(config)
        config.check()
        width = config.hidden_size
        self.vision = VisualTransformer(config)
        self.text = TextTransformer(config)
        self.dictionary = None if config.grounding == "none" else GroundedDictionary(config)
        self.fusion = GroundedTransformer(config)
        self.image_pooler = nn.Linear(width, width)
        self.text_pooler = nn.Linear(width, width)
        self.itm_head = nn.Linear(joined_width(config.itm_input, width), 2)
        self.mlm = MlmHead(config)
        if config.projects_contrast:
            self.contrastive_image_projection = nn.Linear(width, width)
            self.contrastive_text_projection = nn.Linear(width, width)
        self.contrastive_temperature = nn.Parameter(torch.empty(1))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word embedding of the text tower."""
        return self.text.roberta.embeddings.word_embeddings

    def encode_image(self, pixel_values: Tensor) -> Tensor:
        """Only the Visual Transformer: [b, 3, s, s] to [b, p + 1, D], the class token first."""
        return self.vision(pixel_values)

    def encode_text(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Only the Text Transformer.

        Args:
            input_ids: [b, n].
            attention_mask: [b, n], 1 for real tokens; all real when None.
            position_ids: [b, n]; RoBERTa's own count when None.
            causal: Whether a token sees earlier tokens only.

        Returns:
            [b, n, D].
        """
        return self.text(input_ids, attention_mask, position_ids, causal)

    def ground(
        self,
        vision: Tensor | None,
        text: Tensor | None,
        attention_mask: Tensor | None = None,
        with_loss: bool = True,
    ) -> Grounding:
        """Choose grounded tokens from tower outputs, without class and first text token.

        Args:
            vision: [b, p + 1, D] or None.
            text: [b, n, D] or None.
            attention_mask: [b, n]; padding counts only where the configuration says "counted".
            with_loss: Whether equation 3 is computed.

        Returns:
            Chosen rows and loss.

        Raises:
            UsageError: The model has no dictionary.
        """
        if self.dictionary is None:
            raise UsageError("this model was built with grounding='none': it has no dictionary")
        tokens = [part[:, 1:].float() for part in (vision, text) if part is not None]
        patches = 0 if vision is None else vision.shape[1] - 1
        mask = None
        if text is not None and attention_mask is not None and self.config.padding == "masked":
            real = attention_mask.new_ones(len(attention_mask), patches)
            mask = torch.cat([real, attention_mask[:, 1:]], dim=1)
        return self.dictionary(torch.cat(tokens, dim=1), mask, with_loss, patches)

    def fuse(
        self,
        vision: Tensor | None = None,
        text: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        pooled_only: bool = False,
        causal: bool = False,
        grounded_indices: Tensor | None = None,
    ) -> Unimo2Output:
        """Ground tower outputs and fuse them in the Grounded Transformer.

        Args:
            vision: [b, p + 1, D] from `encode_image`, or None.
            text: [b, n, D] from `encode_text`, or None.
            attention_mask: [b, n], 1 for real tokens; all real when None.
            pooled_only: Compute in the last layer just the rows that the pooled outputs need, and
                no grounding loss; the fused rows are then None.
            causal: Captioning: grounded tokens come from the image alone, and text rows see visual,
                grounded and earlier text rows (released code).
            grounded_indices: [b, K] rows chosen beforehand (with `dictionary.select` from summed
                `dictionary.scores`); no loss is computed then.

        Returns:
            Everything that the input allows.

        Raises:
            UsageError: Neither image nor text was given.
        """
        if vision is None and text is None:
            raise UsageError("fuse() needs tower outputs of images, of texts, or of both")
        out = Unimo2Output(vision=vision, text=text)
        grounded, grounded_mask = None, None
        if self.dictionary is not None:
            if grounded_indices is not None:
                grounding = Grounding(
                    grounded_indices, self.dictionary.rows(grounded_indices), None, None
                )
            else:
                read_text = None if causal and vision is not None else text
                grounding = self.ground(
                    vision, read_text, attention_mask, with_loss=not pooled_only
                )
            grounded, grounded_mask = grounding.tokens, grounding.mask
            out.grounded_indices, out.grounded_tokens = grounding.indices, grounded
            out.grounding_loss = grounding.loss
        layout = self.fusion.make_layout(
            vision, grounded, text, attention_mask, grounded_mask, causal
        )
        if pooled_only:
            first_visual, first_text = self.fusion.pool(vision, grounded, text, layout)
        else:
            fused = self.fusion(vision, grounded, text, layout)
            out.fused_visual, out.fused_grounded, out.fused_text = fused
            first_visual = None if fused[0] is None else fused[0][:, 0]
            first_text = None if fused[2] is None else fused[2][:, 0]
        self.fill_pooled_outputs(out, first_visual, first_text)
        return out

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_loss: bool = False,
        causal: bool = False,
    ) -> Unimo2Output:
        """Whole model over pairs, images alone or texts alone.

        Args:
            pixel_values: [b, 3, s, s] normalised images, or None.
            input_ids: [b, n] token ids, or None.
            attention_mask: [b, n], 1 for real tokens; all real when None.
            position_ids: [b, n]; RoBERTa's own count when None.
            labels: [b, n] token ids to predict, -100 elsewhere: gives `mlm_loss`.
            return_loss: Whether `cmcl_loss`, the contrastive loss within the batch, is computed.
            causal: Captioning: gives `lm_logits`, for the token after each position.

        Returns:
            Everything that the input allows.

        Raises:
            UsageError: Neither images nor texts, or labels without texts.
        """
        if labels is not None and input_ids is None:
            raise UsageError("labels were given without input_ids: expected both")
        vision = None if pixel_values is None else self.encode_image(pixel_values)
        text = None
        if input_ids is not None:
            text = self.encode_text(input_ids, attention_mask, position_ids, causal)
        out = self.fuse(vision, text, attention_mask, causal=causal)
        if vision is not None and text is not None:
            images, texts = self.image_features(vision), self.text_features(text)
            out.cmcl_score = (images * texts).sum(dim=-1)
            if return_loss:
                out.cmcl_loss = self.contrastive_loss(images, texts)
        if causal and out.fused_text is not None:
            out.lm_logits = self.mlm_head(out.fused_text)
        if labels is not None and out.fused_text is not None:
            wanted = labels != -100
            out.mlm_loss = F.cross_entropy(
                self.mlm_head(out.fused_text[wanted]).float(), labels[wanted]
            )
        return out

    def mlm_head(self, hidden: Tensor) -> Tensor:
        """Token logits [..., vocabulary] of fused text rows [..., D] (tied embedding)."""
        return self.mlm(hidden, self.text.roberta.embeddings.word_embeddings.weight)

    def image_features(self, vision: Tensor) -> Tensor:
        """The image side of the contrastive score.

        Args:
            vision: [b, p + 1, D] from `encode_image`.

        Returns:
            [b, D] in float32; its dot product with a text's side is the score.
        """
        first = vision[:, 0]
        if self.config.projects_contrast:
            first = _projected(first, self.contrastive_image_projection)
        return F.normalize(first.float(), dim=-1)

    def text_features(self, text: Tensor) -> Tensor:
        """The text side of the contrastive score, [b, n, D] from `encode_text` to [b, D] in float32.

        The released code normalises it only where there is a projection.
        """
        first = text[:, 0]
        if self.config.projects_contrast:
            first = _projected(first, self.contrastive_text_projection)
        elif not self.config.normalize_text:
            return first.float()
        return F.normalize(first.float(), dim=-1)

    @property
    def clamped_temperature(self) -> Tensor:
        """The contrastive temperature, within the range to which the released code clips it, [1]."""
        return self.contrastive_temperature.float().clamp(*_CONTRASTIVE_TEMPERATURE_RANGE)

    def contrastive_loss(
        self,
        image_features: Tensor,
        text_features: Tensor,
        everyone: tuple[Tensor, Tensor] | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """InfoNCE of `image_features` and `text_features` at the model's temperature: `info_nce`."""
        temperature = self.clamped_temperature
        return info_nce(image_features, text_features, temperature, everyone, targets)

    @torch.no_grad()
    def dictionary_scores(
        self, vision: Tensor, text: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Equation 2 of images and of texts apart; those of a pair are the sum of both.

        Args:
            vision: [i, p + 1, D] from `encode_image`.
            text: [t, n, D] from `encode_text`.
            attention_mask: [t, n].

        Returns:
            [i, C] and [t, C], of whose sums `dictionary.select` chooses; None where the model chooses
            for itself (1-to-1 map, no dictionary).
        """
        if self.dictionary is None or self.dictionary.nearest:
            return None
        mask = None if self.config.padding == "counted" else attention_mask[:, 1:]
        text_scores = self.dictionary.scores(text[:, 1:], mask, TEXT)
        return self.dictionary.scores(vision[:, 1:]), text_scores

    def fill_pooled_outputs(
        self, out: Unimo2Output, first_visual: Tensor | None, first_text: Tensor | None
    ) -> None:
        """Fill in the pooled outputs and the matching logits from the fused first rows."""
        if first_visual is not None:
            first_visual = first_visual.to(self.image_pooler.weight.dtype)
            out.pooled_image = torch.relu(self.image_pooler(first_visual))
        if first_text is not None:
            first_text = first_text.to(self.text_pooler.weight.dtype)
            out.pooled_text = torch.relu(self.text_pooler(first_text))
        if out.pooled_image is not None and out.pooled_text is not None:
            joined = join_pooled(self.config.itm_input, out.pooled_image, out.pooled_text)
            if self.training and self.config.hidden_dropout:  # released; else no number is drawn
                joined = F.dropout(joined, self.config.hidden_dropout)
            out.itm_logits = self.itm_head(joined)


def _projected(first: Tensor, projection: nn.Linear) -> Tensor:
    """ReLU projection of a tower's first output, [b, D] to the same."""
    return torch.relu(projection(first.to(projection.weight.dtype)))
