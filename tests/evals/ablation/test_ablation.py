"""Ablations: which rows there are, which are done, what they cost, what they leave behind."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from evals import records
from evals.ablation import Study, make_plan, make_rows
from evals.ablation.cost import pair_flops
from evals.ablation.plan import Estimator
from evals.ablation.running import Trained, _scorer, export, run
from evals.datasets.suites import Suite
from evals.metrics.ranking import Metric
from evals.records import Record
from unimo2.errors import UsageError
from unimo2.modeling.model import Unimo2Model, Unimo2Output
from unimo2.processing import Unimo2Processor, train_tokenizer
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


class Workers:
    """A trainer and an evaluator that only count; either can be told to break off."""

    def __init__(self):
        """Begin with nothing done."""
        self.trained, self.evaluated = [], []
        self.break_training = self.break_evaluation = False

    def train(self, row, folder):
        """Leave what a begun training leaves, then break off or finish."""
        self.trained.append((row.variant, folder))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.jsonl").write_text('{"step": 20}\n')
        if self.break_training:
            raise KeyboardInterrupt
        return Trained(folder / "model", 80.0, 4.0, "fp32", "a processor")

    def evaluate(self, row, model, folder):
        """Leave a run folder with a record, then break off or finish."""
        self.evaluated.append(row.variant)
        metric = Metric(50.0, 10, (40.0, 60.0), 1.0, False)
        record = Record(
            **{"status": "done", "suite": "mini", "benchmark": "flickr", "model": "model"},
            **{"variant": row.variant, "protocol": {"zero_shot": True, "pairs": "exhaustive"}},
            data={"fingerprint": "ab", "images": 10, "captions": 50, "note": None, "split": "test"},
            metrics={"image_retrieval/R@1": metric},
            **{"weights_sha256": "0", "config": {"_name_or_path": str(model), "hidden_size": 32}},
            **{"seed": 0, "versions": {}, "commit": None, "dirty": None, "device": "cpu"},
            **{"dtype": "float32", "seconds": 10.0, "throughput": {}, "peak_memory_mb": 1.0},
            **{"command": "unimo2 eval flickr", "notes": [], "created": "2026-01-01T00:00:00"},
        )
        written = records.write(
            record, folder / "mini" / "flickr" / "model" / f"run-{len(self.evaluated)}"
        )
        if self.break_evaluation:
            raise KeyboardInterrupt
        return written


def no_cost(row, known):
    """Leaves costs out of a plan."""
    return None, None, ""


def do(study, workers, tokens=(4,), recipe=RECIPE, **more):
    """Plan and run; the states of the plan and the records."""
    rows = make_rows(recipe, study.suite, tokens, **more)
    plan = make_plan(study, rows, no_cost)
    done = run(study, plan, workers.train, workers.evaluate)
    return [planned.state for planned in plan], done


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


def test_a_done_row_is_not_done_again(study):
    """Against a trainer and an evaluator that count their calls."""
    workers = Workers()
    states, first = do(study, workers, (4, 16))
    assert states == ["to do", "to do"]
    states, second = do(study, workers, (4, 16, 32))
    assert states == ["done", "done", "to do"]
    assert [variant for variant, _ in workers.trained] == ["k=4", "k=16", "k=32"]
    assert workers.evaluated == ["k=4", "k=16", "k=32"]
    assert [r.path for r in second[:2]] == [r.path for r in first]


def test_records_that_come_with_the_package_count(study, monkeypatch, tmp_path):
    """Against an empty runs folder and records exported from another."""
    workers = Workers()
    _, done = do(study, workers, (4, 16))
    export(done, records.MEASURED)
    elsewhere = replace(study, output=tmp_path / "elsewhere")
    states, found = do(elsewhere, workers, (4, 16))
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
def test_another_training_is_another_row(study, change):
    """Against one change at a time of what a row's numbers depend on."""
    workers = Workers()
    do(study, workers)
    if "suite" in change:
        study = replace(study, suite=replace(study.suite, fingerprint=change["suite"]))
    states, _ = do(study, workers, recipe=change.get("recipe", RECIPE))
    assert states == ["to do"] and len(workers.trained) == 2


def test_another_evaluation_takes_the_trained_model(study):
    """Against an evaluation of fewer images: evaluated again, not trained again."""
    workers = Workers()
    do(study, workers)
    states, (record,) = do(replace(study, limit=5), workers)
    assert states == ["trained"] and record.protocol["limit"] == 5
    assert len(workers.trained) == 1 and len(workers.evaluated) == 2
    assert do(study, workers)[0] == do(replace(study, limit=5), workers)[0] == ["done"]


def test_what_changes_no_weight_changes_no_row(study):
    """Against fields that only say what is logged and kept, and the recipe's name."""
    workers = Workers()
    do(study, workers)
    training = replace(RECIPE.training, log_every=1, checkpoint_every=1)
    states, _ = do(study, workers, recipe=replace(RECIPE, name="renamed", training=training))
    assert states == ["done"]


