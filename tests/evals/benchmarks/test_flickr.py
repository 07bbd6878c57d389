"""Flickr30k: what is read, what is reported, what is said about it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import evals
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from evals.benchmarks import flickr
from evals.datasets.suites import Suite, resolve
from evals.metrics.ranking import rank_images, rank_texts, retrieval_metrics
from evals.runner import make_request
from unimo2.errors import BadData, IncompatibleModel, MissingData, UsageError


def _run(root: Path, tmp_path: Path, **options: object) -> evals.Record:
    model = options.pop("model", None) or ColourScorer()
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=root, output=tmp_path / "runs", **options
    )


def _annotations(root: Path) -> Path:
    return root / "flickr30k" / "dataset_flickr30k.json"


def test_metrics_are_those_of_the_saved_matrix(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the metrics computed again from the files that the run left."""
    record = _run(flickr_root, tmp_path, seed=3)
    owner = np.repeat(np.arange(20), 5)
    files = {"": "scores", "[itm]": "itm", "[contrastive]": "contrastive"}
    expected = {}
    for suffix, name in files.items():
        matrix = np.load(record.path.parent / f"{name}.npy")
        assert matrix.shape == (20, 100)
        found = retrieval_metrics(
            rank_images(matrix, owner), rank_texts(matrix, owner), owner, seed=3
        )
        expected.update({f"{key}{suffix}": metric for key, metric in found.items()})
    assert dict(record.metrics) == expected
    assert list(record.metrics)[:2] == ["image_retrieval/R@1", "image_retrieval/R@5"]
    assert record.metrics["image_retrieval/R@1"].value > 20


