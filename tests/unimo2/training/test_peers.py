"""Peers trained on the same pairs: what transformers and the zoo's families make of what is saved."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import timm
import torch
from PIL import Image
from torch.nn import functional
from transformers import (
    CLIPModel,
    CLIPProcessor,
    ViltForImageAndTextRetrieval,
    ViltForMaskedLM,
    ViltProcessor,
)

import zoo
from builders import corpora_folders
from builders.tiny_training import SIZES as MODEL
from unimo2.data.batches import MixedBatch
from unimo2.data.seeding import Shard
from unimo2.errors import UsageError
from unimo2.processing import Unimo2Processor
from unimo2.training.config import PretrainConfig
from unimo2.training.peers import PeerTask, ViltObjective, start_from_vit
from unimo2.training.pretraining import prepare
from unimo2.training.recipes import Recipe
from unimo2.training.trainer import train
from zoo.protocols import StackedFeatures

TRAINING = PretrainConfig(
    trains="clip",
    steps=24,
    batch_size=4,
    pair_sets=("visual_genome",),
    max_text_length=12,
    vocab_size=300,
    learning_rate=5e-3,
    temperature_learning_rate=5e-3,
    checkpoint_every=4,
    log_every=4,
    precision="fp32",
)
TEXTS = ["part 1 of 2", "Part 0 of 4 and much more than twelve tokens can say", "rain"]


@pytest.fixture
def root(tmp_path):
    corpora_folders.visual_genome(tmp_path / "data")
    return tmp_path / "data"


def task(root, trains, **changes):
    recipe = Recipe("tiny", "mini", MODEL, replace(TRAINING, trains=trains, **changes))
    return PeerTask(recipe.training, prepare(recipe, root))


@torch.enable_grad()
def trained(root, trains, output, on_progress=None, **changes):
    built = task(root, trains, **changes)
    return train(built, built.config, output, device="cpu", on_progress=on_progress)


def pictures(side=16, count=3):
    """Square pictures of noise."""
    noise = torch.randint(
        0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(0)
    )
    return [Image.fromarray(one.numpy().astype("uint8")) for one in noise]


@torch.no_grad()
def test_a_trained_clip_is_one_of_transformers_and_of_the_family(root, tmp_path):
    """Independent truth: transformers' own forward of the folder; half of chance's loss, ln 4."""
    summary = trained(root, "clip", tmp_path / "run", steps=60)
    folder = tmp_path / "run/model"
    assert summary.losses["loss"] < 0.5 * torch.tensor(4.0).log()
    theirs, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    inputs = processor(
        text=TEXTS,
        images=pictures(),
        return_tensors="pt",
        padding=True,
        truncation=True,
        max_length=12,
    )
    expected = theirs.eval()(**inputs).logits_per_image
    model = zoo.load(folder)
    found = model.logit_scale * model.embed_images(pictures()) @ model.embed_texts(TEXTS).T
    assert (found - expected).abs().max() < 1e-4  # logits of tens
    assert torch.equal(model.embed_texts([TEXTS[0].upper()]), model.embed_texts([TEXTS[0]]))


@torch.no_grad()
def test_a_trained_vilt_is_one_of_transformers_and_of_the_family(root, tmp_path):
    """Independent truth: transformers' own forward of the folder, from pixels; ln 300, chance's loss."""
    summary = trained(root, "vilt", tmp_path / "run", steps=60)
    folder = tmp_path / "run/model"
    assert summary.losses["mlm"] < 0.8 * torch.tensor(300.0).log()
    theirs = ViltForImageAndTextRetrieval.from_pretrained(folder).eval()
    processor = ViltProcessor.from_pretrained(folder)
    model = zoo.load(folder)
    images = StackedFeatures.of(model.encode_images(pictures()))
    for text in TEXTS:
        inputs = processor(
            pictures(), [text] * 3, return_tensors="pt", truncation=True, max_length=12
        )
        [encoded] = model.encode_texts([text])
        found = model.score_pairs(images, encoded)["score"]
        assert (found - theirs(**inputs).logits[:, 0]).abs().max() < 1e-5


@pytest.mark.parametrize("trains", ["clip", "vilt"])
def test_pictures_are_prepared_as_in_training(trains, root):
    """Independent truth: the pixels of `Unimo2Processor`, which batches of training have."""
    built = task(root, trains)
    images = built.processor.image_processor(pictures(), return_tensors="pt")["pixel_values"]
    own = Unimo2Processor(built.processor.tokenizer, 16).pixel_values(pictures())
    assert (images - own).abs().max() < 1e-6


@torch.no_grad()
def test_the_loss_of_clip_is_that_of_transformers(root):
    """Independent truth: `CLIPModel`'s own loss of a batch whose images and texts all differ."""
    built = task(root, "clip")
    pairs = built.batch(0, Shard()).pairs
    assert len({tuple(ids) for ids in pairs.input_ids.tolist()}) == 4
    theirs = built.model.eval()(
        input_ids=pairs.input_ids,
        attention_mask=pairs.attention_mask,
        pixel_values=pairs.pixel_values,
        return_loss=True,
    ).loss
    assert built.objective(MixedBatch(pairs))["loss"] == pytest.approx(float(theirs), abs=1e-5)


