"""Peers of UNIMO-2 at its own size, on its own pairs: a CLIP and a ViLT of transformers.

Sizes are those of the recipe's `[model]`, as far as a peer has them: CLIP has the two towers, ViLT is one
stream of `fusion_layers` layers. What is saved is a folder of transformers with its processor.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerBase,
    ViltConfig,
    ViltForImageAndTextRetrieval,
    ViltForMaskedLM,
    ViltImageProcessor,
    ViltModel,
    ViltProcessor,
)

from unimo2.data.batches import MixedBatch, PairBatch
from unimo2.data.seeding import seeded_weights, spread
from unimo2.errors import UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.padding import IGNORED, selected_rows
from unimo2.modeling.towers import load_vit
from unimo2.processing import DEFAULT_MEAN, DEFAULT_STD
from unimo2.training.config import PretrainConfig
from unimo2.training.distributed import mean_cross_entropy
from unimo2.training.losses import draw_negatives, same_pair
from unimo2.training.objectives import Everyone
from unimo2.training.pretraining import PairTask, PretrainingRun

# CLIP's logits are at most 100 times the cosine (Radford et al., 2021, section 2.5).
_LARGEST_LOGIT_SCALE = math.log(100.0)
# Of each batch ViLT is shown this share with another image (Kim et al., 2021, section 3.2).
_FALSE_IMAGES = 0.5


class ClipObjective(nn.Module):
    """CLIP under its loss: InfoNCE of the pairs of all processes."""

    def __init__(self, sizes: Unimo2Config, longest: int) -> None:
        """Build a CLIP with the towers' sizes and texts of at most `longest` tokens."""
        super().__init__()
        self.pad_id = sizes.pad_token_id
        common = {
            "hidden_size": sizes.hidden_size,
            "intermediate_size": sizes.intermediate_size,
            "num_attention_heads": sizes.num_attention_heads,
        }
        text = {
            "num_hidden_layers": sizes.text_layers,
            "vocab_size": sizes.vocab_size,
            "max_position_embeddings": longest,
            "pad_token_id": sizes.pad_token_id,
            "bos_token_id": sizes.bos_token_id,
            # What `as_clip_reads` adds to the tokenizer; 2 would mean "the greatest id" (transformers).
            "eos_token_id": sizes.vocab_size - 1,
        }
        vision = {
            "num_hidden_layers": sizes.vision_layers,
            "image_size": sizes.image_size,
            "patch_size": sizes.patch_size,
            "initializer_range": sizes.initializer_range,  # of the patches, beside their positions
        }
        self.model = CLIPModel(
            CLIPConfig(
                text_config=common | text,
                vision_config=common | vision,
                projection_dim=sizes.hidden_size,
            )
        )
        places = self.model.vision_model.embeddings.position_embedding.weight
        nn.init.normal_(places, std=sizes.patch_position_range)

    def forward(self, batch: MixedBatch) -> dict[str, Tensor]:
        """The contrastive "loss" of a batch, and the temperature."""
        pairs, model = _pairs(batch), self.model
        images = model.get_image_features(pixel_values=pairs.pixel_values).pooler_output
        texts = model.get_text_features(pairs.input_ids, pairs.attention_mask).pooler_output
        everyone = Everyone.of(
            functional.normalize(images.float(), dim=-1),
            functional.normalize(texts.float(), dim=-1),
            pairs,
            self.pad_id,
        )
        temperature = (-model.logit_scale.clamp(max=_LARGEST_LOGIT_SCALE)).exp()
        return {
            "loss": everyone.contrast(temperature),
            "contrastive_temperature": temperature.detach(),
        }


