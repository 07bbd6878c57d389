"""What was measured stands in tables of its own, with what is needed to judge it."""

from dataclasses import replace

import pandas as pd
import pytest

import reports
from reports.tables import measured_tables


def test_measured_and_published_numbers_share_no_table(make_record):
    """Against the paper's rows: the published table is the same with and without records."""
    alone = reports.report_tables(1, [])[0]
    published, measured = reports.report_tables(1, [make_record(value=40.0)])
    pd.testing.assert_frame_equal(published.frame, alone.frame)
    assert list(measured.frame.index) == ["mini"]
    assert "41.0±1.5/45.0±1.5" not in published.frame.to_numpy()


def test_a_cell_has_value_and_interval_in_the_papers_layout(make_record):
    """Against a record whose recalls and intervals (-1, +2) are known."""
    (table,) = measured_tables(1, [make_record(value=40.0)])
    assert table.frame.loc["mini", "ZS-IR R@1/R@5"] == "41.0±1.5/45.0±1.5"
    assert table.frame.loc["mini", "ZS-TR R@1/R@5"] == "61.0±1.5/65.0±1.5"
    assert "suite mini" in table.title and "300 images, 1,500 captions" in table.notes[0]
    assert "n = 300 or 1,500" in table.notes[0]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 10])
def test_what_was_not_measured_is_said(number):
    """Against no records at all: every cell of the embedded suite's row."""
    (table,) = measured_tables(number, [])
    assert set(table.frame.to_numpy().ravel()) == {"not measured"}
    assert "mini" in table.title


def test_missing_tasks_are_said_beside_measured_ones(make_record):
    """Against a record of zero-shot retrieval alone."""
    (table,) = measured_tables(1, [make_record()])
    assert table.frame.loc["mini", "VQA test-dev / std"] == "not measured"
    assert table.frame.loc["mini", "IR R@1/R@5"] == "not measured"


@pytest.mark.parametrize("change", [{"suite": "paper"}, {"fingerprint": "999"}])
def test_numbers_on_other_data_stand_in_a_table_of_their_own(change, make_record):
    """Against two records that differ in nothing but the data."""
    tables = measured_tables(1, [make_record(), make_record(**change)])
    assert len(tables) == 2 and tables[0].title != tables[1].title


def test_numbers_on_the_paper_data_are_not_called_incomparable(make_record):
    """Against the same record on both suites."""
    mini, paper = measured_tables(1, [make_record(), make_record(suite="paper")])
    assert any("not comparable" in note for note in mini.notes)
    assert not any("not comparable" in note for note in paper.notes)


def test_a_sample_is_named_and_not_shown(make_record):
    """Against a record that says "60 of 1,000"."""
    sample = make_record("other", suite="paper", note="60 of 1,000")
    tables = reports.report_tables(1, [make_record(), sample])
    assert len(tables) == 2 and "other" not in tables[1].frame.index
    assert any("60 of 1,000" in note for note in tables[1].notes)


def test_within_noise_of_chance_is_marked(make_record):
    """Against a record whose metrics say so, and one whose do not."""
    tables = measured_tables(1, [make_record("a", at_chance=True), make_record("b")])
    (frame,) = (table.frame for table in tables)
    assert frame.loc["a", "ZS-IR R@1/R@5"].count("*") == 2
    assert frame.loc["a", "remark"] == "within noise of chance"
    assert "*" not in frame.loc["b", "ZS-IR R@1/R@5"] and frame.loc["b", "remark"] == ""


def test_a_zero_shot_row_says_what_its_model_had_seen(seen_records):
    """Truth: a COCO-tuned BLIP on Flickr30k, and a model of which nobody lists the data."""
    records, said = seen_records
    [table] = measured_tables(1, records)
    assert table.frame["remark"].to_dict() == said


def test_every_form_has_the_remarks_of_the_table(seen_records):
    """Against the same records: each number of JSON, CSV and Python."""
    records, said = seen_records
    lines = reports.report_json(1, records)["measured"]
    assert {line["model"]: line["remark"] for line in lines} == said and len(lines) > len(said)
    frame = reports.measured(1, records, suite="paper")
    assert dict(zip(frame["model"], frame["remark"], strict=True)) == said
    (_, plain) = reports.report_tables(1, records, "csv")
    assert sorted(set(plain.frame["remark"])) == sorted(set(said.values()))


