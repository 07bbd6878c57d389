"""The Visual Transformer: timm's plain ViT at any square resolution."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from timm.layers.attention import Attention
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unimo2.errors import UsageError
from unimo2.modeling.attention import attend
from unimo2.modeling.configuration import Unimo2Config


class VisualAttention(Attention):
    """The self-attention, its kernel chosen as in the other towers (`unimo2.modeling.attention`)."""

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """[b, patches + 1, hidden] to the same; plain ViTs have no mask."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        return self.proj(attend(query, key, value).transpose(1, 2).flatten(2))


class VisualTransformer(nn.Module):
    """Patches of an image to their representations (paper, section 3; ViT, pre-norm)."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.gradient_checkpointing = False
        self.patch_size = config.patch_size
        self.vit = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.hidden_size,
            depth=config.vision_layers,
            num_heads=config.vision_attention_heads or config.num_attention_heads,
            # timm takes the ratio and rounds down: half a unit more gives exactly the size asked for.
            mlp_ratio=(config.intermediate_size + 0.5) / config.hidden_size,
            num_classes=0,
            global_pool="token",
            embed_layer=partial(PatchEmbed, strict_img_size=False),
            norm_layer=partial(nn.LayerNorm, eps=config.vision_layer_norm_eps),
            attn_layer=VisualAttention,
        )
        self.vit.patch_embed.proj.padding = (config.patch_padding, config.patch_padding)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encode images.

        Args:
            pixel_values: [b, 3, s, s], normalised; s any multiple of the patch size.

        Returns:
            [b, patches + 1, hidden], the class token first.

        Raises:
            UsageError: Images not square, or with a side that is not a multiple of the patch size.
        """
        height, width = pixel_values.shape[-2:]
        if pixel_values.dim() != 4 or height != width or height % self.patch_size:
            raise UsageError(
                f"pixel_values of shape {tuple(pixel_values.shape)}: images must be [batch, 3, s, s] "
                f"with s a multiple of the patch size {self.patch_size}"
            )
        vit: Any = self.vit  # timm's annotations leave open what a plain ViT always has
        grid = height // self.patch_size
        patches = vit.patch_embed(pixel_values)  # [b, patches, hidden]
        patches = patches + interpolate_positions(vit.pos_embed[:, 1:], grid)
        first = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(patches), -1, -1)
        tokens = vit.norm_pre(vit.pos_drop(torch.cat([first, patches], dim=1)))
        for block in vit.blocks:
            if self.gradient_checkpointing and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return vit.norm(tokens)


def interpolate_positions(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings of a square grid of another size.

    Bicubic, align_corners False, without antialiasing, as the released code does it for images
    above 224 pixels (the class position is not part of this).

    Args:
        positions: [1, side * side, hidden].
        grid: Patches along one side of the wanted grid.

    Returns:
        [1, grid * grid, hidden].
    """
    side = math.isqrt(positions.shape[1])
    if side == grid:
        return positions
    square = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    square = F.interpolate(square.float(), size=(grid, grid), mode="bicubic", align_corners=False)
    return square.to(positions.dtype).permute(0, 2, 3, 1).reshape(1, grid * grid, -1)
