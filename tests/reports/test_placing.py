"""Every benchmark's records land in the paper's column, and in no other."""

from dataclasses import replace

import pytest

import reports
from evals.metrics.ranking import Metric
from reports import paper
from reports.selection import arrange
from reports.tables import measured_tables
from zoo import cards

# What the paper's captions and section 4 say of its columns: table, printed column, place in the
# cell, and the benchmark, split, setting and metric that measure the same.
COLUMNS = [
    (1, "ZS-IR R@1/R@5", 0, "flickr", "test", True, "image_retrieval/R@1"),
    (1, "TR R@1/R@5", 1, "flickr", "test", False, "text_retrieval/R@5"),
    (1, "ZS-TR R@1/R@5", 0, "flickr", "val", True, "text_retrieval/R@1"),
    (1, "SNLI-VE Val / Test", 0, "snli_ve", "dev", False, "accuracy"),
    (1, "SNLI-VE Val / Test", 1, "snli_ve", "test", False, "accuracy"),
    (1, "VQA test-dev / std", 0, "vqa", "test-dev", False, "accuracy"),
    (1, "VQA test-dev / std", 1, "vqa", "test-std", False, "accuracy"),
    (1, "Caption B@4/C", 0, "coco", "test", False, "Bleu_4"),
    (1, "Caption B@4/C", 1, "coco", "test", False, "CIDEr"),
    (2, "Acc@1 Zero-Shot", 0, "imagenet", "val", True, "accuracy"),
    (2, "Acc@1 Finetuned", 0, "imagenet", "val", False, "accuracy"),
    (3, "SST-2 Acc", 0, "sst2", "dev", False, "accuracy"),
    (3, "MNLI Acc-(m/mm)", 0, "mnli", "dev", False, "accuracy[matched]"),
    (3, "MNLI Acc-(m/mm)", 1, "mnli", "dev", False, "accuracy[mismatched]"),
    (3, "MNLI Acc-(m/mm)", 1, "mnli", "dev_mismatched", False, "accuracy[mismatched]"),
    (3, "CoLA Mat", 0, "cola", "dev", False, "matthews"),
    (3, "STS-B Per", 0, "stsb", "dev", False, "pearson"),
    (4, "IR R@1", 0, "flickr", "test", False, "image_retrieval/R@1"),
    (4, "COCO Caption B@4/C", 1, "coco", "test", False, "CIDEr"),
    (4, "ZS-ImageNet Acc@1", 0, "imagenet", "val", True, "accuracy"),
    (4, "MNLI m/mm", 0, "mnli", "dev", False, "accuracy[matched]"),
    (10, "Finetuned-TR R@1/R@5/R@10", 2, "flickr", "test", False, "text_retrieval/R@10"),
]


@pytest.fixture
def record_of(make_record):
    """Makes a record of any benchmark whose metrics are given by name."""

    def make(benchmark, split, zero_shot, metrics, model="mini", **protocol):
        made = make_record(model, zero_shot=zero_shot, fingerprint=f"{benchmark}-{split}")
        values = {
            name: Metric(value, 50, (value - 1.0, value + 1.0), None, False)
            for name, value in metrics.items()
        }
        data = {
            **{"fingerprint": made.data["fingerprint"], "root_name": "x", "split": split},
            **{"rows": 50, "official": False, "note": None},
        }
        own = {"zero_shot": zero_shot, **protocol}
        return replace(made, benchmark=benchmark, metrics=values, data=data, protocol=own)

    return make


def test_every_column_of_results_is_measured_by_something():
    """Against the tables of results: no column is without a benchmark, a split and a metric."""
    for number in paper.RESULT_TABLES:
        wanted = paper.columns(number)
        assert (wanted[["benchmark", "split", "setting", "measure"]] != "").all(axis=None)