def test_a_row_with_one_number_at_chance_has_no_remark(make_record):
    """Against a record whose R@1 of images alone is at chance: its star says so."""
    record = make_record()
    name = "image_retrieval/R@1"
    metrics = {**record.metrics, name: replace(record.metrics[name], at_chance=True)}
    (table,) = measured_tables(1, [replace(record, metrics=metrics)])
    assert table.frame.loc["mini", "ZS-IR R@1/R@5"].count("*") == 1
    assert "remark" not in table.frame.columns


@pytest.mark.parametrize(
    ("records", "first"),
    [
        ([("a", None), ("b", None), ("a", "other")], "b"),
        ([("a", None), ("b", None), ("a", None)], "a"),
        ([("b", None), ("a", "other")], "b"),
    ],
)
def test_the_data_of_the_newest_usual_record_stand_first(make_record, records, first):
    """Against records of two sets of data, newest last; one with a variant is not a usual one."""
    made = [make_record(fingerprint=f"data-{data}", variant=variant) for data, variant in records]
    tables = measured_tables(1, made)
    assert [f"data-{first}" in table.notes[0] for table in tables] == [True, False]


def test_the_newest_record_of_a_row_counts(make_record):
    """Against two records of one model, newest last as `records.find` gives them."""
    (table,) = measured_tables(1, [make_record(value=10.0), make_record(value=40.0)])
    assert table.frame.loc["mini", "ZS-IR R@1/R@5"].startswith("41.0")


def test_zero_shot_and_finetuned_fill_their_own_columns(make_record):
    """Against one record of each setting."""
    records = [make_record(value=10.0), make_record(value=40.0, zero_shot=False)]
    (table,) = measured_tables(10, records)
    assert table.frame.loc["mini", "ZeroShot-IR R@1/R@5/R@10"].startswith("11.0")
    assert table.frame.loc["mini", "Finetuned-IR R@1/R@5/R@10"].startswith("41.0")


def test_ablation_rows_stand_in_table_5_alone_and_in_its_order(make_record, trained):
    """Against the order of the paper's Table 5: C, then K, then the 1-to-1 map."""
    records = [
        make_record("ablation", f"k={tokens}", training=trained(tokens)) for tokens in (50, 10)
    ]
    records += [make_record("ablation", "nearest", training=trained(grounding="nearest"))]
    records += [make_record("ablation", f"c={size}", training=trained(size=size)) for size in (64,)]
    (table,) = measured_tables(5, records)
    rows = [("GD Size C", "64"), ("Top-K", "10"), ("Top-K", "50"), ("", "1-to-1 Map")]
    assert list(table.frame.index) == rows
    assert set(measured_tables(1, records)[0].frame.to_numpy().ravel()) == {"not measured"}


def test_the_default_run_stands_in_both_parts_of_table_5(make_record, trained):
    """Against the paper, whose rows C = 2048 and K = 100 are one run."""
    records = [make_record("ablation", f"k={k}", training=trained(k)) for k in (10, 32)]
    (table,) = measured_tables(5, records)
    assert list(table.frame.index) == [("Top-K", "10"), ("Top-K", "32")]
    records += [make_record("ablation", "c=64", training=trained(size=64))]
    (table,) = measured_tables(5, records)
    assert list(table.frame.index)[:2] == [("GD Size C", "64"), ("GD Size C", "256")]
    same = table.frame.loc[[("GD Size C", "256"), ("Top-K", "32")]]
    assert (same.iloc[0] == same.iloc[1]).all()


@pytest.mark.parametrize("change", [{"budget": 10}, {"seed": 1}])
def test_rows_of_unequal_training_share_no_table(change, make_record, trained):
    """Against two rows that differ in budget or seed besides K."""
    records = [make_record("ablation", "k=10", training=trained(10))]
    records += [make_record("ablation", "k=20", training=trained(20, **change))]
    assert len(measured_tables(5, records)) == 2


