"""Ablations: which rows there are, which are done, what they cost, what they leave behind."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import zoo
from evals import records
from evals.ablation import (
    Study,
    columns_named,
    find_records,
    jobs_of,
    make_plan,
    make_rows,
    running,
)
from evals.ablation.cost import pair_flops
from evals.ablation.estimates import Estimator
from evals.datasets.suites import Suite
from evals.jobs import Cost, Engine, run_jobs
from evals.metrics.ranking import Metric
from evals.records import Record
from unimo2.errors import UsageError
from unimo2.formats.weights import weights_sha256
from unimo2.modeling.model import Unimo2Model, Unimo2Output
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.training import RETRIEVAL_WEIGHT
from unimo2.training.checkpoints import save_model
from unimo2.training.config import PretrainConfig
from unimo2.training.pretraining import model_config
from unimo2.training.recipes import Recipe
from zoo.protocols import StackedFeatures

MODEL = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "vision_layers": 1},
    **{"text_layers": 1, "fusion_layers": 2, "dictionary_size": 64, "grounded_tokens": 8},
}
RECIPE = Recipe("tiny", "mini", MODEL, PretrainConfig(steps=40, batch_size=8, seed=3))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study on a suite whose files nobody reads here, with no records in the package."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "measured")
    return Study(Suite("mini", tmp_path / "suite", "f" * 64), tmp_path / "runs")


FLICKR, COCO = columns_named(["flickr-zero-shot", "coco"])


class Workers:
    """Trainings and evaluations that only count; they can be told to break off, or to fail."""

    def __init__(self, monkeypatch):
        """Begin with nothing done, in the place of what really trains and evaluates."""
        self.trained, self.tuned, self.evaluated, self.failing = [], [], [], set()
        self.break_training = self.break_evaluation = False
        monkeypatch.setattr(running, "_pretrained", self.train)
        monkeypatch.setattr(running, "_weighed", lambda study, folder: None)
        monkeypatch.setattr(running, "tune", self.tune)
        monkeypatch.setattr(running, "_measured", self.measure)

    def train(self, study, row, folder):
        """Leave what a begun training leaves, then break off or finish."""
        self.trained.append((row.variant, folder))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.jsonl").write_text('{"step": 20}\n')
        if self.break_training:
            raise KeyboardInterrupt
        if row.variant in self.failing:
            raise UsageError("the loss is nan")
        return {
            "folder": "model",
            "seconds": 80.0,
            "samples_per_second": 4.0,
            "towers": study.tower_weights(row),
            "device": "a machine",
        }

    def tune(self, study, row, column):
        """Leave what a finished fine-tuning leaves."""
        self.tuned.append((row.variant, column.name))
        folder = study.tuned(row, column)
        folder.mkdir(parents=True)
        (folder / "train.json").write_text('{"steps": 7, "seconds": 30.0, "precision": "fp32"}')

    def measure(self, study, row, column, folder):
        """Leave a run folder with a record, then break off or finish."""
        self.evaluated.append(row.variant)
        metric = Metric(50.0, 10, (40.0, 60.0), 1.0, False)
        protocol = {"zero_shot": column.zero_shot, "pairs": "exhaustive"}
        record = Record(
            **{"status": "done", "suite": "mini", "benchmark": column.benchmark, "model": "model"},
            **{"variant": row.variant, "protocol": protocol},
            data={"fingerprint": "ab", "images": 10, "captions": 50, "note": None, "split": "test"},
            metrics={"image_retrieval/R@1": metric},
            **{"weights_sha256": "0", "config": CONFIG},
            **{"seed": 0, "versions": {}, "commit": None, "dirty": None, "device": "cpu"},
            **{"dtype": "float32", "seconds": 10.0, "throughput": {}, "peak_memory_mb": 1.0},
            **{"command": "unimo2 eval flickr", "notes": [], "created": "2026-01-01T00:00:00"},
        )
        home = folder / "mini" / column.benchmark / "model"
        written = records.write(record, home / f"run-{len(self.evaluated)}")
        if self.break_evaluation:
            raise KeyboardInterrupt
        return written


CONFIG = {"_name_or_path": "somewhere", "hidden_size": 32, "model_type": "unimo2"}


@pytest.fixture
def workers(monkeypatch):
    """Workers in the place of the real ones."""
    return Workers(monkeypatch)


class NoCost:
    """Leaves costs out of a plan."""

    def training(self, row):
        """Not known."""
        return Cost(None)

    def tuning(self, row, column=None):
        """Not known."""
        return Cost(None)

    evaluation = weighing = tuning


def planned(study, rows):
    """The plan of some rows as things are."""
    return make_plan(study, rows, find_records(study), NoCost())


def do(study, tokens=(4,), recipe=RECIPE, **more):
    """Plan and run; the states of the plan and the records."""
    rows = make_rows(recipe, study.suite, tokens, **more)
    plan = planned(study, rows)
    run_jobs(jobs_of(plan), Engine())
    cells = [cell for one in planned(study, rows) for cell in one.cells]
    return [one.state for one in plan], [cell.record for cell in cells]


def test_rows_are_those_of_table_5(study):
    """Against the parts of the paper's Table 5: C, then K, then the 1-to-1 map."""
    rows = make_rows(RECIPE, study.suite, (4, 8, 4), (16, 128), one_to_one=True)
    assert [row.variant for row in rows] == ["c=16", "c=128", "k=4", "k=8", "one-to-one"]
    models = [model_config(row.recipe) for row in rows]
    assert [model.dictionary_size for model in models] == [16, 128, 64, 64, 64]
    assert [model.grounded_tokens for model in models] == [8, 8, 4, 8, 8]
    assert [model.grounding for model in models] == ["topk"] * 4 + ["nearest"]
    assert {row.recipe.training for row in rows} == {RECIPE.training}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": [0]}, "--k 0: expected at least 1"),
        ({"tokens": [4, 65]}, "--k 65: expected at most the recipe's C = 64"),
        ({"sizes": [7]}, "--c 7: expected at least the recipe's K = 8"),
        ({"sizes": [-1]}, "--c -1: expected at least 1"),
        ({}, "nothing to vary"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(study, values, message):
    """Against K <= C, by hand."""
    with pytest.raises(UsageError, match=message):
        make_rows(RECIPE, study.suite, **values)


def test_a_done_row_is_not_done_again(workers, study):
    """Against a trainer and an evaluator that count their calls."""
    states, first = do(study, (4, 16))
    assert states == ["to do", "to do"]
    states, second = do(study, (4, 16, 32))
    assert states == ["done", "done", "to do"]
    assert [variant for variant, _ in workers.trained] == ["k=4", "k=16", "k=32"]
    assert workers.evaluated == ["k=4", "k=16", "k=32"]
    assert [r.path for r in second[:2]] == [r.path for r in first]


def test_records_that_come_with_the_package_count(workers, study, monkeypatch, tmp_path):
    """Against an empty runs folder and records exported from another."""
    _, done = do(study, (4, 16))
    running.export(done, records.MEASURED)
    elsewhere = replace(study, output=tmp_path / "elsewhere")
    states, found = do(elsewhere, (4, 16))
    assert states == ["done", "done"] and len(workers.trained) == 2
    assert all(record.path.is_relative_to(records.MEASURED) for record in found)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": replace(RECIPE, training=replace(RECIPE.training, steps=41))},
        {"recipe": replace(RECIPE, training=replace(RECIPE.training, seed=4))},
        {"recipe": replace(RECIPE, training=replace(RECIPE.training, learning_rate=1e-4))},
        {"recipe": replace(RECIPE, model={**MODEL, "fusion_layers": 3})},
        {"suite": "e" * 64},
    ],
    ids=["steps", "seed", "learning rate", "model", "data"],
)
def test_another_training_is_another_row(workers, study, change):
    """Against one change at a time of what a row's numbers depend on."""
    do(study)
    if "suite" in change:
        study = replace(study, suite=replace(study.suite, fingerprint=change["suite"]))
    states, _ = do(study, recipe=change.get("recipe", RECIPE))
    assert states == ["to do"] and len(workers.trained) == 2


