"""Fetching from the hub: local repositories of the hub's form, made by the datasets library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evals.datasets.hub import HUB_FORMS, fetch
from unimo2.cli import main
from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.glue import GlueExample, read_rows_of

NAMES = {
    "sst2": ["negative", "positive"],
    "cola": ["unacceptable", "acceptable"],
    "mnli": ["entailment", "neutral", "contradiction"],
}
SENTENCES = ["It 's fine . ", 'A "quoted\tword', "Two\nlines\u2028here."]


def repository(root: Path, task: str, label_type: str = "names", **columns: list) -> Path:
    """A folder as a repository of the hub: a README with configurations, one parquet file a split."""
    from datasets import ClassLabel, Dataset, Features, Value

    pair = {"stsb": ("sentence1", "sentence2"), "mnli": ("premise", "hypothesis")}
    kinds = {name: Value("string") for name in pair.get(task, ("sentence",))}
    if label_type == "names":
        kinds["label"] = Value("float32") if task == "stsb" else ClassLabel(names=NAMES[task])
    else:
        kinds["label"] = Value("int64")
    kinds["idx"] = Value("int32")
    lines = ["---", "configs:", f"- config_name: {task}", "  data_files:"]
    for file in HUB_FORMS[task].files:
        content: dict[str, list] = {
            name: SENTENCES for name in kinds if name not in ("label", "idx")
        }
        labels = [3.799999952316284, 5.0, 0.0] if task == "stsb" else [1, 0, 1]
        content |= {"label": labels, "idx": [0, 1, 2]} | columns
        if file.split.startswith("test"):
            content["label"] = [-1] * 3
        place = root / "repository" / task
        place.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(content, Features(kinds)).to_parquet(place / f"{file.split}-0.parquet")
        lines += [f"  - split: {file.split}", f"    path: {task}/{file.split}-*"]
    (root / "repository" / "README.md").write_text("\n".join([*lines, "---", ""]))
    return root / "repository"


@pytest.mark.parametrize("task", ["sst2", "cola", "stsb", "mnli"])
def test_glue_from_the_hub_is_read_as_the_official_files_are(tmp_path: Path, task: str) -> None:
    """Against what was put into the repository: labels by name, scores of three decimals, one line a row."""
    said: list[str] = []
    fetch(task, tmp_path, str(repository(tmp_path, task)), said.append)
    folder = tmp_path / HUB_FORMS[task].folder
    assert said == [f"{folder / file.name}: 3 rows" for file in HUB_FORMS[task].files]
    dev, test = (
        ("dev_matched", "test_matched") if task == "mnli" else ("dev", "test")
    )  # as distributed
    if task == "stsb":
        columns = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
        assert (folder / "dev.tsv").read_text().split("\n")[0] == columns.replace(" ", "\t")
    texts = ["It 's fine . ", 'A "quoted word', "Two lines\u2028here."]
    targets = {"stsb": [3.8, 5.0, 0.0], "mnli": ["neutral", "entailment", "neutral"]}
    for name, expected in ((dev, targets.get(task, ["1", "0", "1"])), (test, [None] * 3)):
        rows = read_rows_of(task, folder / f"{name}.tsv")
        sides = 2 if task in ("stsb", "mnli") else 1
        assert rows == [GlueExample(i, (texts[i],) * sides, expected[i]) for i in range(3)]
    fetch(task, tmp_path, "no/such-place", said.append)  # all there: nothing is asked for
    assert said[-1].endswith("already there")


def test_columns_are_the_official_ones(tmp_path: Path, real_data: Path) -> None:
    """Against the real files of ../shared/real/glue: the same header, the same number of columns."""
    for task in ("cola", "stsb", "sst2"):
        fetch(task, tmp_path, str(repository(tmp_path, task)), lambda line: None)
        name = f"{HUB_FORMS[task].folder}/dev.tsv"
        ours, real = ((root / name).read_text().split("\n") for root in (tmp_path, real_data))
        assert len(ours[1].split("\t")) == len(real[1].split("\t"))
        assert task == "cola" or ours[0] == real[0]


def test_wikitext_keeps_its_lines(tmp_path: Path) -> None:
    """Against rows as WikiText has them: with their line ends, blank ones too."""
    from datasets import Dataset

    place = tmp_path / "repository"
    place.mkdir()
    rows = ["", " = Title = \n", " One line . \n"]
    lines = ["---", "configs:", "- config_name: wikitext-2-raw-v1", "  data_files:"]
    for split in ("train", "validation", "test"):
        Dataset.from_dict({"text": rows}).to_parquet(place / f"{split}.parquet")
        lines += [f"  - split: {split}", f"    path: {split}.parquet"]
    (place / "README.md").write_text("\n".join([*lines, "---", ""]))
    fetch("text", tmp_path, str(place), lambda line: None)
    written = tmp_path / "text" / "wikitext-2-raw-v1" / "test.txt"
    assert written.read_text() == "\n = Title = \n One line . \n"


def test_classes_without_names_are_refused(tmp_path: Path) -> None:
    """Against bare numbers for MNLI's classes, which mean other classes in other collections."""
    source = str(repository(tmp_path, "mnli", label_type="numbers"))
    with pytest.raises(BadData, match="mnli train: the labels have no names"):
        fetch("mnli", tmp_path, source, lambda line: None)
    assert not (tmp_path / "glue").exists() or not list((tmp_path / "glue" / "MNLI").glob("*"))


def test_what_the_reader_refuses_is_not_left_behind(tmp_path: Path) -> None:
    """Against an index that occurs twice."""
    source = str(repository(tmp_path, "stsb", idx=[0, 0, 1]))
    with pytest.raises(BadData, match="index occurs more than once: 0"):
        fetch("stsb", tmp_path, source, lambda line: None)
    assert not list((tmp_path / "glue" / "STS-B").iterdir())


def test_a_repository_of_another_form_is_one_line(tmp_path: Path) -> None:
    """Against another task's repository, an empty folder, and a folder without the splits."""
    source = repository(tmp_path, "sst2")
    with pytest.raises(MissingData, match="cannot load cola of ") as error:
        fetch("cola", tmp_path, str(source), lambda line: None)
    assert "\n" not in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match="cannot load cola of "):
        fetch("cola", tmp_path, str(tmp_path / "empty"), lambda line: None)


def test_what_cannot_be_fetched_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a data set that the hub does not have in text form, an unknown one, a suite, no root."""
    monkeypatch.delenv("UNIMO2_DATA", raising=False)
    (tmp_path / "suite.json").write_text(json.dumps({"suite": "mini"}))
    root = ["--data-root", str(tmp_path)]
    for arguments, message in (
        (["vqa", *root], "vqa cannot be fetched, only sst2, cola, stsb, mnli, text; see"),
        (["glue/qnli", *root], "unknown data set 'qnli'"),
        (["sst2", *root], "is a generated suite; real data belongs in another folder"),
        (["sst2"], "say where to put the data with --data-root or UNIMO2_DATA"),
    ):
        assert main(["data", "fetch", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    with pytest.raises(UsageError, match="coco cannot be fetched"):
        fetch("coco", tmp_path)


def test_offline_it_fails_with_one_line(tmp_path: Path) -> None:
    """Against the hub's own switch for machines without a network."""
    command = [sys.executable, "-m", "unimo2", "data", "fetch", "glue/sst2"]
    done = subprocess.run(
        [*command, "--data-root", str(tmp_path)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("unimo2: error: the hub cannot be reached for nyu-mll/glue (")
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
