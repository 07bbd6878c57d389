"""Towers trained by themselves: what timm and transformers read, and what UNIMO-2 starts from."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import timm
import torch
from transformers import AutoTokenizer, RobertaForMaskedLM

from builders import corpora_folders
from builders.tiny_training import SIZES
from unimo2.errors import MissingData, UsageError
from unimo2.modeling.towers import load_roberta, load_vit
from unimo2.processing import Unimo2Processor
from unimo2.training.config import PretrainConfig
from unimo2.training.pretraining import PretrainingRun, PretrainingTask
from unimo2.training.recipes import Recipe
from unimo2.training.towers import TowerTask
from unimo2.training.trainer import train

MODEL = {**SIZES, "text_layers": 2, "dictionary_size": 16, "grounded_tokens": 4}
TRAINING = PretrainConfig(
    trains="labels",
    steps=30,
    image_sets=("imagenet21k", "open_images"),
    text_sets=("text",),
    image_batch=4,
    text_batch=4,
    text_length=16,
    vocab_size=300,
    learning_rate=3e-3,
    vcl_smallest_crop=0.9,
    precision="fp32",
)


@pytest.fixture
def root(tmp_path):
    corpora_folders.everything(tmp_path / "data")
    return tmp_path / "data"


@torch.enable_grad()
def trained(trains, root, output, **changes):
    recipe = Recipe("tiny", "mini", MODEL, replace(TRAINING, trains=trains, **changes))
    task = TowerTask(recipe, root)
    summary = train(task, recipe.training, output, device="cpu")
    return task.objective.eval(), summary


@torch.no_grad()
def test_a_supervised_vit_is_a_classifier_of_timm(root, tmp_path):
    """Independent truth: timm's own forward of the folder, and class names from the data."""
    model, summary = trained("labels", root, tmp_path / "run")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'run/model'}", pretrained=True).eval()
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (model.head(model.vision(images)[:, 0]) - theirs(images)).abs().max() < 1e-5
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["label_names"] == ["beach", "goldfish", "palm tree", "tench"]
    assert summary.losses["loss"] < torch.tensor(4.0).log()


@torch.no_grad()
def test_a_masked_roberta_is_one_of_transformers(root, tmp_path):
    """Independent truth: the masked language model of transformers, padding included."""
    model, _ = trained("words", root, tmp_path / "run")
    theirs = RobertaForMaskedLM.from_pretrained(tmp_path / "run/model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    batch = tokenizer(["rain is about <mask>", "book"], return_tensors="pt", padding=True)
    hidden = model.text(batch["input_ids"], batch["attention_mask"])
    embedding = model.text.roberta.embeddings.word_embeddings.weight
    real = batch["attention_mask"].bool()
    assert (model.mlm(hidden, embedding) - theirs(**batch).logits)[real].abs().max() < 1e-4


@pytest.mark.parametrize("trains", ["labels", "views"])
@torch.no_grad()
def test_unimo2_starts_from_trained_towers(trains, root, tmp_path):
    """Truth: the towers' own outputs; fusion layers are RoBERTa's."""
    vit, _ = trained(trains, root, tmp_path / "vit")
    text, _ = trained("words", root, tmp_path / "text")
    config = PretrainConfig(
        vision_tower=f"local-dir:{tmp_path / 'vit/model'}", text_tower=str(tmp_path / "text/model")
    )
    tokenizer = AutoTokenizer.from_pretrained(config.text_tower)
    processor = Unimo2Processor(tokenizer, 16)
    task = PretrainingTask(config, PretrainingRun(processor, text.config, _NoCorpora()))
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (task.model.encode_image(images) - vit.vision(images)).abs().max() < 1e-5
    ids = processor(text=["rain is about a book"])["input_ids"]
    assert (task.model.encode_text(ids) - text.text(ids)).abs().max() < 1e-5
    layer = load_roberta(config.text_tower).encoder.layer[1]
    assert torch.equal(task.model.fusion.layers[1].up.weight, layer.intermediate.dense.weight)


class _NoCorpora:
    images = None


def test_a_tower_needs_its_corpus():
    """Truth: the field that is empty is named."""
    for trains, field in (
        ("labels", "image_sets"),
        ("views", "image_sets"),
        ("words", "text_sets"),
    ):
        with pytest.raises(UsageError, match=field):
            replace(TRAINING, trains=trains, **{field: ()})


def test_a_folder_without_a_vit_is_missing_data(tmp_path):
    """Truth: one of our errors, with the folder's name."""
    with pytest.raises(MissingData, match="nothing-here"):
        load_vit(f"local-dir:{tmp_path / 'nothing-here'}")
