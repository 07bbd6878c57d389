"""From a folder of the released form to a row of Table 1, by the commands that a user types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from builders.tiny_tasks import write_root
from evals import records
from unimo2 import Unimo2Config, Unimo2Model, Unimo2Processor
from unimo2.cli import main
from unimo2.errors import UsageError
from unimo2.processing import train_tokenizer
from unimo2.released.config import config_from_released
from unimo2.released.convert import export_released, released_processor

WORDS = 300
FIELDS = {
    **dict.fromkeys(("hidden_size", "text_hidden_size", "vit_hidden_size"), 32),
    **dict.fromkeys(("num_attention_heads", "text_num_attention_heads"), 2),
    "vit_num_attention_heads": 2,
    **dict.fromkeys(("num_hidden_layers", "text_num_hidden_layers", "vit_num_hidden_layers"), 1),
    "text_vocab_size": WORDS,
    "text_max_position_embeddings": 66,
    "resolution": 16,
    "num_codebook": 32,
    "topk_value": 6,
    "vit_layer_norm_eps": 1e-12,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny files that call themselves a suite, so that no split of them is a sample."""
    root = write_root(tmp_path_factory.mktemp("data"))
    (root / "suite.json").write_text(json.dumps({"suite": "mini", "fingerprint": "tiny"}))
    return root


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint in the released form, its configuration file, and a tokenizer of its size."""
    place = tmp_path_factory.mktemp("released")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Unimo2Model(Unimo2Config.released(**config_from_released(FIELDS)))
    export_released(model, place / "UNIMO-2")
    (place / "config.json").write_text(json.dumps(FIELDS))
    tokenizer = train_tokenizer(["a red square", "one square that is blue"], WORDS)
    tokenizer.save_pretrained(place / "roberta")
    return {
        "weights": place / "UNIMO-2",
        "config": place / "config.json",
        "words": place / "roberta",
    }


def _convert(released: dict[str, Path], out: Path, *more: str) -> int:
    arguments = (released["weights"], out, "--config", released["config"])
    return main(["zoo", "convert", *map(str, arguments), *more])


@pytest.fixture(scope="module")
def converted(released: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `unimo2 zoo convert --tokenizer` writes."""
    out = tmp_path_factory.mktemp("converted") / "unimo2-released"
    assert _convert(released, out, "--tokenizer", str(released["words"])) == 0
    return out


def test_the_processor_is_the_releases(converted: Path) -> None:
    """Truth: the released configuration (384 pixels) and reader (one separator, 64 tokens here)."""
    processor = Unimo2Processor.from_pretrained(converted)
    assert (processor.image_size, processor.max_text_length) == (384, 64)
    (first, second) = (processor.tokenizer(text)["input_ids"] for text in ("a red", "square"))
    assert processor.tokenizer("a red", "square")["input_ids"] == [*first, *second[1:]]
    assert Unimo2Config.from_pretrained(converted).image_size == 224