def test_a_table_of_an_ablation_says_in_what_its_rows_were_trained(make_record, trained):
    """Against rows of one precision, then of two, whose numbers differ for that reason too."""

    def row(tokens, precision):
        told = {**trained(tokens), "cost": {"precision": precision}}
        return make_record("ablation", f"k={tokens}", training=told)

    (same,) = measured_tables(5, [row(10, "bf16"), row(20, "bf16")])
    assert "Trained in bf16." in same.notes
    (mixed,) = measured_tables(5, [row(10, "bf16"), row(20, "fp32"), row(50, "bf16")])
    text = "Rows differ in the precision of training too: 10, 50 in bf16; 20 in fp32."
    assert text in mixed.notes


def test_measured_numbers_are_exact_and_of_one_suite(make_record):
    """Against the record's own values; another suite's numbers are not in the frame."""
    records = [make_record(value=0.25), make_record(value=50.0, suite="paper")]
    frame = reports.measured(1, records)
    first = frame.iloc[0]
    assert first["value"] == 1.25 and first["low"] == 0.25 and first["n"] == 1500
    assert set(frame["suite"]) == {"mini"} and len(frame) == 4
    assert set(reports.measured(1, records, suite="paper")["value"] > 50) == {True}
    assert list(reports.measured(3, records).columns) == list(frame.columns)


def test_rows_without_something_stand_in_table_4_in_its_order(make_record, trained):
    """Against the published Table 4's groups and labels; parameters stay in Table 5."""
    parts = ["both", "images", "text", "gt", "gd-inference", "gd"]
    records = [
        make_record("ablation", f"without={part}", training=trained(), without=part)
        for part in parts
    ]
    records += [make_record("ablation", "one-to-one", training=trained(grounding="nearest"))]
    records += [make_record("ablation", "full", training=trained())]
    records += [make_record("ablation", "k=10", training=trained(10))]
    (table,) = measured_tables(4, records)
    published = reports.report_tables(4, [])[0].frame
    assert list(table.frame.index)[1:] == list(published.index)[1:]
    assert table.frame.index[0] == ("", "full")
    (table,) = measured_tables(5, records)
    assert list(table.frame.index) == [("Top-K", "10"), ("Top-K", "32"), ("", "1-to-1 Map")]


def test_parameters_alone_fill_no_table_4(make_record, trained):
    """Against rows of K and the full one: nothing is taken away, so that nothing is shown."""
    records = [make_record("ablation", "full", training=trained())]
    records += [make_record("ablation", "k=10", training=trained(10))]
    (table,) = measured_tables(4, records)
    assert set(table.frame.to_numpy().ravel()) == {"not measured"}


def test_rows_of_several_seeds_have_their_mean_and_spread(make_record, trained):
    """Against statistics by hand: 60 and 64 at R@1, one more for R@1's K; no seed is picked."""
    records = [
        make_record("ablation", "full", value, training=trained(seed=seed) | {"base": str(seed)})
        for seed, value in ((0, 60.0), (1, 64.0))
    ]
    part = {"training": trained(grounding="none") | {"base": "0"}, "without": "gd"}
    records += [make_record("ablation", "without=gd", 50.0, **part)]
    (alone,) = measured_tables(4, records)
    assert "seed 0" in alone.title  # of seed 1 there is only the full training
    records += [
        make_record(
            "ablation",
            "without=gd",
            52.0,
            training=trained(grounding="none", seed=1) | {"base": "1"},
            without="gd",
        )
    ]
    *single, spread = measured_tables(4, records)
    assert ["seed 0" in one.title for one in single] == [True, False]
    assert "means over seeds 0, 1" in spread.title and len(single) == 2
    assert spread.frame.loc[("", "full"), "ZS-IR R@1"] == "63.0±2.8 (2)"
    assert spread.frame.loc[("GD", "w/o GD (P)"), "ZS-IR R@1"] == "52.0±1.4 (2)"
    assert spread.frame.loc[("", "full"), "COCO Caption B@4/C"] == "not measured"