def test_samples_recompute_every_recall(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the record's metrics; the samples alone hold places, truths and best candidates."""
    record = _run(flickr_root, tmp_path)
    samples = records.read_samples(record.path.parent)
    assert samples.groupby("task").size().to_dict() == {
        "image_retrieval": 100,
        "text_retrieval": 20,
    }
    assert not samples.tied_wrong.any()
    for (task, rows), k in ((item, k) for item in samples.groupby("task") for k in (1, 5, 10)):
        recall = 100 * (rows["rank"] <= k).mean()
        assert recall == pytest.approx(record.metrics[f"{task}/R@{k}"].value)
    captions = samples[samples.task == "image_retrieval"]
    assert (captions.truth == captions["query"] // 5).all()
    images = samples[samples.task == "text_retrieval"]
    assert (images.truth // 5 == images["query"]).all()
    right = samples["rank"] == 1
    assert (samples.truth == samples.best)[right].all()
    assert (samples.best_score >= samples.truth_score).all()


def test_another_contrastive_weight_is_used_and_named(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: itm + 2 x contrastive from the matrices of the model's own run."""
    own = _run(flickr_root, tmp_path)
    other = _run(flickr_root, tmp_path, contrastive_weight=2.0)
    itm, contrastive = (np.load(own.path.parent / f"{n}.npy") for n in ("itm", "contrastive"))
    np.testing.assert_allclose(np.load(other.path.parent / "scores.npy"), itm + 2 * contrastive)
    assert (own.variant, other.variant) == (None, "contrastive-weight-2")
    assert other.protocol["contrastive_weight"] == 2.0
    assert own.protocol["contrastive_weight"] == 0.3
    assert "--contrastive-weight 2.0" in other.command


def test_a_weight_needs_a_model_that_has_parts(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the model says that its score has no parts."""
    model = ColourScorer()
    model.contrastive_weight = None
    with pytest.raises(IncompatibleModel, match="leave --contrastive-weight out"):
        _run(flickr_root, tmp_path, model=model, contrastive_weight=1.0)
    assert model.images == 0


def test_a_sample_says_that_it_is_one(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: 20 images were written, Flickr30k's test split has 1,000."""
    record = _run(flickr_root, tmp_path, limit=12)
    assert record.data["official"] is False
    assert record.data["note"] == "12 of 1,000"
    assert (record.data["images"], record.data["captions"]) == (12, 60)
    assert any("12 of 1,000" in note and "not comparable" in note for note in record.notes)
    assert record.suite == "paper"


@pytest.mark.parametrize(
    ("counts", "used", "official", "note"),
    [
        ({"train": 29_000, "val": 1_014, "test": 1_000}, 1_000, True, None),
        ({"test": 1_000}, 1_000, True, None),
        ({"train": 29_000, "val": 1_014, "test": 1_000}, 100, False, "100 of 1,000"),
        (
            {"train": 6_000, "val": 1_000, "test": 1_000},
            1_000,
            False,
            "1,000 of 1,000, but train has 6,000 images instead of 29,000",
        ),
    ],
)
def test_official_is_found_by_counting(
    counts: dict[str, int], used: int, official: bool, note: str | None
) -> None:
    """Truth: Karpathy's split of Flickr30k, 29,000 / 1,014 / 1,000; Flickr8k's 6,000 / 1,000."""
    from collections import Counter

    assert flickr._compare("paper", Counter(counts), "test", used) == (official, note)


def test_the_embedded_suite_is_no_sample_unless_limited(flickr_root: Path) -> None:
    """Truth: a suite's own counts are all there is."""
    suite = Suite("mini", flickr_root, "f")
    whole = flickr.Flickr().read(suite, make_request("flickr", "m", {}))
    part = flickr.Flickr().read(suite, make_request("flickr", "m", {"limit": 5}))
    assert (whole.extent.official, whole.extent.note, whole.notes()) == (False, None, [])
    assert part.extent.note == "5 of 20"
    assert whole.fingerprint != part.fingerprint


def test_a_result_at_chance_says_so(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the scorer gives every pair the same score."""

    class Constant(ColourScorer):
        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            return {"score": 0 * super().score_pairs(images, text)["score"]}

    record = _run(flickr_root, tmp_path, model=Constant())
    for metric in record.metrics.values():
        assert metric.value == pytest.approx(metric.chance)
    assert any("at chance in every metric" in note for note in record.notes)
    good = _run(flickr_root, tmp_path)
    assert not any("chance" in note for note in good.notes)


def test_partly_at_chance_names_the_metrics(tmp_path: Path) -> None:
    """Truth: among ten images R@10 is 100 by guessing, for any scorer."""
    record = _run(write_flickr(tmp_path / "ten", images=10), tmp_path)
    (note,) = [note for note in record.notes if "chance" in note]
    assert "image_retrieval/R@10" in note
    assert "R@1," not in note and "text_retrieval" not in note


def test_a_missing_image_is_named_before_the_model_runs(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the file was removed."""
    (flickr_root / "flickr30k" / "flickr30k-images" / "7.png").unlink()
    model = ColourScorer()
    with pytest.raises(MissingData, match=r"7\.png"):
        _run(flickr_root, tmp_path, model=model)
    assert model.images == 0
    assert not (tmp_path / "runs").exists()


def test_an_image_that_cannot_be_decoded_is_named(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the file was overwritten with text."""
    (flickr_root / "flickr30k" / "flickr30k-images" / "7.png").write_text("no image")
    with pytest.raises(BadData, match=r"7\.png"):
        _run(flickr_root, tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"limit": 0}, UsageError, "--limit 0"),
        ({"batch_size": 0}, UsageError, "--batch-size 0"),
        ({"split": "dev"}, UsageError, "train, val, test"),
        ({"split": "val"}, BadData, "no 'val' images .it has: test 20"),
        ({"suite": "huge"}, UsageError, "mini, paper"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    flickr_root: Path, tmp_path: Path, options: dict, error: type, says: str
) -> None:
    """Truth: each option is wrong by construction."""
    with pytest.raises(error, match=says):
        _run(flickr_root, tmp_path, **options)


def test_benchmarks_and_capabilities_are_checked_first(tmp_path: Path) -> None:
    """Truth: the data folder does not exist or holds nothing, and is not what is complained of."""
    with pytest.raises(UsageError, match="unknown benchmark 'flikr'; known are: .*flickr"):
        evals.run("flikr", data_root=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="unknown benchmark 'metrics'"):
        evals.run("metrics", data_root=tmp_path / "nowhere")
    with pytest.raises(IncompatibleModel, match="score_pairs"):
        evals.run("flickr", model=object(), zero_shot=True, data_root=tmp_path)


def test_a_pretrained_model_needs_zero_shot(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the card of 'mini' lists no benchmark that it was fine-tuned for."""
    with pytest.raises(UsageError, match="add --zero-shot"):
        evals.run("flickr", model="mini", data_root=flickr_root, output=tmp_path)


def test_a_model_that_is_tuned_for_the_benchmark_is_not_zero_shot(
    flickr_root: Path, tmp_path: Path
) -> None:
    """Truth: the card of 'mini-flickr' lists the benchmark."""
    with pytest.raises(IncompatibleModel, match="which is not zero-shot: leave --zero-shot out"):
        evals.run(
            "flickr", model="mini-flickr", zero_shot=True, data_root=flickr_root, output=tmp_path
        )


def test_reads_the_real_photos(real_data: Path) -> None:
    """Truth: counts of the sample's own README: 60 test images with five captions each."""
    data = flickr.Flickr().read(resolve(None, real_data), make_request("flickr", "mini", {}))
    assert (len(data.images), len(data.captions)) == (60, 300)
    assert (data.extent.official, data.extent.note) == (False, "60 of 1,000")
    assert data.caption_image.tolist() == [i for i in range(60) for _ in range(5)]


def test_the_fingerprint_covers_ids_texts_and_pixels(flickr_root: Path) -> None:
    """Truth: a change of one letter gives another fingerprint, a change of another split none."""
    suite, request = resolve(None, flickr_root), make_request("flickr", "m", {})
    first = flickr.Flickr().read(suite, request).fingerprint
    content = json.loads(_annotations(flickr_root).read_text())
    content["images"].append(
        {
            "imgid": 99,
            "filename": "99.png",
            "split": "train",
            "sentences": [{"sentid": 999, "imgid": 99, "raw": "a b", "tokens": ["a", "b"]}],
        }
    )
    _annotations(flickr_root).write_text(json.dumps(content))
    assert flickr.Flickr().read(suite, request).fingerprint == first
    content["images"][3]["sentences"][2]["raw"] += "!"
    _annotations(flickr_root).write_text(json.dumps(content))
    assert flickr.Flickr().read(suite, request).fingerprint != first


def test_the_record_tells_pace_and_memory(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: pairs a second times seconds are the 2,000 pairs; Python alone needs some MiB."""
    record = _run(flickr_root, tmp_path)
    assert math.isclose(record.throughput["pairs_per_second"] * record.seconds, 2000)
    assert record.peak_memory_mb > 10
    assert record.command.startswith("unimo2 eval flickr --zero-shot --model colours")