def test_other_weights_of_a_tower_are_another_row(workers, study, tmp_path):
    """Against weights of a tower that are exchanged after a row was trained from them."""
    tower = tmp_path / "tower"
    tower.mkdir()
    save_file({"weight": torch.zeros(2)}, tower / "model.safetensors")
    study = replace(study, towers={"mini-vit": tower})
    training = replace(RECIPE.training, vision_tower="mini-vit", text_tower="theirs")
    recipe = replace(RECIPE, training=training)
    _, (record,) = do(study, recipe=recipe)
    assert record.protocol["training"]["towers"] == {"mini-vit": weights_sha256(tower)}
    assert do(study, recipe=recipe)[0] == ["done"] and len(workers.trained) == 1
    save_file({"weight": torch.ones(2)}, tower / "model.safetensors")
    exchanged = replace(study, output=study.output)  # of another process: nothing is kept in memory
    (row,) = make_rows(recipe, study.suite, (4,))
    assert planned(exchanged, [row])[0].state not in ("done", "trained")
    with pytest.raises(UsageError, match="started from other weights of mini-vit"):
        running.train_row(exchanged, row)
    running.export([record], records.MEASURED)
    states, _ = do(replace(exchanged, output=tmp_path / "elsewhere"), recipe=recipe)
    assert states == ["to do"] and len(workers.trained) == 2


