"""`unimo2 pretrain`: one command from images and captions to a model that retrieval can load."""

from __future__ import annotations

import json

import numpy as np
import pytest

import zoo
from evals.retrieval.weight import WEIGHTS, scan_weights
from unimo2.cli import main
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import read_karpathy
from zoo.interfaces import StackedFeatures


def train(root, recipe, output, *more: str) -> int:
    arguments = ["--config", recipe, "--data-root", root, "--output", output, "--device", "cpu"]
    return main(["pretrain", *map(str, arguments), *more])


def test_the_command_leaves_a_model_with_its_weight_from_the_validation_split(
    tiny_root, tiny_recipe, tmp_path, capsys
):
    """Truth: the validation split scored pair by pair here, and the weight found from it."""
    output = tmp_path / "run"
    assert train(tiny_root, tiny_recipe, output, "--seed", "3", "--set", "batch_size=6") == 0
    assert "retrieval weight" in capsys.readouterr().out
    model = zoo.load(output / "model", device="cpu")
    flickr = tiny_root / "flickr30k"
    images = read_karpathy(flickr / "dataset_flickr30k.json", flickr / "flickr30k-images", ["val"])
    stack = StackedFeatures.of(model.encode_images([load_image(image.path) for image in images]))
    columns = [
        model.score_pairs(stack, model.encode_texts([caption.text])[0])
        for image in images
        for caption in image.captions
    ]
    owner = [row for row, image in enumerate(images) for _ in image.captions]
    parts = [np.stack([column[n].numpy() for column in columns], 1) for n in ("itm", "contrastive")]
    expected = scan_weights(*parts, owner)
    document = json.loads((output / "train.json").read_text())
    assert model.contrastive_weight == expected.weight
    assert document["retrieval_weight"]["weight"] == expected.weight
    assert document["retrieval_weight"]["images"] == len(images) == 6
    assert len(document["retrieval_weight"]["curve"]) == len(WEIGHTS)
    assert (document["config"]["seed"], document["config"]["batch_size"]) == (3, 6)


def test_a_finished_run_is_taken_up_and_another_one_is_refused(
    tiny_root, tiny_recipe, tmp_path, capsys
):
    """Truth: exit status, and the one line that names what was changed."""
    output = tmp_path / "run"
    assert train(tiny_root, tiny_recipe, output) == 0
    assert train(tiny_root, tiny_recipe, output) == 0
    capsys.readouterr()
    assert train(tiny_root, tiny_recipe, output, "--steps", "7") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("unimo2: error:") and "steps was 6 and is 7" in error
    assert train(tiny_root, tiny_recipe, output, "--steps", "7", "--resume", "never") == 0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--set", "learning_rat=1"], "learning_rat"),
        (["--set", "model.hidden=1"], "hidden"),
        (["--set", "model.preset=huge"], "preset"),
        (["--set", "batch_size=64"], "12 images"),
        (["--resume", "maybe"], "maybe"),
        (["--device", "tpu"], "tpu"),
        (["--set", 'pair_sets=["sbu"]'], "sbu"),
    ],
)
def test_mistakes_are_one_line_and_status_two(
    tiny_root, tiny_recipe, tmp_path, capsys, more, named
):
    """Truth: the mistake that was made."""
    assert train(tiny_root, tiny_recipe, tmp_path / "run", *more) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("unimo2: error:") and named in lines[-1]
    assert not any(line.startswith("Traceback") for line in lines)


def test_a_data_root_without_flickr_keeps_the_weight(tiny_root, tiny_recipe, tmp_path, capsys):
    """Truth: the preset's weight, and a line that says so."""
    (tiny_root / "flickr30k" / "dataset_flickr30k.json").unlink()
    assert train(tiny_root, tiny_recipe, tmp_path / "run") == 0
    assert "weight left as it is" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["contrastive_weight"] == 0.3
