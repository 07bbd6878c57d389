"""VQA, SNLI-VE, COCO, ImageNet and GLUE end to end, with models that follow a script."""

import json
from pathlib import Path

import numpy as np
import pytest

import evals
from builders.item_fakes import (
    ANSWERS,
    LABELS,
    FakeAnswerer,
    FakeCaptioner,
    FakeImageClassifier,
    FakePairClassifier,
    FakeTextClassifier,
    caption_of,
    vqa_truth,
    write_coco,
    write_glue,
    write_imagenet,
    write_snli_ve,
    write_vqa,
)
from evals import records, validation
from evals.benchmarks import vqa
from evals.compare import compare
from evals.registry import get_benchmark
from evals.runner import make_request
from unimo2.errors import BadData, IncompatibleModel, MissingData, UsageError
from unimo2.formats import coco as coco_format
from unimo2.formats import glue as glue_format
from unimo2.formats import vqa as vqa_format
from zoo.protocols import Answering

MNLI = ("contradiction", "entailment", "neutral")


def run(benchmark, model, root, tmp_path, **options):
    """A run of a model in memory."""
    return evals.run(benchmark, model=model, data_root=root, output=tmp_path / "runs", **options)


def samples_of(record):
    return records.read_samples(record.path.parent)


# -- VQA


def test_vqa_by_someone_who_knows_and_by_one_who_always_says_yes(tmp_path):
    """Truth: eight of ten annotators agree, so knowing them is 100; "yes" by a plain loop."""
    root = write_vqa(tmp_path / "data")
    record = run("vqa", FakeAnswerer(), root, tmp_path, split="val")
    assert record.metrics["accuracy"].value == pytest.approx(100)
    assert record.data["questions"] == 40
    assert record.data["images"] == 14
    content = json.loads((root / "vqa/v2_mscoco_val2014_annotations.json").read_text())
    right = [entry["multiple_choice_answer"] == "yes" for entry in content["annotations"]]
    record = run("vqa", FakeAnswerer("yes"), root, tmp_path, split="val")
    assert record.metrics["accuracy"].value == pytest.approx(100 * np.mean(right))
    number = record.metrics["accuracy[answer_type=number]"]
    assert (number.value, number.n) == (0, sum(right_type(content, "number")))


def right_type(content, kind):
    return [entry["answer_type"] == kind for entry in content["annotations"]]


def test_a_record_says_how_answers_are_found(tmp_path):
    """Truth: a classifier, a ranker, a generator and one who does not say; the ceiling by counting."""
    root = write_vqa(tmp_path / "data")
    known = ANSWERS[:4]
    protocols, records_of = {}, {}
    for how in (
        Answering("classes", known),
        Answering("ranked", known, {"ranked": 128}),
        Answering("generated", None, {"beams": 3}),
        None,
    ):
        model = FakeAnswerer()
        if how is not None:
            model.answering = how
        kind = how.kind if how else None
        found = evals.run(
            "vqa", model=model, data_root=root, split="val", output=tmp_path / str(kind)
        )
        protocols[kind], records_of[kind] = found.protocol["answering"], found
    assert protocols["classes"]["answers"] == 4 and "search" not in protocols["classes"]
    assert protocols["ranked"]["search"] == {"ranked": 128}
    assert protocols["ranked"]["vocabulary_sha256"] == protocols["classes"]["vocabulary_sha256"]
    assert protocols["generated"] == {"kind": "generated", "search": {"beams": 3}}
    assert protocols[None] == {"kind": "not said"}
    keys = [7 * number + 1 for number in range(40)]
    inside = [vqa_truth(key) < 4 for key in keys]
    for kind in ("classes", "ranked"):
        ceiling = records_of[kind].metrics[vqa.CEILING]
        assert ceiling.value == pytest.approx(100 * np.mean(inside)) and ceiling.n == 40
        assert any(f"among 4 answers ({kind})" in note for note in records_of[kind].notes)
    assert vqa.CEILING not in records_of["generated"].metrics


