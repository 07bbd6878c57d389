"""The paper's numbers, against the paper."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import reports
from builders.toy_package import blocks_of
from reports import paper
from unimo2.errors import UsageError

PAPER = Path(__file__).resolve().parents[3] / "shared" / "paper"
NUMBERS_IN = {1: 139, 2: 7, 3: 30, 4: 72, 5: 90, 6: 12, 7: 20, 8: 15, 9: 22, 10: 120}
FIRST_ROW = {
    **{1: "ViLBERT", 2: "SimCLRv2", 3: "BERT", 4: "UNIMO-2", 5: "1024", 6: "#Images"},
    **{7: "VQA", 8: "Learning Rate", 9: "Batch Size", 10: "ViLBERT-base"},
}
DIGESTS = {
    1: "fef294025ea3d849",
    2: "a2384dd71a7c729b",
    3: "bcaee40724274504",
    4: "a59a3e072fff8029",
    5: "7129d04c3539ebb7",
    6: "3e7d4f1136ecb23b",
    7: "da5d706c211dc756",
    8: "3cf35b67a4690ead",
    9: "16bf20b5952d4aac",
    10: "97d4d4d1b52aa8b8",
}
CELL = ["row", "row_label", "column", "metric", "value"]
NUMBER = re.compile(r"(?<![\w.@])\d+(?:\.\d+)?(?:e-\d+)?[KMG]?")


@pytest.fixture(scope="module")
def paper_rows():
    """The tab-separated rows of the paper's ten tables, in the paper's order, heads dropped."""
    files = sorted(PAPER.glob("*.txt"))
    if not files:
        pytest.skip("no text of the paper beside this checkout (../shared/paper)")
    blocks, inside = [], False
    for line in files[0].read_text(encoding="utf-8").split("\n"):
        if "\t" in line and not inside:
            blocks.append([])
        inside = "\t" in line
        if inside:
            blocks[-1].append([re.sub("</?b>", "", cell).strip() for cell in line.split("\t")])
    assert len(blocks) == 10
    tables = {}
    for table, rows in enumerate(blocks, 1):
        labels = 2 if table in (4, 5) else 1  # the cell before the label names a group of rows
        kept = [row[labels - 1 :] for row in rows if not row[0].startswith("End-to-End")]
        first = next(i for i, row in enumerate(kept) if row[0].startswith(FIRST_ROW[table]))
        tables[table] = kept[first:]
    return tables


def transcribed(table):
    """Every number of a transcribed table in order, with the epochs of Table 9's learning rates."""
    tidy = paper.numbers(table)
    tidy = tidy[tidy["column"] != "Image Src."]
    for _, row in tidy.iterrows():
        yield row["value"]
        if table == 9:
            yield from re.findall(r"\d+", row["metric"])


@pytest.mark.parametrize("table", paper.TABLES)
def test_every_number_is_the_papers_in_order(paper_rows, table):
    """Against the text of the paper, read here in another way than it was transcribed."""
    printed = [n for row in paper_rows[table] for cell in row[1:] for n in NUMBER.findall(cell)]
    assert list(transcribed(table)) == printed


@pytest.mark.parametrize("table", paper.TABLES)
def test_every_row_is_the_papers_in_order(paper_rows, table):
    """Against the row labels in the text of the paper."""
    labels = list(paper.numbers(table).drop_duplicates("row")["row_label"])
    assert labels == [row[0] for row in paper_rows[table]]


@pytest.mark.parametrize("table", paper.TABLES)
def test_cells_without_a_number_are_the_papers(paper_rows, table):
    """Against the empty and "-" cells in the text of the paper."""
    ours = paper.as_printed(table).groups()
    empty = [[cell in ("-", "") for cell in row[1:]] for _, rows in ours for row in rows]
    width = len(empty[0])
    assert empty == [
        [cell in ("-", "") for cell in (row[1:] + [""] * width)[:width]]
        for row in paper_rows[table]
    ]


@pytest.mark.parametrize("table", paper.TABLES)
def test_no_number_has_changed_since_it_was_compared_with_the_paper(table):
    """Against digests taken while the three tests above passed; these need no text of the paper."""
    cells = paper.numbers(table)[CELL].to_numpy().tolist()
    text = "\n".join("\t".join(cell) for cell in cells)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[table]


