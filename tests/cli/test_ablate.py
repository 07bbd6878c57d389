"""`unimo2 ablate`, from the command line to its records, on a tiny data root."""

import json

import pytest

from evals import records
from unimo2.cli import main


@pytest.fixture
def ablate(tiny_root, tiny_recipe, tmp_path, monkeypatch):
    """Runs `unimo2 ablate` on the tiny data with more arguments, in another runs folder if given."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    monkeypatch.delenv("UNIMO2_DATA", raising=False)

    def call(*arguments, runs="runs"):
        common = ["--config", str(tiny_recipe), "--data-root", str(tiny_root), "--device", "cpu"]
        return main(["ablate", *common, "--output", str(tmp_path / runs), *arguments])

    return call


def test_a_dry_run_shows_the_plan_and_does_nothing(ablate, tmp_path, capsys):
    """Against the folder that a run would write, and the rows asked for."""
    assert ablate("--k", "2", "4", "--c", "32", "--one-to-one", "--dry-run") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:8]] == [
        "c=32",
        "k=2",
        "k=4",
        "one-to-one",
    ]
    assert "4 of 4 rows are to be done" in out
    assert not (tmp_path / "runs").exists()


def test_rows_are_trained_evaluated_shown_and_then_found_done(ablate, tmp_path, capsys):
    """Against the records on disk and a second call that trains nothing."""
    assert ablate("--k", "2", "4", "--budget", "3") == 0
    out = capsys.readouterr().out
    assert "ZeroShot-IR R@1/R@5/R@10" in out and "not measured" in out and "3 steps" in out
    found = records.find(tmp_path / "runs", "mini", "flickr", "tiny")
    assert {record.variant for record in found} == {"k=2", "k=4"}
    for record in found:
        training = record.protocol["training"]
        assert record.config["grounded_tokens"] == training["K"] == int(record.variant[2:])
        assert training["budget"] == 3 and record.data["images"] == 6
        assert f"k={training['K']}" == record.variant and record.protocol["zero_shot"]

    assert ablate("--k", "2", "4", "--budget", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in told["rows"]] == ["done", "done"] and told["seconds"] == 0.0
    by_variant = {record.variant: record for record in found}
    for row in told["rows"]:
        record = by_variant[row["variant"]]
        assert row["record"] == str(record.path)
        recall = record.metrics["image_retrieval/R@1"]
        assert row["metrics"]["image_retrieval/R@1"]["value"] == recall.value
    assert len(records.find(tmp_path / "runs")) == 2


def test_an_interrupted_row_ends_with_the_same_weights(ablate, tmp_path, capsys, monkeypatch):
    """Against a run of the same row that nobody interrupted."""
    assert ablate("--k", "2", runs="whole") == 0
    with monkeypatch.context() as patch:

        def interrupt(bar, progress):
            if progress.step == 5:
                raise KeyboardInterrupt

        patch.setattr("unimo2.progress.TrainingBar.__call__", interrupt)
        assert ablate("--k", "2") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "unimo2: error: interrupted"
    assert records.find(tmp_path / "runs") == []
    assert ablate("--k", "2", "--dry-run") == 0
    assert "interrupted" in capsys.readouterr().out
    assert ablate("--k", "2") == 0
    (whole,), (resumed,) = (records.find(tmp_path / runs) for runs in ("whole", "runs"))
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_rows_are_exported_as_records_alone(ablate, tmp_path):
    """Against the layout of evals/measured: a record a row and nothing else."""
    assert ablate("--k", "2", "--budget", "2", "--export", str(tmp_path / "measured")) == 0
    files = [p for p in (tmp_path / "measured").rglob("*") if p.is_file()]
    assert [path.name for path in files] == ["record.json"]
    assert files[0].parts[-5:-2] == ("mini", "flickr", "tiny+k=2")
    assert str(tmp_path) not in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "nothing to vary"),
        (["--k", "17"], "--k 17: it must be at most the recipe's C = 16"),
        (["--k", "0"], "--k 0: it must be at least 1"),
        (["--c", "3"], "--c 3: it must be at least the recipe's K = 4"),
        (["--k"], "--k needs at least one value"),
        (["--k", "2", "--budget", "0"], "--budget"),
        (["--k", "2", "--config", "nonsense"], "nonsense"),
        (["--k", "2", "--suite", "paper"], "suite 'mini', not 'paper'"),
        (["--k", "2", "--data-root", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_status_2(ablate, capsys, arguments, text):
    """Against what the line must name."""
    assert ablate(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("unimo2: error: ") and text in captured.err