def test_unknown_tokens_are_in_the_record(tmp_path):
    """Truth: what the adapter has counted; none is no note."""
    root, model = write_vqa(tmp_path / "data"), FakeAnswerer()
    options = {"model": model, "data_root": root, "split": "val", "output": tmp_path / "runs"}
    model.tokens_read, model.unknown_tokens = 2000, 0
    assert not [note for note in evals.run("vqa", **options).notes if "token" in note]
    model.unknown_tokens = 30
    record = evals.run("vqa", **options, fresh=True)
    assert "knows no token for 30 of the 2,000 that were read (1.5 %)" in " ".join(record.notes)


def test_the_vqa_servers_file_scores_as_the_run_did(tmp_path):
    """Truth: `unimo2 score vqa`, which reads the results file by the official format."""
    root = write_vqa(tmp_path / "data")
    record = run("vqa", FakeAnswerer(wrong=3), root, tmp_path, split="val", batch_size=2)
    path = record.path.parent / "vqa_OpenEnded_mscoco_val2014_fake_results.json"
    files = ([root / f"vqa/{name}"] for name in (
        "v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"
    ))  # fmt: skip
    assert vqa.Vqa().score(path, *files).metrics == record.metrics
    assert 0 < record.metrics["accuracy"].value < 100


def test_hidden_answers_leave_a_file_for_the_server_and_no_score(tmp_path):
    """Truth: the file holds every question; with the server's annotations there is a score."""
    root = write_vqa(tmp_path / "data", "test-dev2015")
    record = run("vqa", FakeAnswerer(), root, tmp_path)
    assert record.data["split"] == "test-dev"
    assert record.metrics == {}
    assert any("evaluation server, so there is no accuracy" in note for note in record.notes)
    path = record.path.parent / "vqa_OpenEnded_mscoco_test-dev2015_fake_results.json"
    assert sorted(vqa_format.read_results(path)) == [7 * n + 1 for n in range(40)]
    assert samples_of(record)["score"].isna().all()
    write_vqa(root, "test-dev2015", server=True)
    scored = run("vqa", FakeAnswerer(), root, tmp_path)
    assert scored.metrics["accuracy"].value == pytest.approx(100)


# -- SNLI-VE


def test_snli_ve_by_someone_who_knows_and_by_a_constant(tmp_path):
    """Truth: labels counted in the file; pairs without a majority are left out and named."""
    root = write_snli_ve(tmp_path / "data")
    record = run("snli-ve", FakePairClassifier(), root, tmp_path, split="dev")
    assert record.benchmark == "snli_ve"
    assert record.metrics["accuracy"].value == 100
    assert record.metrics["accuracy"].n == 27
    assert any("3 pairs without a majority" in note for note in record.notes)
    rows = [json.loads(line) for line in (root / "snli_ve/snli_ve_dev.jsonl").open()]
    given = [row["gold_label"] for row in rows if row["gold_label"] != "-"]
    for label in LABELS:
        record = run("snli_ve", FakePairClassifier(label), root, tmp_path, split="dev")
        metric = record.metrics["accuracy"]
        assert metric.value == pytest.approx(100 * given.count(label) / len(given))
        assert metric.chance == pytest.approx(100 / 3)
        assert record.metrics[f"accuracy[gold_label={label}]"].value == 100
    assert metric.at_chance
    assert set(samples_of(record)["prediction"]) == {LABELS[-1]}


def test_a_sample_of_snli_ve_counts_its_own_pairs_without_a_majority(tmp_path):
    """Truth: of the first 15 pairs the tenth has none; two more lie beyond the limit."""
    root = write_snli_ve(tmp_path / "data")
    record = run("snli_ve", FakePairClassifier(), root, tmp_path, split="dev", limit=15)
    assert record.metrics["accuracy"].n == 14
    assert any("1 pairs without a majority" in note for note in record.notes)


# -- COCO


