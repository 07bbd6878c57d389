"""All nine tasks trained for a few steps on tiny files: weights, folders, resuming, selection."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from builders.tiny_tasks import write_model, write_root
from unimo2 import Unimo2Config, Unimo2Model
from unimo2.data.seeding import Shard
from unimo2.errors import UsageError
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.training.finetuning.config import (
    TASKS,
    FinetuneRecipe,
    default_config,
    load_finetune_recipe,
    override_finetune,
)
from unimo2.training.finetuning.tasks import FinetuningRun, prepare, prepare_encoder
from unimo2.training.trainer import TrainSummary, train

CLASSES = {
    "vqa": (Unimo2ForPairs, 6),
    "snli_ve": (Unimo2ForPairs, 3),
    "imagenet": (Unimo2ForImages, 4),
    "sst2": (Unimo2ForTexts, 2),
    "mnli": (Unimo2ForTexts, 3),
    "cola": (Unimo2ForTexts, 2),
    "stsb": (Unimo2ForTexts, 1),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def _recipe(task: str, *changes: str) -> FinetuneRecipe:
    recipe = load_finetune_recipe(f"mini-{task.replace('_', '-')}", default_config(task))
    small = ["batch_size=4", "steps=24", "learning_rate=5e-3", "precision=fp32", "log_every=1"]
    small += ["save_dtype=float32", "checkpoint_every=8"]
    small += ["captions_per_image=2"] if task == "coco" else []
    small += ["holdout=0.34"] if task == "imagenet" else []
    return override_finetune(recipe, [*small, *changes])


def _prepared(task: str, folder: Path, root: Path, *changes: str) -> FinetuningRun:
    return prepare(task, _recipe(task, *changes), folder, root)


def _train(prepared: FinetuningRun, output: Path, **options) -> TrainSummary:
    return train(prepared.task, prepared.config, output, device="cpu", **options)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_learns_and_leaves_a_folder_that_says_what_it_is(task, folder, root, tmp_path):
    """Independent truth: the log's losses; the folder, loaded by its own class, names its task."""
    summary = _train(_prepared(task, folder, root), tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").open()]
    assert len(losses) == 24 and sum(losses[-6:]) < sum(losses[:6])
    config = Unimo2Config.from_pretrained(summary.model_folder)
    assert config.task == task
    kind, count = CLASSES.get(task, (Unimo2Model, None))
    model, info = kind.from_pretrained(summary.model_folder, output_loading_info=True)
    assert not info["missing_keys"]
    if count is not None:
        assert config.num_labels == count
    base = Unimo2Model.from_pretrained(folder)
    moved = getattr(model, "unimo2", model).fusion.layers[0].qkv.weight
    assert not torch.equal(moved, base.fusion.layers[0].qkv.weight)


class _Killed(Exception):
    """In place of a signal: the loop is left in the midst of the run."""


@pytest.mark.parametrize("task", ["flickr", "vqa"])
def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    task, folder, root, tmp_path
):
    """Independent truth: the uninterrupted run, bit by bit, dropout and negatives included."""
    evaluate = {"evaluate": lambda model, step: {"value": float(step)}, "select": "value"}

    def stop(progress) -> None:
        if progress.step == 13:
            raise _Killed

    whole = _train(_prepared(task, folder, root), tmp_path / "whole", **evaluate)
    with pytest.raises(_Killed):
        prepared = _prepared(task, folder, root)
        _train(prepared, tmp_path / "stopped", on_progress=stop, **evaluate)
    again = _train(_prepared(task, folder, root), tmp_path / "stopped", **evaluate)
    assert (again.resumed_from, again.steps) == (8, 24)
    one, other = (load_file(s.model_folder / "model.safetensors") for s in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_object_tags_of_images_come_with_their_captions(folder, root, tmp_path):
    """Independent truth: each image's own tag, decoded again; a run goes on with these tags alone."""
    path = tmp_path / "tags.json"
    path.write_text(json.dumps({str(number): [f"white{number}"] for number in range(7)}))
    prepared = _prepared("coco", folder, root, f"object_tags={path}", "steps=8")
    told = prepared.task.identity()["data"]["object_tags"]
    assert (told["file"], told["images_with_tags"], told["training_images"]) == ("tags.json", 7, 7)
    plain = _prepared("coco", folder, root, "steps=8")
    assert "object_tags" not in plain.config.identity()
    decode = prepared.task.processor.tokenizer.decode
    tagged = 0
    for step in range(8):
        batch, same = (one.task.batch(step, Shard()) for one in (prepared, plain))
        assert torch.equal(batch.input_ids, same.input_ids) and same.tag_ids is None
        assert torch.equal(batch.pixel_values, same.pixel_values)
        for row, pixels in enumerate(batch.pixel_values):
            number = _number_of(pixels, prepared, root)
            tags = (
                ""
                if batch.tag_ids is None
                else decode(batch.tag_ids[row][batch.tag_mask[row].bool()])
            )
            assert tags == (f"<s>white{number}</s>" if number < 7 else "")
            tagged += number < 7
    assert tagged > 3
    _train(prepared, tmp_path / "run")
    path.write_text(json.dumps({"0": ["red"]}))
    with pytest.raises(UsageError, match="fingerprint|object_tags"):
        _train(_prepared("coco", folder, root, f"object_tags={path}", "steps=8"), tmp_path / "run")


def _number_of(pixels: torch.Tensor, prepared: FinetuningRun, root: Path) -> int:
    """Which of the training images of COCO these pixels are."""
    for path in sorted((root / "coco").rglob("*.jpg")):
        own = prepared.task.processor.pixel_values(Image.open(path))[0]
        if torch.allclose(own, pixels, atol=1e-5):
            return int(path.stem.rpartition("_")[2])
    raise AssertionError("no such image")


def test_the_best_evaluation_decides_which_weights_are_kept(folder, root, tmp_path):
    """Independent truth: the weights that the scripted evaluator saw when it gave its best value."""
    values = {4: 1.0, 8: 3.0, 12: 3.0, 16: 2.0}
    seen: dict[int, torch.Tensor] = {}

    def evaluate(model, step) -> dict[str, float]:
        seen[step] = model.head[0].weight.detach().clone()
        return {"accuracy": values[step]}

    prepared = _prepared("snli_ve", folder, root, "steps=16", "eval_every=4")
    summary = _train(prepared, tmp_path, evaluate=evaluate, select="accuracy")
    assert (summary.best.step, summary.best.value) == (8, 3.0)
    kept = Unimo2ForPairs.from_pretrained(summary.model_folder).head[0].weight
    assert torch.equal(kept, seen[8]) and not torch.equal(kept, seen[12])


def test_images_held_out_are_scored_by_the_classes_they_lie_in(folder, root):
    """Independent truth: a head that always says one class is right for a quarter of them."""
    prepared = _prepared("imagenet", folder, root)
    model = prepared.task.model
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = torch.tensor([0.0, 5.0, 0.0, 0.0])
    assert prepared.held_out(model.eval()) == pytest.approx(25.0)


def test_new_heads_and_batches_follow_from_the_seed(folder, root):
    """Independent truth: two preparations alike; another seed differs in both."""
    one, same = (_prepared("vqa", folder, root, "seed=3") for _ in range(2))
    other = _prepared("vqa", folder, root, "seed=4")
    heads = [p.task.model.head[0].weight for p in (one, same, other)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    images = [p.task.batch(2, Shard()).pixel_values for p in (one, same, other)]
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])