def test_released_weights_become_a_row_of_table_1(
    converted: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the record's own recalls, in the model's row; its protocol says 384 pixels and 0.3."""
    runs = str(tmp_path / "runs")
    options = ["--data-root", str(root), "--output", runs, "--device", "cpu"]
    assert main(["eval", "flickr", "--zero-shot", "--model", str(converted), *options]) == 0
    (record,) = records.find([Path(runs)])
    assert record.protocol["image_size"] == 384 and record.protocol["contrastive_weight"] == 0.3
    assert record.variant is None and record.config["image_size"] == 224
    shown = capsys.readouterr().out
    assert "pixels  384" in shown
    assert main(["report", "--table", "1", "--runs", runs, "--data-root", str(root)]) == 0
    table = capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("unimo2-released")]
    (row,) = rows
    recall = record.metrics["image_retrieval/R@1"].value
    assert f"{recall:.1f}±" in row.split()[1]


def test_released_weights_are_fine_tuned_at_once(
    converted: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: exit codes; the folder that is left is evaluated at the size it was trained at."""
    arguments = ["--model", str(converted), "--data-root", str(root), "--output", str(tmp_path)]
    small = ["--device", "cpu", "--steps", "1", "--set", "batch_size=2"]
    assert main(["finetune", "mnli", *arguments, *small]) == 0
    assert main(["finetune", "flickr", *arguments[:-1], str(tmp_path / "f"), *small]) == 0
    assert Unimo2Processor.from_pretrained(tmp_path / "f/model").image_size == 384
    assert Unimo2Processor.from_pretrained(tmp_path / "model").pair_separators == 1


def test_eval_takes_another_image_size(
    converted: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: contrastive scores of the model's own towers over images of 32 pixels."""
    runs = tmp_path / "runs"
    options = ["--data-root", str(root), "--output", str(runs), "--device", "cpu", "--zero-shot"]
    command = ["eval", "flickr", "--model", str(converted), *options, "--limit", "3"]
    assert main([*command, "--image-size", "32"]) == 0
    (record,) = records.find([runs])
    assert record.protocol["image_size"] == 32 and record.variant == "image-size-32"
    assert "--image-size 32" in record.command
    assert record.path is not None
    model = Unimo2Model.from_pretrained(converted).eval()
    processor = Unimo2Processor.from_pretrained(converted)
    picture = Image.open(root / "flickr30k/flickr30k-images/16.jpg")  # the first of test
    processor.image_size = 32
    batch = processor(images=picture, text="a red square")
    with torch.no_grad():
        expected = model(**batch)
    scorer = zoo.load(converted, device="cpu")
    scorer.resize_images(32)
    with torch.no_grad():
        (image,), (text,) = scorer.encode_images([picture]), scorer.encode_texts(["a red square"])
    score = image.tensors["contrastive"] @ text.tensors["contrastive"]
    assert float(score) == pytest.approx(float(expected.cmcl_score[0]), abs=1e-5)
    assert main(["eval", "imagenet", *command[2:], "--image-size", "48"]) == 0
    found = [one for one in records.find([runs]) if one.benchmark == "imagenet"]
    assert [one.protocol["image_size"] for one in found] == [48]
    capsys.readouterr()
    assert main([*command, "--image-size", "40"]) == 2
    error = capsys.readouterr().err
    assert "expected a multiple of the patch size 16" in error and "use 32" in error


def test_what_does_not_fit_the_weights_is_refused(
    released: dict[str, Path], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: a vocabulary of another size; no tokenizer; a size that patches do not fill."""
    train_tokenizer([], 261).save_pretrained(tmp_path / "other")
    for more, says in (
        (("--tokenizer", str(tmp_path / "other")), "expected 300 entries"),
        (("--tokenizer", str(tmp_path / "nowhere")), "no tokenizer"),
        (("--tokenizer", str(released["words"]), "--image-size", "40"), "patch size 16"),
    ):
        assert _convert(released, tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
    config = Unimo2Config.released(**config_from_released({**FIELDS, "text_vocab_size": 300}))
    config.pad_token_id = 5
    with pytest.raises(UsageError, match="pad_token_id 5, got 1"):
        released_processor(released["words"], config)
    assert _convert(released, tmp_path / "bare") == 0
    assert "give --tokenizer" in capsys.readouterr().out
    arguments = ["--model", str(tmp_path / "bare"), "--data-root", str(root)]
    assert main(["eval", "flickr", "--zero-shot", *arguments]) == 2
    assert "zoo convert --tokenizer" in capsys.readouterr().err
    assert main(["finetune", "sst2", *arguments, "--output", str(tmp_path / "run")]) == 2
    assert "zoo convert --tokenizer" in capsys.readouterr().err


def test_the_models_own_size_is_not_in_the_protocol(root: Path, tmp_path: Path) -> None:
    """Truth: records from before the option have no such entry."""
    from builders.tiny_tasks import write_model

    folder = write_model(tmp_path / "model")
    options = ["--data-root", str(root), "--output", str(tmp_path / "runs"), "--device", "cpu"]
    assert main(["eval", "flickr", "--zero-shot", "--model", str(folder), *options]) == 0
    (record,) = records.find([tmp_path / "runs"])
    assert "image_size" not in record.protocol
