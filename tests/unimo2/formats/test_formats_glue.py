"""GLUE files: small ones as distributed, the real ones, and broken ones."""

import csv

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.glue import GlueExample, read_predictions, read_rows_of

MNLI = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse"
MNLI = [*MNLI.split(), "sentence2_parse", "sentence1", "sentence2"]
STSB = "index genre filename year old_index source1 source2 sentence1 sentence2 score".split()


def write(path, *rows, end="\n"):
    path.write_bytes("".join("\t".join(row) + end for row in rows).encode("utf-8"))
    return path


def mnli(index, label, *annotators):
    return [str(index), "63735", "63735n", "slate", *["( )"] * 4, "A.", "B.", *annotators, label]


def test_sst2(tmp_path):
    """Against what was written: header, quotation marks that close nothing, spaces kept."""
    path = write(tmp_path / "dev.tsv", ["sentence", "label"], ['a "quoted', "1"], ["it 's ", "0"])
    assert read_rows_of("sst2", path) == [
        GlueExample(0, ('a "quoted',), "1"),
        GlueExample(1, ("it 's ",), "0"),
    ]
    path = write(tmp_path / "test.tsv", ["index", "sentence"], ["7", "fine"])
    assert read_rows_of("sst2", path) == [GlueExample(7, ("fine",), None)]


def test_cola(tmp_path):
    """Against what was written: four columns without header; the test file has one."""
    rows = [["gj04", "1", "", "The sailors rode."], ["cj99", "0", "*", "As you eat\u2028the most."]]
    assert read_rows_of("cola", write(tmp_path / "dev.tsv", *rows)) == [
        GlueExample(0, ("The sailors rode.",), "1"),
        GlueExample(1, ("As you eat\u2028the most.",), "0"),
    ]
    path = write(tmp_path / "test.tsv", ["index", "sentence"], ["0", "Bill whistled."])
    assert read_rows_of("cola", path) == [GlueExample(0, ("Bill whistled.",), None)]


def test_stsb(tmp_path):
    """Against what was written: ten columns, the row's own index; Windows line ends."""
    row = ["12", "main", "MSRvid", "2012", "0000", "none", "none", 'A "man', "B", "4.750"]
    path = write(tmp_path / "dev.tsv", STSB, row, end="\r\n")
    assert read_rows_of("stsb", path) == [GlueExample(12, ('A "man', "B"), 4.75)]
    path = write(tmp_path / "test.tsv", STSB[:-1], row[:-1])
    assert read_rows_of("stsb", path) == [GlueExample(12, ('A "man', "B"), None)]


def test_mnli_columns_are_found_by_name(tmp_path):
    """Against what was written: 12 columns in train, 16 in dev, 10 in test; "-" is no label."""
    train = write(tmp_path / "train.tsv", [*MNLI, "label1", "gold_label"], mnli(0, "neutral", "x"))
    dev_header = [*MNLI, *[f"label{i}" for i in range(1, 6)], "gold_label"]
    five = ["neutral"] * 5
    dev = write(
        tmp_path / "dev_matched.tsv",
        dev_header,
        mnli(0, "entailment", *five),
        mnli(1, "-", *five),
    )
    test = write(tmp_path / "test.tsv", MNLI, mnli(0, "x")[:-1])
    assert read_rows_of("mnli", train) == [GlueExample(0, ("A.", "B."), "neutral")]
    assert [row.target for row in read_rows_of("mnli", dev)] == ["entailment", None]
    assert read_rows_of("mnli", test) == [GlueExample(0, ("A.", "B."), None)]


@pytest.mark.parametrize(
    ("task", "file", "count", "column"),
    [("cola", "CoLA", 1043, 1), ("stsb", "STS-B", 1500, -1), ("sst2", "SST-2", 6735, -1)],
)
def test_the_real_files(real_data, task, file, count, column):
    """Against ../shared/real/glue: their counts, and Python's csv reader told not to quote."""
    path = real_data / "glue" / file / "dev.tsv"
    rows = read_rows_of(task, path)
    with path.open(encoding="utf-8", newline="") as stream:
        cells = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[task != "cola" :]
    assert len(rows) == len(cells) == count
    assert [row.index for row in rows] == list(range(count))
    for row, expected in zip(rows, cells, strict=True):
        wanted = expected[column]
        assert row.target == (float(wanted) if task == "stsb" else wanted)
        texts = {"cola": expected[3:], "stsb": expected[7:9], "sst2": expected[:1]}[task]
        assert list(row.sentences) == texts


def test_predictions(tmp_path):
    """Against what was written: labels as written, scores as numbers, any order."""
    path = write(tmp_path / "p.tsv", ["index", "prediction"], ["1", "neutral"], ["0", "entailment"])
    assert read_predictions("mnli", path) == {1: "neutral", 0: "entailment"}
    path = write(tmp_path / "s.tsv", ["index", "prediction"], ["0", "5.3"], ["1", "1e-3"])
    assert read_predictions("stsb", path) == {0: 5.3, 1: 0.001}


