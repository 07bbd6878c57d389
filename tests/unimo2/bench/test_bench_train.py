"""`unimo2 bench train`: operations are counted right, and every kind of batch has its line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from unimo2.bench.training import measure, random_batches
from unimo2.cli import main
from unimo2.modeling.configuration import Unimo2Config
from unimo2.training.config import PretrainConfig

CPU = torch.device("cpu")
CONFIG = PretrainConfig(
    batch_size=4, image_batch=2, text_batch=2, max_text_length=16, vocab_size=300
)
MODEL = Unimo2Config.mini(
    image_size=16,
    hidden_size=32,
    intermediate_size=64,
    num_attention_heads=2,
    vision_layers=1,
    text_layers=1,
    fusion_layers=1,
    dictionary_size=16,
    grounded_tokens=4,
)


def test_operations_of_texts_are_three_forwards():
    """Truth: the formulas of linear layers and attention, times three for forward and backward."""
    texts = next(f for f in measure(CONFIG, MODEL, torch.float32, CPU, 1) if f.kind == "texts")
    batch, tokens, width, inner, rows = 2, 16, 32, 64, 16 + 4

    def layer(count):
        linear = 2 * batch * count * (4 * width * width + 2 * width * inner)
        return linear + 4 * batch * count * count * width

    dictionary = 2 * batch * (tokens - 1) * width * 16  # similarities; the loss comes on top
    assert 3 * (layer(tokens) + layer(rows) + dictionary) < 1e12 * texts.tflop
    head = 2 * 64 * width * (width + MODEL.vocab_size)
    assert 1e12 * texts.tflop < 3.6 * (layer(tokens) + layer(rows) + 2 * dictionary + head)


def test_a_step_has_the_losses_of_the_configuration():
    """Truth: without matching, and with it for a quarter of the pairs, there is less to compute."""
    step = {}
    for name, config in (
        ("all", CONFIG),
        ("some", replace(CONFIG, match_share=0.25)),
        ("none", replace(CONFIG, itm_weight=0.0)),
    ):
        only = replace(config, image_batch=0, text_batch=0)
        step[name] = measure(only, MODEL, torch.float32, CPU, 1)[0].tflop
    assert step["none"] < step["some"] < step["all"]


def test_every_kind_has_its_figures():
    """Truth: seconds, samples and operations that belong together."""
    figures = measure(CONFIG, MODEL, torch.bfloat16, CPU, 1)
    assert [(f.kind, f.samples) for f in figures] == [("pairs", 4), ("images", 2), ("texts", 2)]
    for figure in figures:
        assert figure.samples_per_second == pytest.approx(1e3 * figure.samples / figure.step_ms)
        assert figure.rate == pytest.approx(1e3 * figure.tflop / figure.step_ms)
        assert figure.share == pytest.approx(figure.rate / figure.matmul_rate)
    without = random_batches(replace(CONFIG, text_batch=0), MODEL, CPU)
    assert list(without) == ["pairs", "images"]


def test_the_command_prints_json(tmp_path, capsys):
    """Truth: kinds and dtypes that were asked for."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "[model]\nimage_size = 16\nhidden_size = 32\nintermediate_size = 64\n"
        "num_attention_heads = 2\nvision_layers = 1\ntext_layers = 1\nfusion_layers = 1\n"
        "[training]\nbatch_size = 4\nimage_batch = 2\ntext_batch = 2\nmax_text_length = 16\n"
    )
    arguments = ["bench", "train", "--config", str(recipe), "--repeats", "1", "--dtype", "float32"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [figure["kind"] for figure in found] == ["pairs", "images", "texts"]
    assert main([*arguments, "--set", "text_batch=0"]) == 0
    assert "texts" not in capsys.readouterr().out
