"""The example that trains the embedded models and puts them into the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForPairs
from unimo2.modeling.model import Unimo2Model
from zoo import cards

SCRIPT = Path(__file__).parents[2] / "examples" / "embedded_models.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("embedded_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["embedded_models"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["embedded_models"]


def tiny(**fields):
    return Unimo2Config.mini(
        hidden_size=16, intermediate_size=32, num_attention_heads=2, fusion_layers=1, **fields
    )


def trained(runs: Path, name: str, model) -> Path:
    """A run that has finished."""
    model.save_pretrained(runs / name / "model")
    (runs / name / "train.json").write_text('{"retrieval_weight": {"weight": 1.0}}')
    return runs / name / "model"


def test_a_pretraining_without_its_retrieval_weight_has_not_finished(script, tmp_path):
    """Truth: what is written when: train.json first, the weight into it a minute later."""
    mini, vqa = (model for model in script.embedded_models() if model.name in ("mini", "mini-vqa"))
    for model in (mini, vqa):
        assert not script.is_finished(model, tmp_path)
        (tmp_path / model.name).mkdir()
        (tmp_path / model.name / "train.json").write_text("{}")
    assert script.is_finished(vqa, tmp_path) and not script.is_finished(mini, tmp_path)
    (tmp_path / "mini" / "train.json").write_text('{"retrieval_weight": {}}')
    assert script.is_finished(mini, tmp_path)


def test_weights_and_card_go_into_the_package_without_training_again(script, tmp_path, monkeypatch):
    """Truth: the strict reader of cards, the sha256 of the files, the commands by hand."""
    (tmp_path / "zoo" / "cards").mkdir(parents=True)
    runs = tmp_path / "runs"
    trained(runs, "mini", Unimo2Model(tiny()))
    trained(runs, "mini-vqa", Unimo2ForPairs(tiny(task="vqa", num_labels=3)))
    monkeypatch.setattr(
        sys, "argv", ["x", str(runs), "--only", "vqa", "mini", "--zoo", str(tmp_path / "zoo")]
    )
    script.main()

    known = cards.read_all(tmp_path / "zoo" / "cards")
    assert list(known) == ["mini", "mini-vqa"]
    base, vqa = known["mini"], known["mini-vqa"]
    assert set(base.capabilities) == {"pair_scorer", "dual_encoder"}
    assert base.finetuned_for == () and base.adapted_from is None
    assert (
        base.command
        == f"torchrun --nproc-per-node 2 -m unimo2 pretrain --config mini --output {runs}/mini"
    )
    assert vqa.capabilities == ("answerer",)
    assert (vqa.finetuned_for, vqa.adapted_from) == (("vqa",), "mini")
    assert vqa.command == f"unimo2 finetune vqa --output {runs}/mini-vqa"
    for card in (base, vqa):  # the sha256 is that of the weights beside it
        cards.check_weights(card, tmp_path / "zoo" / card.source.location)


def test_a_model_that_is_too_large_is_refused_and_changes_nothing(script, tmp_path):
    """Truth: a file of the limit's size beside the weights; nothing is written."""
    folder = trained(tmp_path / "runs", "mini", Unimo2Model(tiny()))
    (folder / "more").write_bytes(b"\0" * script.MOST_BYTES)
    with pytest.raises(SystemExit, match="an embedded model at most"):
        script.install(script.embedded_models()[0], tmp_path / "runs", tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_every_task_has_a_recipe_of_the_embedded_model_s_size(script):
    """Truth: the tasks and recipes of `unimo2 finetune`."""
    from unimo2.training.finetuning.config import (
        TASKS,
        default_config,
        default_recipe,
        load_finetune_recipe,
        task_name,
    )

    trained = [model.arguments for model in script.embedded_models()]
    tasks = [rest[0] for verb, *rest in trained if verb == "finetune"]
    assert {task_name(task) for task in tasks} == set(TASKS)
    for task in map(task_name, tasks):
        recipe = default_recipe(task, Unimo2Config.mini().hidden_size)
        assert load_finetune_recipe(recipe, default_config(task)).training.epochs > 0
