"""Fine-tuning starts from any checkpoint: the head of another task is left out, all else is kept.

The authors' STS-B starts from their MNLI model.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from builders.tiny_tasks import write_model, write_root
from unimo2 import Unimo2Config
from unimo2.cli import main
from unimo2.errors import BadCheckpoint
from unimo2.training.finetuning.config import (
    default_config,
    load_finetune_recipe,
    override_finetune,
)
from unimo2.training.finetuning.tasks import prepare, prepare_encoder

MODELS = Path(__file__).resolve().parents[3] / "zoo" / "checkpoints"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("data"))


def _prepared(task: str, folder: Path, root: Path, *changes: str):
    recipe = load_finetune_recipe(f"mini-{task.replace('_', '-')}", default_config(task))
    recipe = override_finetune(recipe, ["batch_size=2", "steps=2", *changes])
    if task == "coco":
        recipe = override_finetune(recipe, ["captions_per_image=2"])
    return prepare(task, recipe, folder, root)


@pytest.fixture(scope="module")
def tuned(root, tmp_path_factory) -> dict[str, Path]:
    """A tiny checkpoint of each task, as fine-tuning writes it."""
    start = write_model(tmp_path_factory.mktemp("model"))
    folders = {}
    for task in ("mnli", "cola", "sst2", "stsb", "snli_ve", "vqa", "flickr"):
        folders[task] = tmp_path_factory.mktemp("tuned") / f"my-{task}"
        built = _prepared(task, start, root).task
        with torch.no_grad():  # as training would move them
            for weights in built.model.parameters():
                weights.add_(0.01)
        built.save(folders[task], "float32")
    return folders


@pytest.mark.parametrize(
    "before, after",
    [
        ("mnli", "stsb"),  # three outputs, then one
        ("cola", "sst2"),  # two and two: no shape tells them apart
        ("snli_ve", "mnli"),  # the same class names, another kind of head
        ("vqa", "snli_ve"),
        ("stsb", "flickr"),
        ("vqa", "coco"),
    ],
)
def test_another_tasks_head_is_dropped_and_everything_else_is_kept(before, after, tuned, root):
    """Independent truth: the weights in the checkpoint's file, name by name."""
    prepared = _prepared(after, tuned[before], root)
    spelled = before.replace("_", "-")
    assert prepared.dropped is not None and "\n" not in prepared.dropped
    assert f"the head of my-{before} is of {spelled} and is dropped" in prepared.dropped
    file = load_file(tuned[before] / "model.safetensors")
    model = prepared.task.model
    state = {name: value for name, value in model.state_dict().items() if name[:5] != "head."}
    if after in ("flickr", "coco"):
        state = {f"unimo2.{name}": value for name, value in state.items()}
    kept = {name: value for name, value in file.items() if not name.startswith("head.")}
    assert state.keys() == kept.keys()
    assert all(torch.equal(state[name], kept[name]) for name in kept)
    assert model.config.task == after
    if after == "sst2":
        assert not torch.equal(model.head.weight, file["head.weight"])


def test_a_new_head_follows_from_the_seed_alone(tuned, root):
    """Independent truth: the head that the pre-trained start gets with the same seed is alike."""
    one, same, other = (
        _prepared("stsb", tuned["mnli"], root, f"seed={seed}").task.model.head.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("task", ["mnli", "stsb", "snli_ve", "vqa", "flickr"])
def test_a_head_of_the_same_task_is_kept(task, tuned, root):
    """Independent truth: all weights in the checkpoint's file."""
    prepared = _prepared(task, tuned[task], root)
    assert prepared.dropped is None
    file = load_file(tuned[task] / "model.safetensors")
    state = prepared.task.model.state_dict()
    assert state.keys() == file.keys()
    assert all(torch.equal(state[name], file[name]) for name in file)


def test_a_vqa_head_of_other_answers_or_other_inputs_is_dropped(tuned, root, tmp_path):
    """Independent truth: two answers change places in config.json; a head of other width."""
    folder = tmp_path / "my-vqa"
    _prepared("vqa", tuned["vqa"], root).task.save(folder, "float32")
    config = Unimo2Config.from_pretrained(folder)
    config.id2label[0], config.id2label[1] = config.id2label[1], config.id2label[0]
    config.save_pretrained(folder)
    assert "other classes" in str(_prepared("vqa", folder, root).dropped)
    other = "concat" if config.pair_head_input != "concat" else "product"
    prepared = _prepared("vqa", tuned["vqa"], root, f"model.head_input={other}")
    assert other in str(prepared.dropped)


def test_weights_that_cannot_fit_are_refused_in_one_line(tuned, root):
    """Independent truth: a dictionary of another size than the checkpoint's."""
    for task in ("mnli", "stsb"):
        with pytest.raises(BadCheckpoint, match="my-mnli") as caught:
            _prepared(task, tuned["mnli"], root, "model.dictionary_size=7")
        assert "\n" not in str(caught.value)


def test_stsb_starts_from_the_shipped_mnli_model(root, tmp_path, capsys):
    """Independent truth: exit code 0, a folder of STS-B, and the line that says what was dropped."""
    arguments = ["--model", "mini-mnli", "--data-root", str(root), "--output", str(tmp_path)]
    small = ["--set", "batch_size=2", "--steps", "2", "--device", "cpu"]
    assert main(["finetune", "stsb", *arguments, *small]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "dropped" in line]
    assert lines == ["the head of mini-mnli is of mnli and is dropped: stsb gets a new one"]
    config = Unimo2Config.from_pretrained(tmp_path / "model")
    assert (config.task, config.num_labels) == ("stsb", 1)


@pytest.fixture(scope="module")
def entailment_encoder(tmp_path_factory) -> Path:
    """A tiny BERT with a head of three classes, as transformers saves one that knows MNLI."""
    place = tmp_path_factory.mktemp("encoder") / "bert-mnli"
    place.mkdir()
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a it is red green blue white good bad square the be"
    (place / "vocab.txt").write_text("\n".join(words.split()))
    BertTokenizerFast(vocab_file=str(place / "vocab.txt")).save_pretrained(place)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=17, intermediate_size=32, num_labels=3, **sizes)
    BertForSequenceClassification(config).save_pretrained(place)
    return place


def test_another_encoders_head_is_dropped_too(entailment_encoder, root):
    """Independent truth: one output for STS-B, and the body's weights of the file."""
    recipe = load_finetune_recipe("stsb", default_config("stsb"))
    recipe = override_finetune(recipe, ["batch_size=2", "steps=2"])
    prepared = prepare_encoder("stsb", recipe, entailment_encoder, root)
    assert prepared.dropped is not None and "bert-mnli" in prepared.dropped
    model, file = prepared.task.model, load_file(entailment_encoder / "model.safetensors")
    assert model.classifier.weight.shape == (1, 16)
    body = {name: value for name, value in file.items() if name.startswith("bert.")}
    assert body and all(torch.equal(model.state_dict()[name], body[name]) for name in body)
    again = prepare_encoder("mnli", recipe, entailment_encoder, root)
    assert again.dropped is None
