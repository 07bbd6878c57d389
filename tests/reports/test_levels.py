"""Ceilings and floors stand beside numbers of their own data alone."""

import json
from dataclasses import replace

import pytest

from evals.benchmark import Request
from evals.benchmarks.glue import Sst2
from evals.metrics.ranking import Metric
from evals.suites import resolve
from reports.levels import GROUP, Levels
from reports.measurements import measured_tables
from reports.tables import report_json

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
    other = replace(record, data={**record.data, "fingerprint": "f" * 64})
    paper = replace(record, suite="paper")
    for one in (other, paper):
        (table,) = measured_tables(3, [one], Levels.at(root))
        assert list(table.frame.index) == ["mini"]
    (root / "glue" / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nfine\t1\n", encoding="utf-8")
    (table,) = measured_tables(3, [record], Levels.at(root))
    assert list(table.frame.index) == ["mini"]


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