@pytest.mark.parametrize("table", [1, 4, 5, 10])
def test_the_papers_own_recalls_are_whole_numbers_of_queries(table):
    """Against the size of Flickr30k's val split: 1,014 images with 5,070 captions."""
    rows = paper.numbers(table)
    rows = rows[rows["metric"].str.startswith("R@")]
    if table in (1, 10):  # tables 4 and 5 have no rows of other papers
        rows = rows[rows["row_label"].isin(["Our Baseline", "UNIMO-2"])]
    assert len(rows) >= 16
    for column, printed in zip(rows["column"], rows["value"], strict=True):
        queries = 5070 if column.endswith("IR") else 1014
        hits = round(float(printed) / 100 * queries)
        assert f"{100 * hits / queries:.2f}" == printed


def test_each_table_has_as_many_numbers_as_were_counted():
    """Against counts taken by hand from the paper."""
    tidy = {table: paper.numbers(table) for table in paper.TABLES}
    counts = {t: int((frame["column"] != "Image Src.").sum()) for t, frame in tidy.items()}
    assert counts == NUMBERS_IN


@pytest.mark.parametrize(
    ("table", "row", "column", "printed"),
    [
        (1, "UNIMO-2", ("ZS-IR", "R@1"), "72.70"),
        (1, "UNIMO-2", ("ZS-TR", "R@5"), "96.84"),
        (1, "ViLT", ("ZS-IR", "R@1"), "51.3"),
        (1, "ViLT", ("VQA", "test-dev"), "70.94"),
        (1, "ViLT", ("VQA", "test-std"), "-"),
        (1, "SOHO", ("SNLI-VE", "Test"), "84.95"),
        (1, "UNIMO-2", ("Caption", "C"), "131.2"),
        (2, "CLIP-ViT(B/16)", ("Acc@1", "Zero-Shot"), "68.6"),
        (2, "UNIMO-2", ("Acc@1", "Finetuned"), "80.8"),
        (3, "UNITER", ("MNLI", "Acc-m"), "80.8"),
        (3, "UNITER", ("MNLI", "Acc-mm"), "-"),
        (3, "UNIMO", ("CoLA", "Mat"), "65.4"),
        (4, "w/o GD (I)", ("ZS-TR", "R@1"), "31.76"),
        (4, "w/o Images", ("ZS-ImageNet", "Acc@1"), "42.2"),
        (5, "GD Size C 4096", ("ZeroShot-IR", "R@1"), "64.10"),
        (5, "Top-K 50", ("COCO Caption", "C"), "125.31"),
        (5, "1-to-1 Map", ("ZeroShot-TR", "R@10"), "94.58"),
        (10, "ViLT", ("ZeroShot-IR", "R@10"), "81.9"),
        (10, "UNIMO-large", ("Finetuned-TR", "R@10"), "99.80"),
    ],
)
def test_numbers_stand_where_the_paper_has_them(table, row, column, printed):
    """Against cells picked from the paper by hand, with the printed precision."""
    assert reports.published(table).loc[row, column] == printed


def test_the_papers_own_arithmetic_holds():
    """Against the gains that sections 5.1 and 5.2 of the paper state."""
    gain = reports.table(1).loc["UNIMO-2"] - reports.table(1).loc["Our Baseline"]
    assert gain["ZS-IR", "R@1"] == pytest.approx(7.59)
    assert gain["ZS-TR", "R@1"] == pytest.approx(9.66)
    accuracy = reports.table(2)["Acc@1", "Zero-Shot"]
    assert accuracy["UNIMO-2"] - accuracy["Our Baseline"] == pytest.approx(8.1)


def test_table_1_repeats_table_10():
    """Two tables of the paper against each other: the same models' R@1 and R@5."""
    short, full = reports.published(1), reports.published(10)
    short.index = short.index.str.lower().str.strip("†")
    full.index = full.index.str.lower().str.replace("vilbert-base", "vilbert")
    names = {"ZS-IR": "ZeroShot-IR", "ZS-TR": "ZeroShot-TR", "IR": "Finetuned-IR"}
    names["TR"] = "Finetuned-TR"
    assert set(full.index) <= set(short.index)
    for model in full.index:
        for ours, theirs in names.items():
            for k in ("R@1", "R@5"):
                assert short.loc[model, (ours, k)] == full.loc[model, (theirs, k)]


