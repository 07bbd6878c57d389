"""Tiny task models with random weights, for tests of adapters and benchmarks."""

import numpy as np
import torch
from PIL import Image
from transformers import RobertaConfig, RobertaForSequenceClassification

from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.processing import train_tokenizer

TEXTS = ["is it red", "what colour is the big square on the left", "how many", "is it blue"]
SIZES = {
    "image_size": 16, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64,
    "vision_layers": 1, "text_layers": 1, "fusion_layers": 2, "dictionary_size": 32,
    "grounded_tokens": 6, "num_attention_heads": 4,
}  # fmt: skip
KINDS = {
    "vqa": Unimo2ForPairs,
    "snli_ve": Unimo2ForPairs,
    "imagenet": Unimo2ForImages,
    "coco": Unimo2Model,
    "flickr": Unimo2Model,
}


def processor() -> Unimo2Processor:
    """A processor of pictures of 16 pixels."""
    return Unimo2Processor(train_tokenizer(TEXTS, 300), image_size=16, max_text_length=48)


def task_model(task: str | None, labels: list[str] | None = None, **overrides) -> Unimo2Model:
    """A model for a task, in evaluation mode, with weights away from their initial values."""
    fields = {**SIZES, "task": task, **overrides}
    if labels is not None:
        fields["id2label"] = dict(enumerate(labels))
    config = Unimo2Config.mini(vocab_size=len(processor().tokenizer), **fields)
    torch.manual_seed(0)
    model = KINDS.get(task, Unimo2ForTexts if task else Unimo2Model)(config).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    return model


def text_encoder(labels: list[str]) -> RobertaForSequenceClassification:
    """A RoBERTa of one layer for sequence classification."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=50, type_vocab_size=1,
        id2label=dict(enumerate(labels)), initializer_range=0.3,
    )  # fmt: skip
    return RobertaForSequenceClassification(config).eval()


def images(count: int) -> list[Image.Image]:
    """Pictures of noise, the same in every call."""
    random = np.random.default_rng(3)
    return [
        Image.fromarray(random.integers(0, 40 * (i + 2), (16, 16, 3)).clip(0, 255).astype("uint8"))
        for i in range(count)
    ]