def test_coco_keeps_what_the_caption_server_takes_and_what_recomputes_every_metric(
    tmp_path, no_meteor_program
):
    """Truth: the scripted captions by the official reader; the metrics of the record by samples."""
    from evals.benchmarks import coco

    root = write_coco(tmp_path / "data")
    record = run("coco", FakeCaptioner("garden"), root, tmp_path, beam_size=3)
    assert (record.variant, record.protocol["beam_size"]) == ("beam-3", 3)
    said = coco_format.read_results(record.path.parent / "captions_karpathy-test_fake_results.json")
    assert said == {300 + n: caption_of(n).replace("park", "garden") for n in range(12)}
    assert 0 < record.metrics["Bleu_4"].value < 100 and "METEOR" in record.metrics
    for name, metric in coco.Coco().sample_metrics(samples_of(record)).items():
        value = metric.value(metric.statistics.sum(axis=0)[None])[0]
        assert value == pytest.approx(record.metrics[name].value)
        assert len(metric.items) == 12


def test_captions_are_searched_with_the_models_own_beams():
    """Truth: a model that says how many, one that does not, and who asks for others."""
    own, coco = FakeCaptioner(), get_benchmark("coco")
    own.beams = 4
    for model, given, beams in (
        (own, {}, 4), (FakeCaptioner(), {}, 5), (own, {"beam_size": 2}, 2)
    ):  # fmt: skip
        assert coco.details(model, make_request("coco", "x", given))["beam_size"] == beams


def test_spice_is_named_before_a_caption_is_made(tmp_path, monkeypatch):
    """Truth: the order of events, written down by the model and by the notice."""
    from evals.benchmarks import coco

    events = []

    def scored(*arguments):
        raise BadData("scored")

    class Model(FakeCaptioner):
        def caption(self, images, beam_size):
            events.append("captions")
            return super().caption(images, beam_size)

    monkeypatch.setattr(coco, "why_no_spice", lambda: "its models are not there")
    monkeypatch.setattr(coco, "caption_scores", scored)
    with pytest.raises(BadData, match="scored"):
        run("coco", Model(), write_coco(tmp_path / "data"), tmp_path, on_notice=events.append)
    assert events == ["SPICE will not be measured: its models are not there", "captions"]


# -- ImageNet


@pytest.mark.parametrize("flat", [False, True])
def test_imagenet_by_a_classifier_whose_classes_stand_in_another_order(tmp_path, flat):
    """Truth: the oracle gets 100; equal logits get chance, 1 of 7 and 5 of 7, in expectation."""
    root = write_imagenet(tmp_path / "data", flat=flat)
    record = run("imagenet", FakeImageClassifier(), root, tmp_path)
    assert record.metrics["accuracy"].value == 100
    assert (record.data["images"], record.data["classes"]) == (24, 7)
    record = run("imagenet", FakeImageClassifier(constant=True), root, tmp_path)
    metric = record.metrics["accuracy"]
    assert (metric.value, metric.chance) == pytest.approx((100 / 7, 100 / 7))
    assert metric.at_chance
    first_five = record.metrics["accuracy[top 5]"]
    assert (first_five.value, first_five.chance) == pytest.approx((500 / 7, 500 / 7))
    assert first_five.at_chance
    assert any("24 images have their class tied" in note for note in record.notes)


def test_a_sample_of_imagenet_is_spread_over_the_classes(tmp_path):
    """Truth: 6 of 24 images in 6 folders of 4 are the first of each folder."""
    root = write_imagenet(tmp_path / "data")
    record = run("imagenet", FakeImageClassifier(), root, tmp_path, limit=6)
    assert sorted(samples_of(record)["target"]) == [f"n{number:08d}" for number in range(6)]
    assert record.data["note"] == "6 of 50,000"


def test_a_classifier_must_know_all_classes(tmp_path):
    """Truth: a model of four classes, images of six."""
    root = write_imagenet(tmp_path / "data")
    with pytest.raises(IncompatibleModel, match="does not know 2 of the 7 classes: n00000004"):
        run("imagenet", FakeImageClassifier(classes=4), root, tmp_path)


