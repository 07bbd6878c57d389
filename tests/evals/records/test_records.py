"""Records: written whole, read back strictly, found again."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evals import records
from evals.metrics.ranking import Metric
from evals.records import Record, environment
from unimo2.errors import BadData, MissingData
from zoo import cards


def _record(**changes: object) -> Record:
    record = Record(
        status="done",
        suite="mini",
        benchmark="flickr",
        model="mini",
        variant=None,
        protocol={"zero_shot": True},
        data={"fingerprint": "f", "images": 3, "note": "3 of 1,000"},
        metrics={"image_retrieval/R@1": Metric(50.1, 300, (44.0, 56.25), 1 / 3, False, ties=2)},
        weights_sha256="a" * 64,
        config={"hidden_size": 64},
        seed=0,
        versions={"python": "3.11"},
        commit=None,
        dirty=None,
        device="a processor",
        dtype="float32",
        seconds=1.5,
        throughput={"pairs_per_second": 600.0},
        peak_memory_mb=512.5,
        command="unimo2 eval flickr --zero-shot",
        notes=["Größe: 3 of 1,000"],
        created="2024-05-01T12:00:00+00:00",
    )
    return replace(record, **changes)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Truth: the record that was written."""
    written = records.write(_record(), tmp_path / "run")
    assert written.path == tmp_path / "run" / "record.json"
    assert records.read(written.path) == _record()
    assert records.read(tmp_path / "run").path == written.path


def test_the_file_has_the_layout_that_others_read(tmp_path: Path) -> None:
    """Truth: the documented keys, and JSON without NaN."""
    path = records.write(_record(), tmp_path).path
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema"] == 2
    assert content["metrics"]["image_retrieval/R@1"] == {
        "value": 50.1, "n": 300, "ci95": [44.0, 56.25], "chance": 1 / 3,
        "at_chance": False, "higher_is_better": True, "ties": 2,
    }  # fmt: skip
    assert "path" not in content
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write(_record(seconds=float("nan")), tmp_path)
    assert records.read(path) == _record()  # a failed write leaves the old file


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda c: c.pop("seed"), "keys: seed"),
        (lambda c: c.update(colour="red"), "keys: colour"),
        (lambda c: c.update(schema=3), "schema 3"),
        (lambda c: c.update(model=5), "model cannot be 5"),
        (lambda c: c.update(protocol="zero-shot"), "protocol cannot be"),
        (lambda c: c.update(seconds=float("nan")), "NaN is not a number"),
        (lambda c: c["throughput"].update(pairs=1e308), "throughput cannot be"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].update(value=1e308), "a metric"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].update(value="99"), "a metric"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].update(ci95=[0, float("inf")]), "JSON"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].pop("ci95"), "a metric"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].update(odd=1), "a metric"),
        (lambda c: c["metrics"]["image_retrieval/R@1"].update(ci95=[1]), "a metric"),
    ],
)
def test_a_record_that_is_not_whole_is_refused(tmp_path: Path, damage: object, says: str) -> None:
    """Truth: the damage that was done."""
    path = records.write(_record(), tmp_path).path
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BadData, match=says):
        records.read(path)


def test_broken_json_and_missing_files_are_named(tmp_path: Path) -> None:
    """Truth: a file cut in two, and one that is not there."""
    path = records.write(_record(), tmp_path).path
    path.write_text(path.read_text()[:40])
    with pytest.raises(BadData, match=r"record\.json is not valid JSON"):
        records.read(path)
    with pytest.raises(MissingData, match="nowhere"):
        records.read(tmp_path / "nowhere" / "record.json")
    with pytest.raises(MissingData, match="samples"):
        records.read_samples(tmp_path)


