"""`unimo2 pretrain`: one command from images and captions to a model that retrieval can load."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
from timm.models import save_for_hf

import zoo
from builders import corpora_folders
from builders.foreign_models import text_folder
from evals.retrieval.weight import WEIGHTS, scan_weights
from unimo2.cli import main
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import read_karpathy
from unimo2.processing import Unimo2Processor
from unimo2.training.recipes import load_recipe
from zoo.protocols import StackedFeatures


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


def test_what_comes_before_the_first_step_is_told(display, tiny_root, tiny_recipe, tmp_path):
    """Truth: the stages in their order, and as many images decoded as COCO's file has."""
    assert train(tiny_root, tiny_recipe, tmp_path / "run", "--set", "steps=1") == 0
    found = display.stages()
    images = json.loads((tiny_root / "coco/dataset_coco.json").read_text())["images"]
    assert found["decoding images"] == (len(images), len(images))
    told = [doing for doing in found if not doing.startswith(("hashing", "loading"))]
    assert told[:6] == [
        *("listing the corpora", "preparing the tokenizer", "reading the corpora"),
        *("decoding images", "building the model", "training"),
    ]


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
        (["--set", "eval_every=5"], "no validation"),
        (["--device", "tpu"], "tpu"),
        (["--set", 'pair_sets=["laion"]'], "laion"),
        (["--set", 'image_sets=["open_images"]'], "Open Images"),
        (["--set", "max_text_length=129"], "positions for 128"),
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
    assert "weight unchanged" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["contrastive_weight"] == 0.3


def test_all_kinds_of_corpora_are_trained_on(tiny_root, tiny_recipe, tmp_path, capsys):
    """Truth: the folders that were written, and the counts that were asked for."""
    corpora_folders.everything(tiny_root)
    output = tmp_path / "run"
    sets = {
        "pair_sets": ["coco", "visual_genome", "conceptual_captions", "sbu"],
        "image_sets": ["imagenet21k", "open_images"],
        "text_sets": ["text"],
    }
    more = [f"--set={name}={json.dumps(value)}" for name, value in sets.items()]
    more += ["--set=image_batch=2", "--set=text_batch=2", "--set=pair_steps=0.5"]
    assert train(tiny_root, tiny_recipe, output, *more) == 0
    shown = capsys.readouterr().err
    assert "pairs: 24 images, 44 captions" in shown and "prompts: 9 images, 10 captions" in shown
    document = json.loads((output / "train.json").read_text())
    assert document["samples"] == {"pairs": 12 + 9, "prompts": 3, "images": 6, "texts": 6}
    assert set(document["corpora"]) == {"pairs", "prompts", "images", "texts"}
    lines = [json.loads(line) for line in (output / "log.jsonl").open()]
    assert ["vcl" in line and "text_mlm" in line for line in lines] == [False] * 3 + [True] * 3
    processor = Unimo2Processor.from_pretrained(output / "model")
    assert processor.max_text_length == 128
    assert (output / "vcl_projection.safetensors").is_file()


@pytest.mark.parametrize("name", ["mini", "base"])
def test_shipped_recipes_name_the_papers_corpora(name):
    """Truth: the paper, section 4.1."""
    training = load_recipe(name).training
    assert training.pair_sets == ("coco", "visual_genome", "conceptual_captions", "sbu")
    assert training.image_sets == ("imagenet21k", "open_images")
    assert training.text_sets == ("bookwiki", "openwebtext")
    assert training.prompts == ("a photo of [label]",)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 21355344\n"


@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage" * 50, POINTER])
@pytest.mark.parametrize("tower", ["vision", "text"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_tower_is_one_line_before_anything_is_read(
    tower, name, content, tiny_root, tiny_recipe, tmp_path, capsys
):
    """Truth: the one file that was spoiled, in a line of the command that names no corpus."""
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=32, num_heads=2)
    save_for_hf(vit, tmp_path / "vision", {"num_classes": 1000}, safe_serialization=True)
    text_folder(tmp_path / "text")
    spoiled = tmp_path / tower / name
    spoiled.write_bytes(content)
    towers = f"vision_tower=local-dir:{tmp_path / 'vision'}", f"text_tower={tmp_path / 'text'}"
    sets = [word for one in towers for word in ("--set", one)]
    assert train(tiny_root, tiny_recipe, tmp_path / "run", *sets) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"unimo2: error: {spoiled}: ") and "it is damaged, or a pointer" in line