# -- GLUE


@pytest.mark.parametrize(
    ("task", "classes", "metric"),
    [
        ("sst2", ("NEGATIVE", "POSITIVE"), "accuracy"),
        ("cola", ("LABEL_0", "LABEL_1"), "matthews"),
        ("stsb", ("score",), "pearson"),
        ("mnli", MNLI, "accuracy[matched]"),
    ],
)
def test_glue_by_someone_who_knows_and_by_a_constant(tmp_path, task, classes, metric):
    """Truth: knowing every label is 100; a constant gets the share of its label, or 0."""
    root = write_glue(tmp_path / "data")
    record = run(task, FakeTextClassifier(classes), root, tmp_path)
    assert record.metrics[metric].value == pytest.approx(100)
    assert record.data["split"] == "dev"
    constant = run(task, FakeTextClassifier(classes, constant=True), root, tmp_path)
    found = constant.metrics[metric]
    share = {"accuracy": 50.0, "matthews": 0.0, "pearson": 0.0, "accuracy[matched]": 100 * 8 / 23}
    assert found.value == pytest.approx(share[metric])
    assert found.at_chance
    differences = compare(record.path, constant.path).metrics
    assert differences[metric].a == pytest.approx(100)
    if task != "stsb":  # the correlation with a constant is undefined
        assert differences[metric].b == pytest.approx(found.value)


def test_mnli_measures_both_files_together_and_apart(tmp_path):
    """Truth: the mismatched labels are shifted, so that knowing is never right; 1 row has none."""
    root = write_glue(tmp_path / "data")
    record = run("mnli", FakeTextClassifier(MNLI), root, tmp_path)
    assert record.metrics["accuracy[matched]"].value == 100
    assert record.metrics["accuracy[mismatched]"].value == 0
    assert record.metrics["accuracy"].value == 50
    assert (record.metrics["accuracy"].n, record.data["rows"]) == (46, 48)
    assert record.data["note"] == "48 of 19,647"
    assert any("2 rows without a majority" in note for note in record.notes)
    alone = run("mnli", FakeTextClassifier(MNLI), root, tmp_path, split="dev_mismatched")
    assert {name: metric.value for name, metric in alone.metrics.items()} == {
        "accuracy": 0,
        "accuracy[mismatched]": 0,
    }


@pytest.mark.parametrize(
    ("task", "classes", "files"),
    [
        ("sst2", ("0", "1"), ["SST-2.tsv"]),
        ("cola", ("0", "1"), ["CoLA.tsv"]),
        ("stsb", ("score",), ["STS-B.tsv"]),
        ("mnli", MNLI, ["MNLI-m.tsv", "MNLI-mm.tsv"]),
    ],
)
def test_test_splits_leave_the_files_that_the_glue_server_takes(tmp_path, task, classes, files):
    """Truth: the reader of GLUE submissions, and the labels that a plain loop gives."""
    root = write_glue(tmp_path / "data")
    record = run(task, FakeTextClassifier(classes), root, tmp_path, split="test")
    assert record.metrics == {}
    for name in files:
        given = glue_format.read_predictions(task, record.path.parent / name)
        assert sorted(given) == list(range(24))
        for index, value in given.items():
            if task == "stsb":
                assert value == pytest.approx(index % 6 * 0.9, abs=1e-5)
            else:
                assert value == classes[index % len(classes)]


def test_classes_that_mean_something_else_are_refused(tmp_path):
    """Truth: MNLI's classes are three with names; a number is no class."""
    root = write_glue(tmp_path / "data")
    for classes in (("LABEL_0", "LABEL_1", "LABEL_2"), ("0", "1"), ("a", "b", "c")):
        with pytest.raises(IncompatibleModel, match="the benchmark's are contradiction"):
            run("mnli", FakeTextClassifier(classes), root, tmp_path)
    with pytest.raises(IncompatibleModel, match="2 classes; STS-B needs one number"):
        run("stsb", FakeTextClassifier(("0", "1")), root, tmp_path)


