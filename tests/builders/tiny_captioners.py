"""Models for tests of captioning, one of each kind of dictionary, and pictures for them."""

import torch
from torch import Tensor

from unimo2 import Unimo2Config, Unimo2Model

KINDS = ("topk", "nearest", "none", "released")


def captioner(kind: str) -> Unimo2Model:
    """A small model with random weights, large enough that its logits differ from text to text."""
    torch.manual_seed(0)
    sizes = {
        "image_size": 32, "patch_size": 16, "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 4, "text_attention_heads": 2, "vision_layers": 1, "text_layers": 2,
        "fusion_layers": 3, "vocab_size": 30, "max_position_embeddings": 24, "dictionary_size": 16,
        "grounded_tokens": 5, "initializer_range": 0.3,
    }  # fmt: skip
    if kind == "released":
        return Unimo2Model(Unimo2Config.released(**sizes)).eval()
    return Unimo2Model(Unimo2Config(grounding=kind, **sizes)).eval()


def pictures() -> Tensor:
    """Four of them, [4, 3, 32, 32]."""
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