@pytest.mark.parametrize("case", COLUMNS, ids=lambda case: f"{case[0]}-{case[3]}-{case[6]}")
def test_a_record_fills_its_own_column_alone(case, record_of):
    """Against the paper's captions: the number stands in one place of one cell, once."""
    number, head, place, benchmark, split, zero_shot, metric = case
    record = record_of(benchmark, split, zero_shot, {metric: 12.3})
    (table,) = measured_tables(number, [record])
    separator = paper.columns(number).set_index("metric")["separator"].iloc[0]
    cells = table.frame.loc["mini"]
    assert cells[head].replace(" ", "").split(separator.strip())[place] == "12.3±1.0"
    assert sum(text.count("12.3") for text in cells) == 1


def test_validation_and_test_figures_of_flickr_share_no_sheet(record_of):
    """Against the paper, whose own rows are of val beside other systems' of test."""
    found = [
        record_of("flickr", split, True, {"image_retrieval/R@1": value})
        for split, value in (("test", 11.1), ("val", 22.2))
    ]
    tables = measured_tables(1, found)
    texts = [" ".join(table.frame.to_numpy().ravel()) for table in tables]
    assert [("11.1" in text, "22.2" in text) for text in texts] == [(False, True), (True, False)]
    assert any("val split" in note for note in tables[0].notes)


@pytest.mark.parametrize(
    ("split", "zero_shot"), [("val", False), ("test-dev", True)], ids=["split", "setting"]
)
def test_what_no_table_has_a_column_for_is_said(split, zero_shot, record_of):
    """Against the paper, which has fine-tuned VQA on test-dev and test-std alone."""
    record = record_of("vqa", split, zero_shot, {"accuracy": 50.0})
    (table,) = measured_tables(1, [record])
    assert set(table.frame.to_numpy().ravel()) == {"not measured"}
    assert any(f"no column for the {split} split" in note for note in table.notes)


def test_a_record_without_metrics_is_said(record_of):
    """Against a run on a test split whose answers are the server's."""
    (table,) = measured_tables(1, [record_of("vqa", "test-dev", False, {})])
    assert any("the truth is not public" in note for note in table.notes)


def test_records_of_another_table_are_not_spoken_of(record_of):
    """Against fine-tuned ImageNet: a column of Table 2, none of Table 4."""
    record = record_of("imagenet", "val", False, {"accuracy": 50.0})
    (table,) = measured_tables(4, [record])
    assert not any("left out" in note for note in table.notes)


