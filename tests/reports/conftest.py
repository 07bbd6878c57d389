"""Records made by hand for the tests of what is shown."""

from dataclasses import replace

import pandas as pd
import pytest

from builders.item_fakes import write_vqa
from evals import records
from evals.datasets.suites import resolve
from evals.metrics.ranking import Metric
from evals.records import Record
from reports.examples import read_split

EVIL_NAME = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[2J=1+1'


def _make_record(
    model="mini",
    variant=None,
    value=60.0,
    zero_shot=True,
    suite="mini",
    fingerprint="abcdef0123",
    note=None,
    at_chance=False,
    training=None,
    without=None,
):
    """A record of Flickr30k retrieval whose R@K is `value` + K (+ 20 for text retrieval)."""
    metrics = {}
    for task, more, n in (("image", 0, 1500), ("text", 20, 300)):
        for k in (1, 5, 10):
            recall = value + more + k
            metrics[f"{task}_retrieval/R@{k}"] = Metric(
                recall, n, (recall - 1.0, recall + 2.0), k / 3, at_chance
            )
    protocol = {"zero_shot": zero_shot, "pairs": "exhaustive"}
    if training is not None:
        protocol["training"] = training
    if without is not None:
        protocol["without"] = without
    return Record(
        status="done",
        suite=suite,
        benchmark="flickr",
        model=model,
        variant=variant,
        protocol=protocol,
        data={
            **{"fingerprint": fingerprint, "root_name": "x", "split": "test", "images": 300},
            **{"captions": 1500, "official": False, "note": note},
        },
        metrics=metrics,
        weights_sha256="0" * 64,
        config={},
        seed=0,
        versions={},
        commit=None,
        dirty=None,
        device="cpu",
        dtype="float32",
        seconds=10.0,
        throughput={"pairs_per_second": 1.0},
        peak_memory_mb=1.0,
        command="unimo2 eval flickr --zero-shot",
        notes=[],
        created="2026-01-01T00:00:00+00:00",
    )


def _trained(tokens=32, size=256, grounding="topk", budget=300, seed=0):
    """What a record of an ablation's row says about its training."""
    return {
        **{"recipe": "ablation", "base": "77", "budget": budget, "seed": seed},
        **{"K": tokens, "C": size, "grounding": grounding, "base_K": 32, "base_C": 256},
    }


@pytest.fixture
def make_record():
    """Makes a record; see `_make_record`."""
    return _make_record


@pytest.fixture
def trained():
    """Makes what an ablation's record says about its training; see `_trained`."""
    return _trained


@pytest.fixture
def seen_records(make_record):
    """Zero-shot records of models that had seen something, and what tables remark on each."""
    told = {"card": "x", "dataset": "flickr30k", "zero_shot": "yes", "tuned_for": []}

    def seen(name, **changes):
        record = make_record(name, suite="paper")
        return replace(record, protocol={**record.protocol, "lineage": {**told, **changes}})

    made = [
        make_record("plain", suite="paper"), seen("blip", tuned_for=["coco_retrieval"]),
        seen("clip", zero_shot="unknown"), seen("clean"), seen("own", zero_shot="no"),
    ]  # fmt: skip
    said = {
        "plain": "", "clean": "", "blip": "fine-tuned for coco_retrieval",
        "clip": "zero-shot: unknown, training data not listed",
        "own": "not zero-shot: trained on flickr30k",
    }  # fmt: skip
    return made, said


@pytest.fixture
def vqa(tmp_path, make_record, monkeypatch):
    """A runs folder with two runs on three questions of a small VQA, and its data root."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    root = write_vqa(tmp_path / "data")
    data = read_split("vqa", resolve(None, root), "val")
    about = {**data.summary(), "note": None}
    for model, right in (("one", 1.0), (EVIL_NAME, 0.0)):
        samples = pd.DataFrame(
            {
                "question_id": [one.id for one in data.questions],
                "image_id": [one.image_id for one in data.questions],
                "answer_type": "other",
                "question_type": "what",
                "prediction": EVIL_NAME,
                "target": [data.truth[one.id].most_common for one in data.questions],
                "score": right,
            }
        )
        metric = Metric(100 * right, len(samples), (90.0 * right, 100 * right), None, False)
        record = replace(
            make_record(model, None, zero_shot=False, suite="paper"),
            **{"benchmark": "vqa", "data": about, "metrics": {"accuracy": metric}},
            **{"notes": [EVIL_NAME], "command": EVIL_NAME, "device": EVIL_NAME},
        )
        folder = tmp_path / "runs" / "paper" / "vqa" / str(right) / "a"
        records.write(record, folder)
        records.write_samples(samples, folder)
    return tmp_path / "runs", root, data
