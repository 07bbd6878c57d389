"""The models that come with the package: their trainings in order, their cards, their records."""

import json
from dataclasses import replace

import pytest
from transformers import RobertaConfig, RobertaForMaskedLM

from builders import corpora_folders
from builders.tiny_tasks import write_root
from evals import records
from evals.datasets.suites import Suite
from evals.embedded import PRETRAINED, Measurement, Reproduction, embedded_models, install
from evals.embedded import reproducing as reproducing
from evals.embedded.models import MOST_BYTES
from evals.jobs import Engine, State, run_jobs
from unimo2.errors import UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForPairs
from unimo2.modeling.model import Unimo2Model
from unimo2.training.finetuning.config import TASKS, default_config, load_finetune_recipe
from zoo import cards

MODELS = {model.name: model for model in embedded_models()}
SIZES = ["hidden_size=16", "intermediate_size=32", "num_attention_heads=2", "vision_layers=1"]
SIZES += ["text_layers=1", "fusion_layers=1", "image_size=16", "dictionary_size=16"]
SIZES += ["grounded_tokens=4"]
TINY = [f"model.{one}" for one in SIZES]
TINY += ["steps=2", "batch_size=4", "image_batch=2", "text_batch=2", "vocab_size=300"]
TINY += ["max_text_length=24", "text_length=16", "precision=fp32", "match_share=1.0"]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A reproduction on a suite whose files nobody reads here, without records in the package."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    return Reproduction(Suite("mini", tmp_path / "suite", "f" * 64), tmp_path / "runs")


def tiny(**fields):
    """The configuration of a model of a few thousand parameters."""
    return Unimo2Config.mini(
        hidden_size=16, intermediate_size=32, num_attention_heads=2, fusion_layers=1, **fields
    )


def trained(plan, name, model=None):
    """Leave what a training leaves at its end."""
    folder = plan.folder(name)
    if model is not None:
        model.save_pretrained(folder / "model")
    folder.mkdir(parents=True, exist_ok=True)
    one = MODELS[name]
    recipe = plan.tuning_recipe(one) if one.task else plan.recipe(one)
    told = {"config": recipe.training.identity(), "retrieval_weight": {"weight": 1.0}}
    (folder / "train.json").write_text(json.dumps(told))
    return folder / "model"


def states(plan):
    """How far each training is."""
    return {job.name.partition(":")[0]: job.state for job in plan.jobs([])}


def test_every_model_comes_after_those_that_it_starts_from(plan):
    """Against the recipes: ViLT starts from the ViT, every fine-tuned model from the pre-trained."""
    jobs = plan.jobs([Measurement("mini-vqa", "vqa", "test-dev", False)])
    needs = {job.name: job.needs for job in jobs}
    names = list(needs)
    assert all(names.index(one) < names.index(name) for name in names for one in needs[name])
    assert needs["mini-vilt: train"] == ("mini-vit: train",)
    assert needs["mini-vqa: train"] == ("mini: train",)
    assert needs["mini-vqa: evaluate vqa test-dev"] == ("mini-vqa: train",)
    assert {job.state for job in jobs} == {State.TO_DO}
    tuned = [model.task for model in MODELS.values() if model.task]
    assert sorted(tuned) == sorted(TASKS)
    for task in tuned:
        recipe = load_finetune_recipe(f"mini-{task.replace('_', '-')}", default_config(task))
        assert recipe.training.epochs > 0


def test_towers_are_those_of_the_runs_folder(plan):
    """Against the places that the recipes name, below another runs folder."""
    training = plan.recipe(MODELS["mini-vilt"]).training
    assert training.vision_tower == f"local-dir:{plan.output}/mini-vit/model"
    assert plan.needs(MODELS["mini-vilt"]) == ("mini-vit",)
    assert plan.needs(MODELS[PRETRAINED]) == ("mini-vit", "mini-roberta")
    assert plan.needs(MODELS["mini-clip"]) == ()


def test_a_pretraining_without_its_retrieval_weight_has_not_finished(plan):
    """Against what is written when: train.json first, the weight into it a minute later."""
    for tower in plan.needs(MODELS[PRETRAINED]):
        trained(plan, tower)
    path = trained(plan, PRETRAINED).parent / "train.json"
    assert states(plan)[PRETRAINED] is State.DONE
    told = json.loads(path.read_text())
    path.write_text(json.dumps({"config": told["config"]}))
    assert states(plan)[PRETRAINED] is State.TO_DO
    (path.parent / "log.jsonl").write_text('{"step": 100, "seconds": 50.0}\n{"step": 2')
    (job,) = [job for job in plan.jobs([]) if job.name == "mini: train"]
    steps = plan.recipe(MODELS[PRETRAINED]).training.steps
    assert job.state is State.INTERRUPTED and job.cost.seconds == pytest.approx((steps - 100) / 2)