@pytest.mark.parametrize(
    ("benchmark", "split", "zero_shot", "metric", "change"),
    [
        ("imagenet", "val", True, "accuracy", {"templates": 80}),
        ("imagenet", "val", True, "accuracy", {"pairs": "shortlist of 5"}),
        ("imagenet", "val", True, "accuracy", {"score": "contrastive score alone"}),
        ("coco", "test", False, "CIDEr", {"beam_size": 1}),
        ("coco", "test", False, "CIDEr", {"object_tags": "vinvl"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_other_protocols_share_no_column(benchmark, split, zero_shot, metric, change, record_of):
    """Against two records that differ in one entry of the protocol; the usual one comes first."""
    usual = {"templates": 1, "pairs": "exhaustive", "score": "the model's", "beam_size": 5}
    first = record_of(benchmark, split, zero_shot, {metric: 11.0}, **usual)
    other = record_of(benchmark, split, zero_shot, {metric: 77.0}, **{**usual, **change})
    number = 2 if benchmark == "imagenet" else 1
    tables = measured_tables(number, [first, replace(other, variant="other")])
    assert len(tables) == 2 and len({table.title for table in tables}) == 2
    assert "77.0" not in str(tables[0].frame) and "11.0" not in str(tables[1].frame)


def test_what_belongs_to_the_model_is_no_condition(record_of):
    """Against two models of one column: one has a weighted score, the other one of its own."""
    records = [
        record_of("imagenet", "val", True, {"accuracy": 1.0}, score="the model's"),
        record_of(
            *("imagenet", "val", True, {"accuracy": 2.0}, "b"),
            **{"score": "itm + contrastive_weight * contrastive", "contrastive_weight": 0.3},
        ),
    ]
    (table,) = measured_tables(2, records)
    assert list(table.frame.index) == ["b", "mini"]


def test_data_sets_of_one_suite_share_a_table_and_are_told(record_of):
    """Against records of two benchmarks: one table, a note for each with its own data."""
    records = [record_of("cola", "dev", False, {"matthews": 10.0})]
    records += [record_of("stsb", "dev", False, {"pearson": 20.0})]
    (table,) = measured_tables(3, records)
    assert list(table.frame.loc["mini"])[2:] == ["10.0±1.0", "20.0±1.0"]
    assert table.notes[0].startswith("CoLA: cola dev split, 50 rows, data cola-dev")
    assert table.notes[1].startswith("STS-B: stsb dev split, 50 rows, data stsb-dev")


def test_a_number_missing_in_a_cell_is_said(record_of):
    """Against captions without SPICE, and VQA on test-dev alone."""
    record = record_of("vqa", "test-dev", False, {"accuracy": 10.0})
    (table,) = measured_tables(1, [record])
    assert table.frame.loc["mini", "VQA test-dev / std"] == "10.0±1.0/not measured"


def test_samples_are_named_in_their_own_tables_alone(record_of):
    """Against a sample of VQA: a line beneath Table 1, none beneath Table 3."""
    record = record_of("vqa", "test-dev", False, {"accuracy": 10.0})
    record = replace(record, data={**record.data, "note": "60 of 2,000"})
    assert any("60 of 2,000" in note for note in reports.report_tables(1, [record])[-1].notes)
    assert not any("60 of" in note for note in reports.report_tables(3, [record])[-1].notes)


def test_finetuned_embedded_weights_stand_in_their_models_row(record_of, monkeypatch):
    """Against cards of a model and its two fine-tuned ones; another model keeps its own row."""
    plain = cards.read_all()["mini"]
    tuned = {
        name: replace(plain, name=name, finetuned_for=(task,))
        for name, task in (("mini-vqa", "vqa"), ("mini-snli-ve", "snli_ve"), ("big-vqa", "vqa"))
    }
    monkeypatch.setattr(cards, "read_all", lambda: {"mini": plain, **tuned})
    records = [
        record_of("flickr", "test", True, {"image_retrieval/R@1": 30.0}),
        record_of("vqa", "test-dev", False, {"accuracy": 10.0}, "mini-vqa"),
        record_of("snli_ve", "test", False, {"accuracy": 20.0}, "mini-snli-ve"),
        record_of("vqa", "test-dev", False, {"accuracy": 40.0}, "big-vqa"),
    ]
    (table,) = measured_tables(1, records)
    assert list(table.frame.index) == ["big-vqa", "mini"]
    cells = " ".join(table.frame.loc["mini"])
    assert all(number in cells for number in ("30.0", "10.0", "20.0")) and "40.0" not in cells
    assert any("mini-vqa, mini-snli-ve" in n or "mini-snli-ve, mini-vqa" in n for n in table.notes)


def test_an_ablations_row_holds_every_benchmark_it_was_measured_on(record_of, trained):
    """Against one row measured on two benchmarks, and a row of the whole training."""
    whole = [
        record_of("flickr", "test", True, {"image_retrieval/R@1": 50.0}, training=trained()),
        record_of("imagenet", "val", True, {"accuracy": 60.0}, training=trained()),
    ]
    without = [
        record_of(
            *("flickr", "test", True, {"image_retrieval/R@1": 5.0}),
            **{"training": trained(grounding="none"), "without": "gd"},
        ),
        record_of(
            *("imagenet", "val", True, {"accuracy": 6.0}),
            **{"training": trained(grounding="none"), "without": "gd"},
        ),
    ]
    ((sheet,), _) = arrange(4, [*whole, *without])
    assert [row.label for row in sheet.rows] == ["full", "w/o GD (P)"]
    assert [len(row.records) for row in sheet.rows] == [2, 2]
