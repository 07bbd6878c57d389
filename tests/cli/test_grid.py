"""`unimo2 ablate` over several columns: from tiny data to the cells of the paper's tables."""

import pytest

from builders.tiny_tasks import write_root
from evals import records
from unimo2.cli import main

FEW = ["batch_size=10", "steps=2", "eval_epochs=0", "precision=fp32", "checkpoint_every=1"]
COLUMNS = ["flickr-zero-shot", "flickr", "coco", "imagenet-zero-shot", "mnli"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All files of all tasks, as a suite called "mini"."""
    root = write_root(tmp_path_factory.mktemp("data"))
    (root / "suite.json").write_text('{"suite": "mini", "fingerprint": "%s"}' % ("5" * 64))
    return root


@pytest.fixture
def grid(root, tiny_recipe, tmp_path, monkeypatch):
    """Runs `unimo2 ablate` on the tiny data with more arguments, in another runs folder if given."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    monkeypatch.delenv("UNIMO2_DATA", raising=False)

    def call(*arguments, runs="runs"):
        common = ["--config", str(tiny_recipe), "--data-root", str(root), "--device", "cpu"]
        common += ["--rerank", "0", "--finetune-set", *FEW, "--output", str(tmp_path / runs)]
        return main(["ablate", *common, *arguments])

    return call


def measured(folder):
    """Metrics and weights by row and column."""
    return {
        (one.variant, one.benchmark, one.protocol["zero_shot"]): (one.weights_sha256, one.metrics)
        for one in records.find(folder)
    }


def test_a_killed_grid_ends_with_the_same_numbers(grid, tmp_path, capsys, monkeypatch):
    """Against two rows and two columns that nobody interrupted; broken off in each of their jobs."""
    asked = ("--k", "2", "4", "--columns", "flickr-zero-shot", "mnli")
    assert grid(*asked, runs="whole") == 0
    whole = measured(tmp_path / "whole")
    assert len(whole) == 4
    counted = {"moment": 0, "stop": 3}

    def interrupt(self, progress):
        counted["moment"] += 1
        if counted["moment"] == counted["stop"]:
            raise KeyboardInterrupt

    monkeypatch.setattr("unimo2.training.logging.TrainingBar.__call__", interrupt)
    for stop in (3, 5, 4):  # in a training, in a fine-tuning, in the next row
        counted.update(moment=0, stop=stop)
        assert grid(*asked) == 130
    capsys.readouterr()
    counted.update(moment=0, stop=-1)
    assert grid(*asked, "--dry-run") == 0
    assert "interrupted" in capsys.readouterr().out
    assert grid(*asked) == 0
    assert measured(tmp_path / "runs") == whole


@pytest.mark.timeout(900)  # a training, six fine-tunings, ten evaluations: long on a busy machine
def test_every_cell_of_table_4_is_filled(grid, root, tmp_path, capsys, no_meteor_program):
    """Against the table itself; with the dictionary off nothing is trained before."""
    columns = ("--columns", *COLUMNS)
    assert grid("--without", "gd-inference", *columns) == 0
    out = capsys.readouterr().out
    assert "gd-inference: fine-tuned from the full training's model with its dictionary off" in out
    assert main(["report", "--table", "4", "--runs", str(tmp_path / "runs")]) == 0
    text = capsys.readouterr().out
    assert "w/o GD (I)" in text and "not measured" not in text.partition("measured on suite")[2]
    found = records.find(tmp_path / "runs")
    assert len(found) == 2 * len(COLUMNS)
    assert len(list((tmp_path / "runs/ablation/mini").iterdir())) == 1
    for record in found:
        off = record.variant == "without=gd-inference"
        assert record.config["grounding"] == ("none" if off else "topk")
        lineage, tuned = record.protocol["lineage"], not record.protocol["zero_shot"]
        assert lineage["zero_shot"] == ("no" if tuned else "yes")
        assert f"mini/{lineage['dataset']}" in lineage["seen"] or not tuned
    sums = {r.weights_sha256 for r in found if r.protocol["zero_shot"]}
    assert len(sums) == 1 and len({r.weights_sha256 for r in found}) == 7
    assert grid("--without", "gd-inference", *columns, "--dry-run") == 0
    assert "All rows are done" in capsys.readouterr().out