class ViltObjective(nn.Module):
    """ViLT under its losses: matching with random false images, and masked words.

    The original's alignment of words and patches, weighted by 0.1, is left out; matching is trained on
    the one logit that retrieval ranks, in the place of two.
    """

    def __init__(self, sizes: Unimo2Config, longest: int, config: PretrainConfig) -> None:
        """Build a ViLT of `fusion_layers` layers and texts of at most `longest` tokens."""
        super().__init__()
        self.config = config
        built = ViltConfig(
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_attention_heads=sizes.num_attention_heads,
            num_hidden_layers=sizes.fusion_layers,
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            vocab_size=sizes.vocab_size,
            max_position_embeddings=longest,
            pad_token_id=sizes.pad_token_id,
            initializer_range=sizes.initializer_range,
            layer_norm_eps=sizes.vision_layer_norm_eps,
        )
        self.model = ViltForImageAndTextRetrieval(built)
        nn.init.normal_(
            self.model.vilt.embeddings.position_embeddings, std=sizes.patch_position_range
        )
        words = ViltForMaskedLM(built)
        words.vilt = self.model.vilt
        words.tie_weights()
        self.mlm_score = words.mlm_score  # for training alone: retrieval has no use for it

    def forward(self, batch: MixedBatch) -> dict[str, Tensor]:
        """The weighted "loss" of a batch, "itm", "mlm" and "itm_accuracy"."""
        pairs, vilt, config = _pairs(batch), self.model.vilt, self.config
        rows, pixels = len(pairs.masked_ids), pairs.pixel_values
        images, usable, true = self._shown(pairs)
        states, seen, _ = vilt.embeddings.visual_embed(
            pixels, torch.ones_like(pixels[:, 0], dtype=torch.long), max_image_length=-1
        )
        which = torch.cat([torch.arange(rows, device=images.device), images])
        mask = torch.cat([pairs.attention_mask[:rows], pairs.attention_mask])
        out = vilt(
            input_ids=torch.cat([pairs.masked_ids, pairs.input_ids]),
            attention_mask=mask,
            image_embeds=states[which],
            pixel_mask=seen[which],
        )
        score = self.model.rank_output(out.pooler_output[rows:]).float()  # [b, 1]
        # Cross entropy against a constant logit of 0 is that of one logit.
        itm = mean_cross_entropy(
            functional.pad(score, (1, 0)), true.long().masked_fill(~usable, IGNORED)
        )
        right = ((score[:, 0].detach() > 0) == true)[usable]
        losses = {"itm": config.itm_weight * itm}
        result = {"itm": itm.detach(), "itm_accuracy": right.float().sum() / max(1, len(right))}
        if config.mlm_weight:  # also without a row: processes count together
            texts = out.last_hidden_state[:rows, : pairs.masked_ids.shape[1]]
            hidden, labels = selected_rows(texts, pairs.labels)
            mlm = mean_cross_entropy(self.mlm_score(hidden).float(), labels)
            losses["mlm"] = config.mlm_weight * mlm
            result["mlm"] = mlm.detach()
        return {**result, "loss": torch.stack(list(losses.values())).sum()}

    @staticmethod
    def _shown(pairs: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Which image each text is shown with, int64 [b], whether it counts, and whether it is its own.

        A false image is any of this process's batch but those of the same image or the same words.
        """
        own = torch.arange(len(pairs.input_ids), device=pairs.input_ids.device)
        twins = same_pair(
            pairs.input_ids, pairs.image_index, pairs.input_ids, pairs.image_index
        )  # [b, b]
        columns, found = draw_negatives(
            torch.zeros_like(twins, dtype=torch.float32),
            twins,
            pairs.negative_noise[:, :1],
            hard_share=0.0,
        )
        true = ~spread(pairs.position, _FALSE_IMAGES)
        return torch.where(true, own, columns[:, 0]), true | found[:, 0], true


# Names of timm's ViT and of transformers' ViLT: those that begin differently, and the common ends.
_FIRST = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "norm.": "layernorm.",
    "blocks.": "encoder.layer.",
}
_WITHIN = {
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}


def start_from_vit(vilt: ViltModel, vit: VisionTransformer) -> None:
    """Copy a ViT of the same sizes into a ViLT, as ViLT starts (Kim et al., 2021, section 3.1).

    Raises:
        UsageError: It has other sizes.
    """
    weights: dict[str, Tensor] = {}
    for name, value in vit.state_dict().items():
        for first, ours in _FIRST.items():
            name = ours + name.removeprefix(first) if name.startswith(first) else name
        for part, ours in _WITHIN.items():
            name = name.replace(part, ours)
        if ".attn.qkv." in name:
            thirds = zip(("query", "key", "value"), value.chunk(3), strict=True)
            for kind, third in thirds:
                weights[name.replace(".attn.qkv.", f".attention.attention.{kind}.")] = third
        else:
            weights[name] = value
    own = {name: value.shape for name, value in vilt.state_dict().items()}
    text = ("embeddings.text_embeddings.", "embeddings.token_type_embeddings.", "pooler.")
    expected = {name: shape for name, shape in own.items() if not name.startswith(text)}
    found = {name: value.shape for name, value in weights.items()}
    heads = vit.get_submodule("blocks.0.attn").num_heads, vilt.config.num_attention_heads
    if found != expected or heads[0] != heads[1]:
        differing = sorted(
            name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
        )
        what = differing[0] if differing else f"{heads[0]} attention heads, not {heads[1]}"
        raise UsageError(
            f"training.vision_tower is a ViT of other sizes than the ViLT ({what}): expected one of "
            "model.fusion_layers layers, image_size, patch_size and widths as in the recipe"
        )
    vilt.load_state_dict(weights, strict=False)


class PeerTask(PairTask):
    """A CLIP or a ViLT, its loss and the corpora of pairs, as a task of the trainer."""

    objective: ClipObjective | ViltObjective

    def __init__(self, config: PretrainConfig, prepared: PretrainingRun) -> None:
        """Build the peer that the configuration trains; its weights follow from the seed.

        Raises:
            UsageError: The ViT that ViLT is to start from is missing, or of other sizes.
        """
        super().__init__(config, prepared)
        sizes, tokenizer = prepared.model_config, prepared.processor.tokenizer
        side, longest = sizes.image_size, config.max_text_length
        with seeded_weights(config.seed):
            if config.trains == "clip":
                self.objective = ClipObjective(sizes, longest)
                self.processor = _clip_processor(side, tokenizer)
            else:
                self.objective = ViltObjective(sizes, longest, config)
                build: Any = ViltImageProcessor  # whose own type lacks the divisor
                images = build(size={"shortest_edge": side}, size_divisor=sizes.patch_size)
                self.processor = ViltProcessor(images, tokenizer)
        self.model = self.objective.model
        if config.vision_tower and isinstance(self.objective, ViltObjective):
            weights = Path(config.vision_weights) if config.vision_weights else None
            vit = load_vit(config.located(prepared.towers).vision_tower, weights)
            start_from_vit(self.objective.model.vilt, vit)


def _clip_processor(side: int, tokenizer: PreTrainedTokenizerBase) -> CLIPProcessor:
    """CLIP's processor, with images prepared as for UNIMO-2: a square of the whole picture."""
    images = CLIPImageProcessor(
        size={"height": side, "width": side},
        do_center_crop=False,
        image_mean=DEFAULT_MEAN,
        image_std=DEFAULT_STD,
    )
    return CLIPProcessor(images, tokenizer)


def _pairs(batch: MixedBatch) -> PairBatch:
    assert batch.pairs is not None  # a step of pre-training holds some
    return batch.pairs