# -- what holds for all


def test_a_model_stops_keeping_features_when_its_run_ends(tmp_path):
    """Truth: the folders that the model is told, in order; None means that nothing is kept."""
    told = []

    class Keeper(FakePairClassifier):
        def keep_features(self, folder):
            told.append(folder)

    root, folder = write_snli_ve(tmp_path / "data"), tmp_path / "features"
    run("snli_ve", Keeper(), root, tmp_path, split="dev", features=folder)
    assert told == [folder, None]


def test_metrics_in_the_midst_of_training_are_those_of_a_record(tmp_path):
    """Truth: the record of the same run."""
    root = write_snli_ve(tmp_path / "data")
    model = FakePairClassifier("neutral")
    record = run("snli_ve", model, root, tmp_path, split="dev", limit=20)
    found = validation.measure("snli-ve", model, root, "dev", limit=20, batch_size=4)
    assert found == dict(record.metrics)
    assert model.batch_size == 3


@pytest.mark.parametrize(
    ("benchmark", "split", "known"),
    [("vqa", "test", "test-dev"), ("snli_ve", "val", "dev"), ("mnli", "val", "dev_matched")],
)
def test_an_unknown_split_is_named_with_those_there_are(tmp_path, benchmark, split, known):
    """Truth: the splits of the data sets."""
    models = {
        "vqa": FakeAnswerer(), "snli_ve": FakePairClassifier(), "mnli": FakeTextClassifier(MNLI),
    }  # fmt: skip
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match=f"unknown split '{split}'.*{known}"):
        run(benchmark, models[benchmark], tmp_path / "data", tmp_path, split=split)


def test_a_model_without_the_capability_is_refused_before_data_is_read(tmp_path):
    """Truth: there is no data at all, and that is not what the message says."""
    (tmp_path / "data").mkdir()
    with pytest.raises(IncompatibleModel, match="cannot be used as captioner: it lacks caption"):
        run("coco", FakeAnswerer(), tmp_path / "data", tmp_path)


def test_missing_images_are_counted_before_the_model_runs(tmp_path):
    """Truth: two of fourteen images are deleted."""
    root = write_vqa(tmp_path / "data")
    for number in (101, 105):
        (root / f"coco/val2014/COCO_val2014_{number:012d}.jpg").unlink()
    model = FakeAnswerer()
    with pytest.raises(MissingData, match=r"2 of 14 images are not on disk, first .*0101\.jpg"):
        run("vqa", model, root, tmp_path, split="val")
    assert model.calls == 0


def test_questions_without_public_annotation_are_refused(tmp_path):
    """Truth: one annotation of val is taken out."""
    root = write_vqa(tmp_path / "data")
    path = root / "vqa/v2_mscoco_val2014_annotations.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"annotations": content["annotations"][1:]}))
    with pytest.raises(BadData, match="1 questions without annotation: 1"):
        run("vqa", FakeAnswerer(), root, tmp_path, split="val")


def test_a_run_names_its_data(tmp_path):
    """Truth: another pixel in one image, another answer: other fingerprints."""
    root = write_vqa(tmp_path / "data", questions=6)
    prints = [run("vqa", FakeAnswerer(), root, tmp_path, split="val").data["fingerprint"]]
    image = Path(root / "coco/val2014/COCO_val2014_000000000100.jpg")
    image.write_bytes(image.read_bytes() + b"\0")
    prints.append(run("vqa", FakeAnswerer(), root, tmp_path, split="val").data["fingerprint"])
    path = root / "vqa/v2_mscoco_val2014_annotations.json"
    path.write_text(path.read_text().replace("perhaps", "or not"))
    prints.append(run("vqa", FakeAnswerer(), root, tmp_path, split="val").data["fingerprint"])
    assert len(set(prints)) == 3