def test_the_grounding_loss_joins_where_it_has_a_weight(folder, root):
    """Independent truth: the same batch without the weight, and the model's own equation 3."""
    plain = _prepared("snli_ve", folder, root)
    heavy = _prepared("snli_ve", folder, root, "grounding_weight=0.5")
    batch = plain.task.batch(0, Shard())
    without, both = (p.task.objective.eval()(batch) for p in (plain, heavy))
    own = plain.task.model(batch.pixel_values, batch.input_ids, batch.attention_mask)
    assert both["grounding"].item() == pytest.approx(own.grounding_loss.item(), rel=1e-5)
    expected = without["loss"] + 0.5 * own.grounding_loss
    assert both["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of a few thousand weights with a tokenizer of a few words, as transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    place = tmp_path_factory.mktemp("encoder")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a it is red green blue white good bad square the be"
    (place / "vocab.txt").write_text("\n".join(words.split()))
    BertTokenizerFast(vocab_file=str(place / "vocab.txt")).save_pretrained(place)
    config = BertConfig(
        vocab_size=17,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(place)
    return place


@pytest.mark.parametrize("task", ["sst2", "mnli", "cola", "stsb"])
def test_any_text_encoder_is_fine_tuned_for_glue(task, encoder, root, tmp_path):
    """Independent truth: transformers' own loss of the batch; the folder loads with its head."""
    from transformers import AutoModelForSequenceClassification

    recipe = _recipe(task)
    recipe = FinetuneRecipe(recipe.name, recipe.training)
    prepared = prepare_encoder(task, recipe, encoder, root)
    batch = prepared.task.batch(0, Shard())
    model = prepared.task.model.eval()
    own = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        labels=batch.labels,
    )
    assert prepared.task.objective(batch)["loss"].item() == pytest.approx(own.loss.item(), rel=1e-5)
    if task == "mnli":
        assert batch.token_type_ids.max() == 1  # BERT is told which sentence is the second
    summary = _train(prepared, tmp_path)
    again, info = AutoModelForSequenceClassification.from_pretrained(
        summary.model_folder, output_loading_info=True
    )
    assert not info["missing_keys"] and again.config.task == task
    with pytest.raises(UsageError, match="fields of UNIMO-2"):
        prepare_encoder(task, _recipe(task, "model.hidden_dropout=0.2"), encoder, root)


def test_a_new_vqa_head_can_start_from_how_often_each_answer_is_given(folder, root):
    """Independent truth: the mean of all targets, summed sample by sample; without it zero."""
    prepared = _prepared("vqa", folder, root, "start_from_frequencies=true")
    data = prepared.task.data
    targets = data._targets.of(torch.arange(data.samples))
    share = torch.stack([row for row in targets]).sum(dim=0) / data.samples
    bias = prepared.task.model.head[-1].bias
    assert torch.allclose(torch.sigmoid(bias), share.clamp(1e-5, 1 - 1e-5), atol=1e-6)
    assert share.max() > 0.1
    plain = _prepared("vqa", folder, root, "start_from_frequencies=false")
    assert not plain.task.model.head[-1].bias.any()