def test_another_evaluation_takes_the_trained_model(workers, study):
    """Against an evaluation of fewer images: evaluated again, not trained again."""
    do(study)
    states, (record,) = do(replace(study, limit=5))
    assert states == ["trained"] and record.protocol["limit"] == 5
    assert len(workers.trained) == 1 and len(workers.evaluated) == 2
    assert do(study)[0] == do(replace(study, limit=5))[0] == ["done"]


def test_what_changes_no_weight_changes_no_row(workers, study):
    """Against fields that only say what is logged and kept, and the recipe's name."""
    do(study)
    training = replace(RECIPE.training, log_every=1, checkpoint_every=1)
    states, _ = do(study, recipe=replace(RECIPE, name="renamed", training=training))
    assert states == ["done"]


def test_a_record_from_before_a_field_existed_counts_as_its_default(workers, study):
    """Against a record without a field, then with the field away from its default."""
    _, (record,) = do(study)
    training = {**record.protocol["training"]}
    training["config"] = {k: v for k, v in training["config"].items() if k != "clip_norm"}
    old = replace(record, protocol={**record.protocol, "training": training})
    records.write(old, record.path.parent)
    assert do(study)[0] == ["done"]
    changed = replace(RECIPE, training=replace(RECIPE.training, clip_norm=0.5))
    assert do(study, recipe=changed)[0] == ["to do"]


def test_an_interrupted_training_goes_on_in_its_folder(workers, study):
    """Against a trainer that is broken off once: the same folder, and no record before."""
    workers.break_training = True
    with pytest.raises(KeyboardInterrupt):
        do(study, (4, 16))
    assert records.find(study.output) == []
    workers.break_training = False
    states, _ = do(study, (4, 16))
    assert states == ["interrupted", "to do"]
    assert workers.trained[0] == workers.trained[1]


def test_a_row_is_among_the_runs_only_when_it_is_complete(workers, study):
    """Against an evaluation that is broken off after it wrote its own record."""
    workers.break_evaluation = True
    with pytest.raises(KeyboardInterrupt):
        do(study)
    assert records.find(study.output) == []
    workers.break_evaluation = False
    states, (record,) = do(study)
    assert states == ["trained"] and len(workers.trained) == 1
    assert records.find(study.output) == [record]
    assert record.protocol["training"]["K"] == 4 and record.variant == "k=4"


def test_both_defaults_are_trained_once(workers, study):
    """Against the paper, whose rows C = 2048 and K = 100 are one run."""
    _, done = do(study, (8,), sizes=(64,))
    assert len(workers.trained) == 1 and done[0] == done[1]


