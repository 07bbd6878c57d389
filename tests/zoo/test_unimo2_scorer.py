"""UNIMO-2's retrieval score: what is computed once for all pairs changes no score."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
from unimo2.processing import train_tokenizer
from zoo.families.unimo2 import Unimo2Scorer
from zoo.protocols import Shortlister, StackedFeatures

TEXTS = ["a red square", "two small blue circles on a wide green field", "red"]
VARIANTS = {
    "topk": {"grounding": "topk"},
    "nearest": {"grounding": "nearest"},
    "none": {"grounding": "none"},
    "dense": {"attention": "dense"},
    "concat": {"itm_input": "concat", "fusion_layers": 2},
    "one layer": {"fusion_layers": 1},
}


def _scorer(**overrides) -> Unimo2Scorer:
    tokenizer = train_tokenizer(TEXTS, 300)
    sizes = {
        "image_size": 16, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64,
        "vision_layers": 1, "text_layers": 1, "fusion_layers": 3, "dictionary_size": 32,
        "grounded_tokens": 6, "num_attention_heads": 4, "vocab_size": len(tokenizer),
    }  # fmt: skip
    torch.manual_seed(0)
    model = Unimo2Model(Unimo2Config.mini(**{**sizes, **overrides})).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # biases and norms away from 0 and 1, so that each counts
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    processor = Unimo2Processor(tokenizer, image_size=16, max_text_length=64)
    return Unimo2Scorer("small", model, processor, "0" * 64)


def _images(count: int) -> list[Image.Image]:
    return [Image.effect_noise((16, 16), 20 + 30 * i).convert("RGB") for i in range(count)]


def _direct(scorer: Unimo2Scorer, images: list[Image.Image], text: str) -> torch.Tensor:
    """Matching logits of each image alone with the text, by the model's own forward pass."""
    ids = torch.as_tensor(scorer.processor(text=[text])["input_ids"])
    logits = []
    with torch.no_grad():
        for image in images:
            pixels = scorer.processor(images=[image])["pixel_values"]
            logits.append(scorer.model(pixels, ids).itm_logits[0, 1])
    return torch.stack(logits)


@pytest.mark.parametrize("variant", VARIANTS)
def test_cached_projections_change_no_score(variant):
    """Independent truth: both towers and the whole fusion run again for every pair."""
    scorer, images = _scorer(**VARIANTS[variant]), _images(5)
    plain = [
        StackedFeatures.of(scorer.encode_images(images[cut])) for cut in (slice(3), slice(3, 5))
    ]
    prepared = scorer.prepare_images(plain)
    assert ("projected" in prepared[0].tensors) == (variant != "one layer")
    for text, features in zip(TEXTS, scorer.encode_texts(TEXTS), strict=True):
        expected = _direct(scorer, images, text)
        for stacks in (plain, prepared):
            parts = [scorer.score_pairs(stack, features) for stack in stacks]
            found = torch.cat([part["itm"] for part in parts])
            assert (found - expected).abs().max() < 1e-5
            contrastive = torch.cat([part["contrastive"] for part in parts])
            alone = torch.cat([scorer.contrastive_scores(stack, features) for stack in stacks])
            assert torch.equal(contrastive, alone)


def test_projections_are_left_out_where_they_do_not_fit():
    """Independent truth: 5 images x 5 rows x 3 x 32 numbers of 4 bytes are 9,600 bytes."""
    scorer = _scorer()
    stacks = [StackedFeatures.of(scorer.encode_images(_images(5)))]
    assert "projected" in scorer.prepare_images(stacks, limit_bytes=9600)[0].tensors
    assert "projected" not in scorer.prepare_images(stacks, limit_bytes=9599)[0].tensors


def test_gathered_images_are_those_of_the_stacks():
    """Independent truth: rows of one long stack."""
    numbers = torch.arange(14.0).reshape(7, 2)
    stacks = [StackedFeatures({"x": numbers[:3]}), StackedFeatures({"x": numbers[3:4]})]
    stacks.append(StackedFeatures({"x": numbers[4:]}))
    for rows in ([0], [2, 3, 6], [4, 5], list(range(7))):
        assert torch.equal(StackedFeatures.gather(stacks, rows).tensors["x"], numbers[rows])


def test_unimo2_can_choose_its_pairs():
    """Independent truth: the protocol's members."""
    assert isinstance(_scorer(), Shortlister)


@pytest.mark.parametrize(
    ("config", "pairs"), [(Unimo2Config.mini(), 163), (Unimo2Config.base(fusion_layers=2), 4)]
)
def test_pairs_in_a_call_follow_from_the_models_size(config, pairs):
    """Independent truth: 16 MiB / (10 + 16 + 24 rows x 512 x 4 bytes) by hand; at least one."""
    tools = SimpleNamespace(image_size=config.image_size)
    with torch.device("meta"):
        assert Unimo2Scorer("sizes", Unimo2Model(config), tools, "").batch_size == pairs