def test_a_model_is_trained_again_when_the_one_it_starts_from_was(plan):
    """Against the order in which both were finished; a fine-tuned model without its start is none."""
    trained(plan, "mini-sst2")
    assert states(plan)["mini-sst2"] is State.TO_DO
    trained(plan, PRETRAINED)
    assert states(plan)["mini-sst2"] is State.TO_DO
    assert plan.resume(MODELS["mini-sst2"]) == "never"
    trained(plan, "mini-sst2")
    assert states(plan)["mini-sst2"] is State.DONE


def test_a_training_by_another_recipe_is_not_taken_for_this_one(plan):
    """Against one value that differs: the line names it, and what to do."""
    trained(plan, "mini-sst2")
    other = replace(plan, tuning=("learning_rate=0.5",))
    with pytest.raises(UsageError, match=r"mini-sst2 with learning_rate = \S+, not 0.5: choose"):
        other.jobs([])


def test_weights_and_card_go_into_a_checkout(plan, tmp_path):
    """Against the strict reader of cards, the sha256 of the files, the commands by hand."""
    trained(plan, PRETRAINED, Unimo2Model(tiny()))
    trained(plan, "mini-vqa", Unimo2ForPairs(tiny(task="vqa", num_labels=3)))
    for name in (PRETRAINED, "mini-vqa"):
        install(MODELS[name], plan.output, tmp_path / "zoo")
    known = cards.read_all(tmp_path / "zoo" / "cards")
    assert list(known) == ["mini", "mini-vqa"]
    base, vqa = known["mini"], known["mini-vqa"]
    assert set(base.capabilities) == {"pair_scorer", "dual_encoder"}
    assert base.finetuned_for == () and base.adapted_from is None
    assert base.command == "unimo2 pretrain --config mini --output runs/pretrain"
    assert vqa.capabilities == ("answerer",)
    assert (vqa.finetuned_for, vqa.adapted_from) == (("vqa",), "mini")
    assert (
        vqa.command == "unimo2 finetune vqa --model runs/pretrain/model --output runs/finetune/vqa"
    )
    for card in (base, vqa):
        cards.check_weights(card, tmp_path / "zoo" / card.source.location)


def test_an_encoder_without_a_head_is_there_to_be_fine_tuned(plan, tmp_path):
    """Against the strict reader of cards: it cannot be measured, and its line says what to do."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    trained(plan, "mini-roberta", RobertaForMaskedLM(RobertaConfig(num_hidden_layers=1, **sizes)))
    install(MODELS["mini-roberta"], plan.output, tmp_path / "zoo")
    card = cards.read_all(tmp_path / "zoo" / "cards")["mini-roberta"]
    assert not card.runnable
    assert "unimo2 finetune sst2 --model mini-roberta" in card.why_not_runnable
    cards.check_weights(card, tmp_path / "zoo" / card.source.location)


def test_a_model_that_is_too_large_is_refused_and_changes_nothing(plan, tmp_path):
    """Against a file of the limit's size beside the weights; nothing is written."""
    folder = trained(plan, PRETRAINED, Unimo2Model(tiny()))
    (folder / "more").write_bytes(b"\0" * MOST_BYTES)
    with pytest.raises(UsageError, match="an embedded model takes at most"):
        install(MODELS[PRETRAINED], plan.output, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_a_model_is_trained_tuned_and_measured_once(tmp_path, monkeypatch):
    """Against the records of tiny data; a second plan finds all of it done."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    root = write_root(tmp_path / "data")
    corpora_folders.everything(root)
    for name in ("bookwiki", "openwebtext"):
        corpora_folders.text(root, name=name)
    suite = Suite("mini", root, "5" * 64)
    (root / "suite.json").write_text('{"suite": "mini", "fingerprint": "%s"}' % ("5" * 64))
    tuning = ("batch_size=4", "steps=2", "eval_epochs=0", "precision=fp32")
    plan = Reproduction(suite, tmp_path / "runs", "cpu", None, tuple(TINY), tuning)
    wanted = [
        Measurement(PRETRAINED, "flickr", "test", zero_shot=True),
        Measurement("mini-sst2", "sst2", "dev", zero_shot=False),
    ]
    chosen = ("mini-vit: ", "mini-roberta: ", "mini: ", "mini-sst2: ")
    jobs = [job for job in plan.jobs(wanted) if job.name.startswith(chosen)]
    run_jobs(jobs, Engine())
    again = [job for job in plan.jobs(wanted) if job.name.startswith(chosen)]
    assert len(again) == 6 and {job.state for job in again} == {State.DONE}
    found = plan.records_of(wanted)
    assert [record.model for record in found] == ["mini", "mini-sst2"]
    assert found[0].protocol["lineage"]["zero_shot"] == "yes"
    assert found[1].protocol["lineage"]["tuned_for"] == ["sst2"]
    assert not list(records.find(tmp_path / "none"))