def test_cost_is_that_of_a_done_row_scaled_by_steps_and_operations(workers, study):
    """Against the done row's own seconds, twice its budget, and more grounded tokens."""
    study = replace(study, columns=(FLICKR, COCO))
    do(study, (4,))
    estimate = Estimator(study, find_records(study))
    (same,) = make_rows(RECIPE, study.suite, (4,))
    assert estimate.training(same).seconds == pytest.approx(80.0)
    assert estimate.evaluation(same, FLICKR).seconds == pytest.approx(10.0)
    assert estimate.tuning(same, COCO).seconds == pytest.approx(30.0)
    # 100 images with 5 captions each, where the finished row scored 10 with 50 captions.
    assert estimate.weighing(same).seconds == pytest.approx(10.0 * 50_000 / 500)
    longer = replace(RECIPE, training=replace(RECIPE.training, steps=80))
    (row,) = make_rows(longer, study.suite, (4,))
    assert estimate.training(row).seconds == pytest.approx(160.0)
    folder = study.folder(row)
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"step": 60, "seconds": 9.0}\n{"step": 61, "sec')
    (plan,) = make_plan(study, [row], find_records(study), estimate)
    assert plan.jobs[0].cost.seconds == pytest.approx(160.0 / 4)  # 60 of 80 steps are done
    (more,) = make_rows(RECIPE, study.suite, (64,))
    costs = (estimate.training(more), estimate.tuning(more, COCO), estimate.evaluation(more, COCO))
    assert [cost.seconds > low for cost, low in zip(costs, (80.0, 30.0, 10.0), strict=True)]
    assert {cost.basis for cost in costs} == {"tiny+k=4 on a machine"}


def test_without_a_done_row_a_step_is_timed(study):
    """Against nothing known: a time on this machine, and for K = 64 more by its operations."""
    estimate = Estimator(study, [])
    few, many = make_rows(RECIPE, study.suite, (4, 64))
    seconds, basis = estimate.training(few)
    assert 0.0 < seconds < 3600.0 and "timed here" in basis
    assert estimate.evaluation(few, FLICKR) == estimate.tuning(few, COCO) == Cost(None)
    flops = [pair_flops(model_config(row.recipe, 1000)) for row in (few, many)]
    assert estimate.training(many).seconds == pytest.approx(seconds * flops[1] / flops[0])


def test_operations_grow_evenly_with_depth():
    """Against arithmetic: each fusion layer costs the same."""
    counts = [
        pair_flops(model_config(replace(RECIPE, model={**MODEL, "fusion_layers": n})))
        for n in (2, 3, 4)
    ]
    assert counts[2] - counts[1] == pytest.approx(counts[1] - counts[0]) and counts[1] > counts[0]


def test_exported_records_name_no_place_on_this_machine(workers, study, tmp_path):
    """Against the record's text, and a record that does name one."""
    _, (record,) = do(study)
    (path,) = running.export([record], tmp_path / "out")
    assert records.read(path) == record and str(tmp_path) not in path.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == ["record.json"]
    named = replace(record, command=f"unimo2 eval flickr --data-root {tmp_path}")
    with pytest.raises(UsageError, match="only on this machine"):
        running.export([named], tmp_path / "out")


def test_a_record_has_the_command_that_makes_it_again(workers, study):
    """Against the commands written by hand."""
    _, done = do(replace(study, limit=5), (4,), one_to_one=True)
    end = "--config tiny --budget 40 --seed 3 --rerank 0 --limit 5"
    assert done[0].command == f"unimo2 ablate --k 4 {end}"
    assert done[1].command == f"unimo2 ablate --one-to-one {end}"


def test_a_dictionary_switched_off_is_dense_attention_over_image_and_text(study):
    """Against the trained layers applied by hand to visual and text rows alone, all seeing all."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["a red square beside a blue circle"], 300)
    config = model_config(RECIPE, len(tokenizer))
    model = Unimo2Model(config).eval()
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=48, max_text_length=32)
    full, switched = make_rows(RECIPE, study.suite, without=["gd-inference"])
    folder = study.folder(full)
    save_model(model, processor, folder / "model", "float32")
    (folder / "train.json").write_text("{}")
    running.switch_off(study, switched)
    assert study.folder(switched) == folder != study.base(switched)
    scorer = zoo.load(study.base(switched) / "model", "cpu")
    picture = Image.new("RGB", (48, 48), (200, 30, 30))
    images = StackedFeatures.of(scorer.encode_images([picture]))
    (text,) = scorer.encode_texts(["a red square"])
    (found,) = scorer.score_pairs(images, text)["itm"].tolist()

    with torch.inference_mode():
        seen = model.encode_image(processor(images=[picture])["pixel_values"])
        ids = torch.tensor([tokenizer("a red square")["input_ids"]])
        words = model.encode_text(ids)
        hidden = torch.cat([seen, words], dim=1)
        for layer in model.fusion.layers:
            query, key, value = (
                part.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
                for part in layer.qkv(hidden).chunk(3, dim=-1)
            )
            weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
            hidden = layer.feed_forward(hidden, (weights @ value).transpose(1, 2).flatten(2))
        out = Unimo2Output()
        model.fill_pooled_outputs(out, hidden[:, 0], hidden[:, seen.shape[1]])
    assert found == pytest.approx(float(out.itm_logits[0, 1]), abs=1e-5)
    whole = zoo.load(folder / "model", "cpu")
    assert whole.weights_sha256 == scorer.weights_sha256
    images = StackedFeatures.of(whole.encode_images([picture]))
    (text,) = whole.encode_texts(["a red square"])
    assert abs(found - whole.score_pairs(images, text)["itm"].item()) > 1e-4


def test_a_row_is_trained_once_for_all_of_its_columns(workers, study):
    """Against counters, and what a record must say of its fine-tuning."""
    study = replace(study, columns=(FLICKR, COCO))
    states, (retrieval, captions) = do(study)
    assert states == ["to do"] and len(workers.trained) == 1
    assert workers.tuned == [("k=4", "coco")] and len(workers.evaluated) == 2
    assert retrieval.protocol["training"] == captions.protocol["training"]
    assert captions.protocol["measured_with"]["recipe"] == "mini-coco"
    assert captions.protocol["measured_with"]["cost"]["steps"] == 7
    assert "--columns coco" in captions.command and "--columns" not in retrieval.command
    assert do(study)[0] == ["done"] and len(workers.evaluated) == 2


def test_another_fine_tuning_is_another_number(workers, study):
    """Against one change of the recipe of fine-tuning: tuned again, not trained again."""
    study = replace(study, columns=(COCO,))
    do(study)
    states, (record,) = do(replace(study, tuning=("epochs=1",)))
    assert states == ["trained"] and len(workers.trained) == 1 and len(workers.tuned) == 2
    assert record.command.endswith("--columns coco --finetune-set epochs=1")
    assert do(study)[0] == do(replace(study, tuning=("epochs=1",)))[0] == ["done"]


def test_other_data_of_a_column_is_another_number(workers, study):
    """Against fingerprints of the data sets, as a generated suite has them."""
    prints = {"coco": "1", "flickr30k": "2", "mnli": "3"}
    study = replace(study, suite=replace(study.suite, fingerprints=prints))
    study = replace(study, columns=columns_named(["flickr-zero-shot", "mnli"]))
    do(study)
    changed = replace(study.suite, fingerprints={**prints, "mnli": "4"})
    states, _ = do(replace(study, suite=changed))
    assert states == ["trained"] and workers.evaluated == ["k=4"] * 3


def test_a_failing_job_costs_only_those_that_need_it(workers, study):
    """Against one training that fails: the other rows are whole, one line names it."""
    workers.failing = {"k=16"}
    study = replace(study, columns=(FLICKR, COCO))
    with pytest.raises(UsageError) as told:
        do(study, (4, 16, 32))
    assert str(told.value) == (
        "k=16: pre-train: the loss is nan; 3 that need them were not started; the same command "
        "goes on with what is left"
    )
    assert sorted({record.variant for record in find_records(study)}) == ["k=32", "k=4"]
    workers.failing = set()
    assert do(study, (4, 16, 32))[0] == ["done", "interrupted", "done"]


def test_seeds_are_trainings_of_their_own(workers, study):
    """Against two seeds of one recipe: names that tell them apart, records with their seeds."""
    study = replace(study, columns=(FLICKR, COCO))
    recipes = [replace(RECIPE, training=replace(RECIPE.training, seed=seed)) for seed in (0, 1)]
    rows = [row for recipe in recipes for row in make_rows(recipe, study.suite, (4,))]
    jobs = jobs_of(planned(study, rows))
    assert [job.name for job in jobs][::4] == ["k=4, seed 0: pre-train", "k=4, seed 1: pre-train"]
    run_jobs(jobs, Engine())
    found = [record for record in find_records(study) if record.benchmark == "coco"]
    assert {record.protocol["measured_with"]["seed"] for record in found} == {0, 1}
    assert {record.protocol["training"]["seed"] for record in found} == {0, 1}


def test_a_weight_that_was_not_chosen_is_chosen_before_a_row_counts_as_trained(workers, study):
    """Against a row that was trained, and killed before its weight was there."""
    (row,) = make_rows(RECIPE, study.suite, (4,))
    workers.break_evaluation = True
    with pytest.raises(KeyboardInterrupt):
        do(study)
    path = study.folder(row) / "trained.json"
    assert f'"{RETRIEVAL_WEIGHT}"' in path.read_text()
    path.write_text(path.read_text().replace(RETRIEVAL_WEIGHT, "other"))
    workers.break_evaluation = False
    assert do(study)[0] == ["interrupted"]
    assert len(workers.trained) == 1 and f'"{RETRIEVAL_WEIGHT}"' in path.read_text()


def test_columns_are_tasks_and_zero_shot_benchmarks():
    """Against what UNIMO-2 is fine-tuned for and measured on without it in the paper."""
    names = ["flickr-zero-shot", "flickr", "coco", "imagenet-zero-shot", "snli-ve", "flickr"]
    assert [column.name for column in columns_named(names)] == names[:-1]
    for name in ("mnli-zero-shot", "nothing"):
        with pytest.raises(UsageError, match=f"--columns {name}: expected some of: "):
            columns_named([name])