def test_the_baseline_is_the_ablation_without_dictionary():
    """Table 4 against Tables 1 to 3: "w/o GD (P)" is "Our Baseline", "UNIMO-2" is itself."""
    ablation = reports.published(4)
    for row, model in (("w/o GD (P)", "Our Baseline"), ("UNIMO-2", "UNIMO-2")):
        cells = ablation.loc[row]
        one, two, three = (reports.published(n).loc[model] for n in (1, 2, 3))
        assert all(cells[t, "R@1"] == one[t, "R@1"] for t in ("ZS-IR", "ZS-TR", "IR", "TR"))
        assert all(cells["COCO Caption", m] == one["Caption", m] for m in ("B@4", "C"))
        assert cells["ZS-ImageNet", "Acc@1"] == two["Acc@1", "Zero-Shot"]
        assert (cells["MNLI", "m"], cells["MNLI", "mm"]) == (
            three["MNLI", "Acc-m"],
            three["MNLI", "Acc-mm"],
        )


def test_recalls_rise_with_k():
    """An invariant of recall, in every row of Tables 1, 5 and 10."""
    for number in (1, 5, 10):
        frame = reports.table(number)
        for task in dict.fromkeys(frame.columns.get_level_values("task")):
            recalls = [(task, f"R@{k}") for k in (1, 5, 10) if (task, f"R@{k}") in frame.columns]
            rows = frame[recalls].dropna()
            assert (rows.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)


def test_tables_to_compute_with_are_numbers_and_keep_gaps():
    """Against the paper's count of numbers and a cell it leaves empty."""
    for number in paper.RESULT_TABLES:
        frame = reports.table(number)
        assert (frame.dtypes == "float64").all()
        assert int(frame.notna().sum().sum()) == NUMBERS_IN[number]
    assert reports.table(1).isna().loc["SOHO", ("ZS-IR", "R@1")]


def test_settings_tables_keep_the_papers_cells():
    """Against cells of Tables 6 to 9 picked by hand."""
    assert reports.table(6).loc["#Texts", ("Image-Text Pairs", "VG")] == "5.41M"
    sizes = reports.table(7)
    assert sizes.loc["VQA"].tolist() == ["COCO", "83K(444K)", "41K(214K)", "81K(107K)", "81K(448K)"]
    assert reports.table(8).loc["Learning Rate", "Visual Tasks"] == "{1e-4, 3e-4, 5e-4}"
    rates = reports.table(9).loc["Learning Rate", "Image-Text Retrieval"]
    assert rates == "5e-6 for epoch=[0,24]; 5e-7 for epoch=[24,32]; 5e-8 for epoch=[32,40]"
    assert reports.table(9).loc["Epoch", "VQA"] == "12"


def test_oddities_of_the_paper_are_noted():
    """Against the three oddities that a reader of the paper meets."""
    assert any("87.9" in note and "ViLT" in note for note in paper.notes(10))
    assert any("swapped" in note for note in paper.notes(7))
    assert any("pairs, counted as images" in note for note in paper.notes(7))


@pytest.mark.parametrize("number", [0, 11, -1])
def test_a_table_that_the_paper_does_not_have_is_refused(number):
    """Against the paper's last table, 10."""
    with pytest.raises(UsageError, match="1 to 10"):
        reports.published(number)


# Queries of text and of image retrieval: Karpathy's test and validation split of Flickr30k.
QUERIES = {"test": {"TR": 1000, "IR": 5000}, "val": {"TR": 1014, "IR": 5070}}


def _is_fraction(printed, n):
    """Whether k / n in percent is printed so for any whole k."""
    places = Decimal(1).scaleb(-len(printed.partition(".")[2]))
    nearest = int(Decimal(printed) * n / 100)
    return any(
        (Decimal(100 * k) / n).quantize(places) == Decimal(printed) for k in (nearest, nearest + 1)
    )