@pytest.mark.parametrize(
    ("task", "written", "meant"),
    [
        ("sst2", ["positive", "NEGATIVE", "1", "0"], ["1", "0", "1", "0"]),
        ("cola", ["acceptable", "Unacceptable", "1"], ["1", "0", "1"]),
        ("mnli", ["Neutral", "ENTAILMENT", "contradiction"], ["neutral", "entailment", "contradiction"]),
    ],
)  # fmt: skip
def test_labels_by_name(tmp_path, task, written, meant):
    """Against the class names that GLUE's labels have, as scripts write them to submissions."""
    path = write(
        tmp_path / "p.tsv",
        ["index", "prediction"],
        *([str(i), word] for i, word in enumerate(written)),
    )
    assert read_predictions(task, path) == dict(enumerate(meant))


def test_predictions_from_other_systems(tmp_path):
    """Against the same two rows with a byte order mark, Windows' line ends, no last line end."""
    path = tmp_path / "p.tsv"
    for content in (
        "\ufeffindex\tprediction\n0\t1\n1\t0\n",
        "index\tprediction\r\n0\t1\r\n\r\n1\t0\r\n",
        "index\tprediction\n1\t0\n0\t1",
    ):
        path.write_bytes(content.encode())
        assert read_predictions("sst2", path) == {0: "1", 1: "0"}


HEADER = ["index", "prediction"]
BROKEN = [
    (read_rows_of, "sst2", [["sentence", "label"], ["a", "2"]], "line 2: unknown label '2'"),
    (read_rows_of, "sst2", [["sentence", "label"], ["a", "b", "1"]], "line 2: expected 2 columns"),
    (read_rows_of, "sst2", [["text", "label"]], "line 1: no column sentence"),
    (read_rows_of, "sst2", [["sentence", "label"]], "no rows below the header"),
    (read_rows_of, "cola", [["a", "1", "", "b"], ["a", "1", "b"]], "line 2: expected 4 columns"),
    (read_rows_of, "cola", [["a", "*", "", "b"]], "line 1: unknown label"),
    (read_rows_of, "stsb", [STSB, [*"0123456", "a", "b", "5.1"]], "line 2: score '5.1' is not"),
    (read_rows_of, "stsb", [STSB, [*"0123456", "a", "b", "-0.5"]], "line 2: score '-0.5' is not"),
    (read_rows_of, "stsb", [STSB, [*"0123456", "a", "b", "x"]], "line 2: 'x' is not a number"),
    (read_rows_of, "stsb", [STSB, *[[*"0123456", "a", "b", "1"]] * 2], "index .* once: 0"),
    (read_rows_of, "stsb", [STSB, [*"x123456", "a", "b", "1"]], "line 2: index 'x'"),
    (read_rows_of, "mnli", [["sentence", "label"]], "no column sentence1 or sentence2"),
    (read_rows_of, "mnli", [[*MNLI, "gold_label"], mnli(0, "-1")], "line 2: unknown label '-1'"),
    (read_rows_of, "mnli", [], "empty"),
    (read_predictions, "sst2", [["0", "1"]], "line 1: expected the header"),
    (read_predictions, "sst2", [], "line 1: expected the header"),
    (read_predictions, "sst2", [HEADER, ["0", "1", "1"]], "line 2: expected 2 columns, found 3"),
    (read_predictions, "sst2", [HEADER, ["0", "1.5"]], "line 2: unknown label '1.5'"),
    (read_predictions, "mnli", [HEADER, ["0", "-"]], "line 2: unknown label '-'"),
    (read_predictions, "stsb", [HEADER, ["0", "nan"]], "line 2: 'nan' is not a number"),
    (read_predictions, "cola", [HEADER, ["0", "1"], ["0", "1"]], "index .* once: 0"),
    (read_predictions, "cola", [HEADER, ["-1", "1"]], "line 2: index '-1'"),
    (read_predictions, "cola", [HEADER, ["3" * 5000, "1"]], "line 2: index '333"),
    (read_predictions, "mnli", [HEADER, ["0", "1"]], "line 2: unknown label '1'"),
    (read_predictions, "stsb", [HEADER, ["0", "1_0"]], "line 2: '1_0' is not a number"),
]


@pytest.mark.parametrize(("read", "task", "rows", "says"), BROKEN)
def test_broken_files_are_refused(tmp_path, read, task, rows, says):
    """Against files that are wrong by construction."""
    with pytest.raises(BadData, match=says) as error:
        read(task, write(tmp_path / "x.tsv", *rows))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    """Against a path where nothing lies, and a folder in place of a file."""
    with pytest.raises(MissingData, match="sst2 data not found"):
        read_rows_of("sst2", tmp_path / "dev.tsv")
    with pytest.raises(MissingData, match="a folder, not a file"):
        read_rows_of("sst2", tmp_path)


@pytest.mark.parametrize(("cell", "label"), [("1", "1"), ("0.0", "0"), ("LABEL_1", "1")])
def test_numbered_labels_may_be_written_as_data_frames_and_classifiers_do(tmp_path, cell, label):
    """Against the label that was meant."""
    path = tmp_path / "predictions.tsv"
    path.write_text(f"index\tprediction\n0\t{cell}\n")
    assert read_predictions("cola", path) == {0: label}