def test_a_record_from_before_a_field_existed_counts_as_its_default(study):
    """Against a record without a field, then with the field away from its default."""
    workers = Workers()
    _, (record,) = do(study, workers)
    training = {**record.protocol["training"]}
    training["config"] = {k: v for k, v in training["config"].items() if k != "clip_norm"}
    old = replace(record, protocol={**record.protocol, "training": training})
    records.write(old, record.path.parent)
    assert do(study, workers)[0] == ["done"]
    changed = replace(RECIPE, training=replace(RECIPE.training, clip_norm=0.5))
    assert do(study, workers, recipe=changed)[0] == ["to do"]


def test_an_interrupted_training_goes_on_in_its_folder(study):
    """Against a trainer that is broken off once: the same folder, and no record before."""
    workers = Workers()
    workers.break_training = True
    with pytest.raises(KeyboardInterrupt):
        do(study, workers, (4, 16))
    assert records.find(study.output) == []
    workers.break_training = False
    states, _ = do(study, workers, (4, 16))
    assert states == ["interrupted", "to do"]
    assert workers.trained[0] == workers.trained[1]


def test_a_row_is_among_the_runs_only_when_it_is_complete(study):
    """Against an evaluation that is broken off after it wrote its own record."""
    workers = Workers()
    workers.break_evaluation = True
    with pytest.raises(KeyboardInterrupt):
        do(study, workers)
    assert records.find(study.output) == []
    workers.break_evaluation = False
    states, (record,) = do(study, workers)
    assert states == ["trained"] and len(workers.trained) == 1
    assert records.find(study.output) == [record]
    assert record.protocol["training"]["K"] == 4 and record.variant == "k=4"


def test_both_defaults_are_trained_once(study):
    """Against the paper, whose rows C = 2048 and K = 100 are one run."""
    workers = Workers()
    _, done = do(study, workers, (8,), sizes=(64,))
    assert len(workers.trained) == 1 and done[0] == done[1]


def test_cost_is_that_of_a_done_row_scaled_by_steps_and_operations(study):
    """Against the done row's own seconds, twice its budget, and more grounded tokens."""
    estimate = Estimator()
    workers = Workers()
    _, known = do(study, workers, (4,))
    (same,) = make_rows(RECIPE, study.suite, (4,))
    assert estimate(same, known)[:2] == pytest.approx((80.0, 10.0))
    longer = replace(RECIPE, training=replace(RECIPE.training, steps=80))
    assert estimate(make_rows(longer, study.suite, (4,))[0], known)[0] == pytest.approx(160.0)
    more = estimate(make_rows(RECIPE, study.suite, (64,))[0], known)
    assert more[0] > 80.0 and more[1] > 10.0 and "k=4 on a processor" in more[2]


def test_without_a_done_row_a_step_is_timed(study):
    """Against nothing known: a time on this machine, and for K = 64 more by its operations."""
    estimate = Estimator()
    few, many = make_rows(RECIPE, study.suite, (4, 64))
    training, evaluation, basis = estimate(few, [])
    assert 0.0 < training < 3600.0 and evaluation is None and "timed here" in basis
    flops = [pair_flops(model_config(row.recipe, 1000)) for row in (few, many)]
    assert estimate(many, [])[0] == pytest.approx(training * flops[1] / flops[0])


def test_operations_grow_evenly_with_depth():
    """Against arithmetic: each fusion layer costs the same."""
    counts = [
        pair_flops(model_config(replace(RECIPE, model={**MODEL, "fusion_layers": n})))
        for n in (2, 3, 4)
    ]
    assert counts[2] - counts[1] == pytest.approx(counts[1] - counts[0]) and counts[1] > counts[0]


def test_exported_records_name_no_place_on_this_machine(study, tmp_path):
    """Against the record's text, and a record that does name one."""
    _, (record,) = do(study, Workers())
    (path,) = export([record], tmp_path / "out")
    assert records.read(path) == record and str(tmp_path) not in path.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == ["record.json"]
    named = replace(record, command=f"unimo2 eval flickr --data-root {tmp_path}")
    with pytest.raises(UsageError, match="only on this machine"):
        export([named], tmp_path / "out")


def test_a_record_has_the_command_that_makes_it_again(study):
    """Against the commands written by hand."""
    _, done = do(replace(study, limit=5), Workers(), (4,), one_to_one=True)
    end = "--config tiny --budget 40 --seed 3 --rerank 0 --limit 5"
    assert done[0].command == f"unimo2 ablate --k 4 {end}"
    assert done[1].command == f"unimo2 ablate --one-to-one {end}"


def test_a_dictionary_switched_off_is_dense_attention_over_image_and_text(study, tmp_path):
    """Against the trained layers applied by hand to visual and text rows alone, all seeing all."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["a red square beside a blue circle"], 300)
    config = model_config(RECIPE, len(tokenizer))
    model = Unimo2Model(config).eval()
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=48, max_text_length=32)
    save_model(model, processor, tmp_path / "model", "float32")
    rows = {row.variant: row for row in make_rows(RECIPE, study.suite, without=["gd-inference"])}
    scorer = _scorer(rows["without=gd-inference"], tmp_path / "model", "cpu")
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
    full = _scorer(rows["full"], tmp_path / "model", "cpu")
    images = StackedFeatures.of(full.encode_images([picture]))
    (text,) = full.encode_texts(["a red square"])
    assert abs(found - full.score_pairs(images, text)["itm"].item()) > 1e-4