def _flickr_rows(table):
    """For each row, its label, its figures as (TR or IR, printed), and the split they are marked with."""
    wanted = paper.columns(table)
    wanted = wanted[wanted["benchmark"] == "flickr"]
    places = set(zip(wanted["column"], wanted["metric"], strict=True))
    found = {}
    for (_, one), split in zip(paper.numbers(table).iterrows(), paper.splits(table), strict=True):
        if (one["column"], one["metric"]) in places:
            row = found.setdefault(int(one["row"]), (one["row_label"], [], set()))
            row[1].append((one["column"][-2:], one["value"]))
            row[2].add(split)
    return list(found.values())


@pytest.mark.parametrize("table", [1, 4, 5, 10])
def test_every_row_is_of_the_split_whose_size_makes_its_figures_fractions(table):
    """Arithmetic: the figures printed, as k of 1,000 and 5,000, or of 1,014 and 5,070 queries."""
    for label, figures, marked in _flickr_rows(table):
        (split,) = marked
        fits = {
            name: sum(_is_fraction(value, sizes[way]) for way, value in figures)
            for name, sizes in QUERIES.items()
        }
        own = table in (4, 5) or label in ("Our Baseline", "UNIMO-2")
        assert split == ("val" if own else "test")
        if own:
            assert fits["val"] == len(figures) > fits["test"]
        elif label != "E2E-VLP":  # some of its figures are a fraction of neither
            assert fits["test"] == len(figures) >= fits["val"]


def test_all_figures_of_the_papers_own_models_are_of_the_validation_split():
    """Counts: 100 figures of the paper's models, of which a random one fits 1,014 in a tenth."""
    figures = [
        figure
        for table in (1, 4, 5, 10)
        for label, figures, marked in _flickr_rows(table)
        if marked == {"val"}
        for figure in figures
    ]
    assert len(figures) == 16 + 32 + 54 + 24
    assert all(_is_fraction(value, QUERIES["val"][way]) for way, value in figures)
    test = sum(_is_fraction(value, QUERIES["test"][way]) for way, value in figures)
    assert test < 0.5 * len(figures)


def test_tables_say_which_rows_are_of_the_validation_split():
    """Against the rows of the paper's own models."""
    for table, who in ((1, "Our Baseline, UNIMO-2"), (10, "Our Baseline, UNIMO-2")):
        (note,) = [note for note in paper.notes(table) if "validation" in note]
        assert note.startswith(f"{who}: ") and "1,014" in note and "1,000" in note
    for table in (4, 5):
        (note,) = [note for note in paper.notes(table) if "validation" in note]
        assert note.startswith("All rows: ") and "CIDEr" not in note
    assert not [note for table in (2, 3) for note in paper.notes(table) if "validation" in note]
    rows = reports.report_json(1, [])["published"]
    told = {(row["row_label"], row["column"]): row["split"] for row in rows}
    assert told["UNIMO-2", "ZS-TR"] == "val" and told["UNITER-Base", "ZS-TR"] == "test"
    assert told["UNIMO-2", "Caption"] == "test" and told["UNIMO-2", "VQA"] == "test-std"


def test_a_contributor_of_a_table_adds_lines_of_files(tmp_path):
    """The lines of docs/contributing/a-table.md, added to a copy of the package, against a record."""
    shutil.copytree(Path(paper.__file__).parent, tmp_path / "reports")
    for name, kind in (
        ("titles.csv", "titles"),
        ("columns.csv", "columns"),
        ("table11.csv", "table"),
    ):
        with (tmp_path / "reports" / "published" / name).open("a", encoding="utf-8") as stream:
            stream.writelines(blocks_of("a-table.md", kind))
    search = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    program = (
        "import json; from reports.selection import gather; from reports.tables import report_json; "
        "print(json.dumps(report_json(11, gather())))"
    )
    environment = {**os.environ, "PYTHONPATH": search}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table["title"].endswith("(CLIP and ViLT papers, as published)")
    found = {(one["row_label"], one["column"]): one["value"] for one in table["published"]}
    assert found["ViLT-B/32", "TR"] == reports.published(10).loc["ViLT", ("ZeroShot-TR", "R@1")]
    kinds = {(one["benchmark"], one["kind"]) for one in table["measured"]}
    assert {("flickr", "measured"), ("imagenet", "measured")} <= kinds