@torch.no_grad()
def test_the_losses_of_vilt_are_those_of_transformers(root):
    """Independent truth: transformers' own forwards, from pixels, of the pairs that are shown."""
    built = task(root, "vilt", mlm_share=0.5, mask_fraction=0.5)
    pairs, model = built.batch(0, Shard()).pairs, built.model.eval()
    found = built.objective(MixedBatch(pairs))
    images, _, true = ViltObjective._shown(pairs)
    scores = model(
        input_ids=pairs.input_ids,
        attention_mask=pairs.attention_mask,
        pixel_values=pairs.pixel_values[images],
    ).logits[:, 0]
    expected = functional.binary_cross_entropy_with_logits(scores, true.float())
    assert found["itm"] == pytest.approx(float(expected), abs=1e-5)
    words = ViltForMaskedLM(model.config).eval()
    words.vilt, words.mlm_score = model.vilt, built.objective.mlm_score
    rows = len(pairs.masked_ids)
    expected_words = words(
        input_ids=pairs.masked_ids,
        attention_mask=pairs.attention_mask[:rows],
        pixel_values=pairs.pixel_values[:rows],
        labels=pairs.labels,
    ).loss
    assert rows == 2
    assert found["mlm"] == pytest.approx(float(expected_words), abs=1e-5)
    assert found["loss"] == pytest.approx(float(expected + expected_words), abs=1e-5)
    tied = model.vilt.embeddings.text_embeddings.word_embeddings.weight
    assert built.objective.mlm_score.decoder.weight is tied


def test_false_images_are_of_other_pairs(root):
    """Truth: by hand: half of the texts keep their image, and twins are nobody's false image."""
    built = task(root, "vilt")
    pairs = built.batch(0, Shard()).pairs
    pairs = replace(pairs, image_index=torch.tensor([0, 0, 1, 2]))
    drawn = set()
    for seed in range(40):
        noise = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed))
        images, usable, true = ViltObjective._shown(replace(pairs, negative_noise=noise))
        assert int(true.sum()) == 2 and bool(usable.all())
        assert torch.equal(images[true], torch.arange(4)[true])
        drawn |= {(row, int(images[row])) for row in range(4) if not true[row]}
    false = [row for row in range(4) if not true[row]]
    allowed = {0: {2, 3}, 1: {2, 3}, 2: {0, 1, 3}, 3: {0, 1, 2}}
    assert drawn == {(row, image) for row in false for image in allowed[row]}
    alone = replace(pairs, image_index=torch.zeros(4, dtype=torch.long))
    assert torch.equal(ViltObjective._shown(alone)[1], true)  # no other pair: nothing to learn


@pytest.mark.parametrize("trains", ["clip", "vilt"])
def test_a_killed_peer_ends_with_the_same_weights(trains, root, tmp_path):
    """Truth: the run that was not stopped, bit by bit."""
    torch.set_num_threads(1)

    def stop(progress):
        if progress.step == 8:
            raise KeyboardInterrupt

    trained(root, trains, tmp_path / "whole", steps=12, save_dtype="float16")
    with pytest.raises(KeyboardInterrupt):
        trained(root, trains, tmp_path / "killed", stop, steps=12, save_dtype="float16")
    again = trained(root, trains, tmp_path / "killed", steps=12, save_dtype="float16")
    assert again.resumed_from == 4
    one, two = (
        (tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "killed")
    )
    assert one == two
    report = json.loads((tmp_path / "whole/train.json").read_text())
    assert report["config"]["trains"] == trains and report["samples"] == {"pairs": 48}


@torch.no_grad()
def test_a_vilt_starts_from_a_vit(root):
    """Independent truth: timm's own forward; a ViT of other sizes is refused."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2, **sizes).eval()
    vilt = task(root, "vilt").model.vilt.eval()
    start_from_vit(vilt, vit)
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    states, _, _ = vilt.embeddings.visual_embed(pixels, torch.ones(3, 16, 16).long(), -1)
    found = vilt.layernorm(vilt.encoder(states).last_hidden_state)
    assert (found[:, 0] - vit.forward_features(pixels)[:, 0]).abs().max() < 1e-5
    for changes in ({"depth": 3}, {"depth": 2, "mlp_ratio": 4}, {"depth": 2, "num_heads": 4}):
        other = timm.create_model("vit_tiny_patch16_224", num_classes=0, **{**sizes, **changes})
        with pytest.raises(UsageError, match=r"model\.fusion_layers"):
            start_from_vit(vilt, other)


def test_what_a_peer_cannot_be_told_is_refused():
    """Truth: the field at fault is named."""
    for trains, field, value in (
        ("clip", "pair_sets", ()),
        ("vilt", "pair_sets", ()),
        ("clip", "vision_tower", "local-dir:vit"),
        ("vilt", "text_tower", "roberta"),
    ):
        with pytest.raises(UsageError, match=field):
            replace(TRAINING, trains=trains, **{field: value})
