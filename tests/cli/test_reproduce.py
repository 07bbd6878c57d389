"""`unimo2 reproduce`: its plan, what it skips, and what it puts into a checkout."""

import json

import pytest

from evals import records
from evals.ablation import running
from evals.datasets import suites
from evals.datasets.suites import Suite
from evals.embedded import embedded_models, reproducing
from unimo2.cli import main

CORPORA = """
dictionary_size = 128

[training]
pair_steps = 0.5
image_batch = 2
text_batch = 2
text_sets = ["text"]
image_sets = ["imagenet21k"]
"""


@pytest.fixture
def reproduce(tmp_path, tiny_recipe, monkeypatch):
    """Runs `unimo2 reproduce` with more arguments; nothing is really trained or measured."""
    suite = Suite("mini", tmp_path / "suite", "f" * 64)
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    monkeypatch.setattr(suites, "resolve", lambda *given, **more: suite)
    text = tiny_recipe.read_text().replace("dictionary_size = 16", "", 1)
    head, body = CORPORA.split("[training]")
    text = text.replace("[training]", f"{head}\n[training]{body}", 1)
    tiny_recipe.write_text(text)

    def call(*arguments):
        more = ["--config", str(tiny_recipe), "--output", str(tmp_path / "runs")]
        return main(["reproduce", "--device", "cpu", *more, *arguments])

    return call


def names(capsys):
    """The jobs of a plan in JSON."""
    return [job["name"] for job in json.loads(capsys.readouterr().out)["jobs"]]


def test_a_plan_holds_all_that_is_shipped_in_order(reproduce, capsys, tmp_path):
    """Against the models by hand, and the columns of the paper's Tables 1 to 3."""
    assert reproduce("--tables", "1-3", "--dry-run", "--json") == 0
    found = names(capsys)
    pretrained = ["mini-vit", "mini-roberta", "mini", "mini-clip", "mini-vilt"]
    tasks = ["flickr", "vqa", "snli-ve", "coco", "imagenet", "sst2", "mnli", "cola", "stsb"]
    models = [*pretrained, *(f"mini-{task}" for task in tasks)]
    assert found[: len(models)] == [f"{name}: train" for name in models]
    zero_shot = [name for name in found if name.endswith("zero-shot")]
    assert zero_shot == [
        f"{model}: evaluate {where}, zero-shot"
        for where in ("flickr test", "imagenet val")
        for model in ("mini", "mini-clip", "mini-vilt")
    ]
    tuned = [
        name.partition("evaluate ")[2] for name in found[len(models) :] if name not in zero_shot
    ]
    assert sorted(tuned) == sorted(
        ["flickr test", "snli-ve dev", "snli-ve test", "vqa test-dev", "vqa test-std", "coco test"]
        + ["imagenet val", "sst2 dev", "mnli dev", "cola dev", "stsb dev"]
    )
    assert not (tmp_path / "runs").exists()


def test_a_plan_in_words_has_states_and_what_is_not_known(reproduce, capsys):
    """Against the last line of a plan of which nothing was ever done."""
    assert reproduce("--tables", "3", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["mini:", "train", "to", "do", "not", "known"] for line in lines)
    assert any("18 of 18 jobs remain, the cost of 18 of them is not known." in x for x in lines)


def test_tables_of_ablations_are_jobs_of_the_same_plan(reproduce, capsys):
    """Against the rows of Table 5 and its two columns, with two seeds."""
    assert reproduce("--tables", "5", "--seeds", "0", "1", "--dry-run", "--json") == 0
    found = names(capsys)[14:]
    trained = [name for name in found if name.endswith("pre-train")]
    assert trained[0] == "c=64, seed 0: pre-train"
    assert len(trained) == 2 * 9  # four C, four K, the map
    assert len(found) == len(trained) * 4  # a fine-tuning and two evaluations each


def test_what_is_done_is_skipped_and_the_rest_exported(reproduce, capsys, tmp_path, monkeypatch):
    """Against counters in the place of trainings, and the folders of a checkout."""
    done = []

    def work(plan, model):
        done.append(model.name)
        folder = plan.folder(model.name)
        folder.mkdir(parents=True)
        recipe = plan.tuning_recipe(model) if model.task else plan.recipe(model)
        told = {"config": recipe.training.identity(), "retrieval_weight": {}}
        (folder / "train.json").write_text(json.dumps(told))

    monkeypatch.setattr(reproducing, "pretrain_model", work)
    monkeypatch.setattr(reproducing, "tune_model", work)
    monkeypatch.setattr(reproducing, "measure_model", lambda plan, one: None)
    monkeypatch.setattr(reproducing.Reproduction, "_weights", lambda plan, name: "0" * 64)
    assert reproduce("--tables", "2") == 0
    assert done == [model.name for model in embedded_models()]
    assert "mini: train: done in" in capsys.readouterr().err
    assert reproduce("--tables", "2", "--dry-run") == 0
    assert "4 of 18 jobs remain" in capsys.readouterr().out
    installed = []
    monkeypatch.setattr(
        "evals.embedded.install", lambda model, runs, zoo: installed.append(zoo) or []
    )
    assert reproduce("--tables", "2", "--export", str(tmp_path / "checkout")) == 0
    assert done == [model.name for model in embedded_models()]
    assert installed == [tmp_path / "checkout" / "zoo"] * 14


def test_a_failing_training_costs_only_what_starts_from_it(reproduce, capsys, monkeypatch):
    """Against the pre-trained model's failure: towers and peers are trained, its tasks are not."""
    done = []

    def work(plan, model):
        if model.name == "mini":
            reproducing.Reproduction.recipe(plan, model)
            raise running.UsageError("the loss is nan")
        done.append(model.name)

    monkeypatch.setattr(reproducing, "pretrain_model", work)
    monkeypatch.setattr(reproducing, "tune_model", work)
    monkeypatch.setattr(reproducing, "measure_model", lambda plan, one: done.append(one.name))
    assert reproduce("--tables", "1") == 2
    assert done[:4] == ["mini-vit", "mini-roberta", "mini-clip", "mini-vilt"]
    assert all("zero-shot" in name and name.startswith("mini-") for name in done[4:])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("unimo2: error: mini: train: the loss is nan; ")
    assert last.endswith("were not started; the same command goes on with what is left")


@pytest.mark.parametrize("words", [["6"], ["1-9"], ["3-1"], ["all"]])
def test_other_tables_are_refused(reproduce, capsys, words):
    """Against tables of settings, ranges that are none, and words."""
    assert reproduce("--tables", *words) == 2
    assert "--tables " in capsys.readouterr().err