def test_find_filters_and_puts_the_newest_last(tmp_path: Path) -> None:
    """Truth: five records written by hand, one unfinished run, two roots."""
    one, two = tmp_path / "one", tmp_path / "two"
    for root, place, created, changes in [
        (one, "mini/flickr/mini/b", "2024-05-02", {}),
        (one, "mini/flickr/mini+k10/a", "2024-05-01", {"variant": "k10"}),
        (one, "mini/flickr/mini+k05/a", "2024-05-05", {"variant": "k05"}),
        (two, "mini/flickr/other/a", "2024-05-03", {"model": "other"}),
        (two, "paper/flickr/mini/a", "2024-05-04", {"suite": "paper"}),
    ]:
        records.write(_record(created=created, **changes), root / place)
    (one / "mini/flickr/mini/unfinished").mkdir()

    def created(*roots: Path, **wanted: str) -> list[str]:
        return [record.created[-2:] for record in records.find(roots, **wanted)]

    assert created(one, two) == ["01", "02", "03", "04", "05"]
    assert created(one) == ["01", "02", "05"]
    assert created(two, one, suite="mini", model="mini") == ["01", "02", "05"]
    assert created(one, two, model="other") == ["03"]
    assert created(one, two, benchmark="vqa") == []
    assert created(tmp_path / "nowhere") == []
    assert len(records.find(one)) == 3


def test_samples_come_back_with_their_types(tmp_path: Path) -> None:
    """Truth: the table that was written."""
    samples = pd.DataFrame({"query": [1, 2], "rank": [1.5, 2.0], "task": ["a", "b"]})
    records.write_samples(samples, tmp_path)
    pd.testing.assert_frame_equal(records.read_samples(tmp_path), samples)


def test_damaged_samples_are_one_error(tmp_path: Path) -> None:
    """Truth: the file that is no table."""
    (tmp_path / records.SAMPLES).write_bytes(b"PAR1 no table")
    with pytest.raises(BadData, match="samples.parquet: not a table of samples"):
        records.read_samples(tmp_path)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_commit_is_that_of_the_checkout_and_knows_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: git itself, in a checkout made by the test; an untracked package has no commit."""
    package = tmp_path / "evals"
    package.mkdir()
    (package / "environment.py").write_text("x = 1\n")
    monkeypatch.setattr(environment, "__file__", str(package / "environment.py"))
    assert environment.commit() == (None, None)  # no checkout at all
    _git(tmp_path, "init", "-q")
    (tmp_path / "other.txt").write_text("a")
    _git(tmp_path, "add", "other.txt")
    _git(tmp_path, "commit", "-q", "-m", "first")
    assert environment.commit() == (None, None)  # somebody else's checkout
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "second")
    assert environment.commit() == (_git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "other.txt").write_text("b")
    assert environment.commit() == (_git(tmp_path, "rev-parse", "HEAD"), True)


def test_versions_name_python_and_torch() -> None:
    """Truth: what the interpreter and torch say of themselves."""
    import platform

    import torch

    found = environment.versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert "threads" in environment.device_name("cpu")


def test_committed_records_are_of_the_weights_that_come_with_the_package():
    """Truth: the sha256 of the cards, the levels of the embedded suite as README lists them."""
    at_least = {
        "vqa": ("accuracy", 37.3 + 15),
        "snli_ve": ("accuracy", 50.1 + 20),
        "coco": ("CIDEr", 0.7 * 60.3),
        "sst2": ("accuracy", 75.0),
        "mnli": ("accuracy", 42.7),
        "cola": ("matthews", 21.2),
        "stsb": ("pearson", 56.6),
    }
    known, seen = cards.read_all(), set()
    for path in records.MEASURED.rglob("record.json"):
        record = records.read(path)
        if record.model not in known:
            continue  # a row of an ablation, whose weights do not come with the package
        assert record.weights_sha256 == known[record.model].weights_sha256, path
        if record.benchmark in at_least:
            metric, floor = at_least[record.benchmark]
            assert record.metrics[metric].value > floor, path
            seen.add(record.benchmark)
    assert seen == set(at_least)
