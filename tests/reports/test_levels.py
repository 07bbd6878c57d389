"""Ceilings and floors stand beside numbers of their own data alone."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import reports
from evals import records, registry
from evals.benchmark import Request
from evals.benchmarks.glue import Sst2
from evals.datasets.suites import resolve
from evals.metrics.ranking import Metric
from evals.registry import keep_fingerprints
from reports.levels import GROUP, Levels
from reports.tables import measured_tables, report_json
from unimo2.errors import BadData

LEVEL = {"ideal": 100.0, "chance": 50.0, "majority": 51.0, "one_modality": {"bag of words": 75.0}}


@pytest.fixture
def root(tmp_path):
    """An embedded suite of one data set of two rows, with known levels."""
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text("sentence\tlabel\ngood\t1\nbad\t0\n", encoding="utf-8")
    content = {
        **{"suite": "mini", "fingerprint": "0", "fingerprints": {"sst2": "1"}},
        "levels": {"sst2": {"accuracy": LEVEL}},
    }
    (tmp_path / "suite.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.fixture
def record(root, make_record):
    """A record of that data."""
    request = Request("sst2", "mini", split="dev")
    data = Sst2().read(resolve("mini", root), request).summary()
    metric = Metric(80.0, 2, (70.0, 90.0), 50.0, False)
    made = make_record(zero_shot=False)
    return replace(made, benchmark="sst2", data=data, metrics={"accuracy": metric})


def test_levels_stand_beneath_numbers_of_the_same_data(root, record):
    """Against the levels of a suite made by hand: their group, names and values."""
    (table,) = measured_tables(3, [record], Levels.at(root))
    assert list(table.frame.index) == [
        ("", "mini"),
        *((GROUP, name) for name in ("ideal reader", "chance", "majority answer")),
        (GROUP, "bag of words alone"),
    ]
    assert list(table.frame["SST-2 Acc"]) == ["80.0±10.0", "100.0", "50.0", "51.0", "75.0"]
    assert set(table.frame["CoLA Mat"]) == {"not measured", "-"}


def test_levels_of_other_data_are_not_shown(root, record):
    """Against a record of another fingerprint, another suite, and data changed on disk."""
    assert Levels.at(root).of(record, "accuracy")
    (root / "glue" / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nfine\t1\n", encoding="utf-8")
    read_again = Sst2().read(resolve("mini", root), Request("sst2", "mini", split="dev")).summary()
    assert read_again["fingerprint"] != record.data["fingerprint"]
    other = replace(record, data={**record.data, "fingerprint": "f" * 64})
    paper = replace(record, suite="paper")
    for one in (other, paper, replace(record, data=read_again)):
        (table,) = measured_tables(3, [one], Levels.at(root))
        assert list(table.frame.index) == ["mini"]


def test_data_is_read_once_and_never_again(root, record):
    """Against a suite whose data is gone after its fingerprints were kept: levels are as before."""
    first = Levels.at(root).of(record, "accuracy")
    shutil.rmtree(root / "glue")
    assert Levels.at(root).of(record, "accuracy") == first != {}
    kept = json.loads((root / "suite.json").read_text(encoding="utf-8"))["benchmarks"]
    assert kept == {"sst2": {"dev": record.data["fingerprint"]}} == keep_fingerprints(root)
    assert resolve("mini", root).fingerprints == {"sst2": "1"}


def test_a_suite_that_cannot_be_written_to_has_its_levels(root, record, monkeypatch):
    """Against the description as it was before."""
    before = (root / "suite.json").read_text(encoding="utf-8")

    def refuse(path, text):
        raise PermissionError(path)

    monkeypatch.setattr(registry, "write_text", refuse)
    assert Levels.at(root).of(record, "accuracy")["ideal reader"] == 100.0
    assert (root / "suite.json").read_text(encoding="utf-8") == before


def test_real_data_and_broken_descriptions_have_no_levels(root):
    """Against a root without a description, and one cut in two."""
    path = root / "suite.json"
    path.write_text(path.read_text(encoding="utf-8")[:30], encoding="utf-8")
    assert Levels.at(root) is None
    path.unlink()
    with pytest.raises(BadData, match="only a generated suite"):
        keep_fingerprints(root)


def test_a_folder_without_the_suite_has_no_levels(tmp_path):
    """Against an empty folder."""
    assert Levels.at(tmp_path) is None


def test_json_tells_computed_from_measured(root, record):
    """Against the kinds of the lines; a level has no interval."""
    content = json.loads(json.dumps(report_json(3, [record], Levels.at(root)), allow_nan=False))
    kinds = [(line["kind"], line["value"], line["low"]) for line in content["measured"]]
    assert kinds[0] == ("measured", 80.0, 70.0)
    assert kinds[1:] == [("computed", value, None) for value in (100.0, 50.0, 51.0, 75.0)]
    assert content["published"][0]["row_label"] == "BERT"


def test_a_table_is_printed_without_reading_data_or_heavy_libraries(root, record, tmp_path):
    """Against the modules of a fresh interpreter: neither frames, nor statistics, nor tensors."""
    records.write(record, tmp_path / "runs" / "mini" / "sst2" / "mini" / "a")
    Levels.at(root)  # keeps the fingerprints
    shutil.rmtree(root / "glue")
    code = (
        "import sys; from unimo2.cli import main; "
        f"main(['report', '--table', '3', '--data-root', {str(root)!r}]); "
        "print(sorted({'pandas', 'scipy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    path = str(Path(reports.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        **{"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": path}},
        **{"check": True, "capture_output": True, "text": True},
    )
    assert done.stdout.splitlines()[-1] == "[]" and "80.0±10.0" in done.stdout
    assert "ideal reader" in done.stdout
