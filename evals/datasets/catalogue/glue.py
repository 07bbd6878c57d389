"""The tasks of GLUE that the paper measures on: SST-2, CoLA, STS-B and MNLI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from evals.datasets.entry import (
    DataSet,
    HubFile,
    HubForm,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    VerificationReport,
)
from unimo2.errors import BadData
from unimo2.formats.glue import NO_MAJORITY, TASKS, read_rows_of
from unimo2.formats.layout import GlueFiles
from unimo2.formats.parsing import Skips

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"
_BELOW = GlueFiles(Path())
_SPLITS = ("train", "dev", "test")
_MNLI_SPLITS = ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched")


def _verify(task: str, splits: Sequence[str], root: Path, images: ImageCheck) -> VerificationReport:
    """Count the rows of every file that is there, and look for what is broken.

    Broken and repeated rows are not counted; they, unknown labels and a training or development
    file without labels are problems.
    """
    findings = VerificationReport()
    for split in splits:
        path = GlueFiles(root).rows(task, split)
        if path.is_file():
            try:
                _check_file(task, split, path, findings)
            except BadData as error:
                findings.problems.append(str(error))
    return findings


def _check_file(task: str, split: str, path: Path, findings: VerificationReport) -> None:
    broken = Skips()
    rows = read_rows_of(task, path, broken)
    findings.problems += broken.lines()
    findings.counts[split, "rows"] = len(rows)
    bare = sum(row.target is None for row in rows)
    has_labels = not split.startswith("test")
    if has_labels and bare == len(rows) and rows:
        findings.problems.append(f"{split}: no row of {path} has a {TASKS[task].target}")
    elif has_labels and bare:
        findings.notes.append(f"{split}: {bare:,} rows with the label '{NO_MAJORITY}'")
    elif not has_labels and bare < len(rows):
        findings.notes.append(f"{split}: has labels, which GLUE's own file has not")
    empty = sum(not all(text.strip() for text in row.sentences) for row in rows)
    if empty:
        findings.problems.append(f"{split}: {empty:,} rows of {path} have an empty sentence")


def _places(task: str, splits: Sequence[str]) -> tuple[RequiredPath, ...]:
    return tuple(
        RequiredPath.files(
            f"{split.replace('_', ' ')} rows",
            _BELOW.rows(task, split),
            needed=not split.startswith("test"),
        )
        for split in splits
    )


def _hub(task: str, columns: Mapping[str, Sequence[str]], texts: Mapping[str, str]) -> HubForm:
    """The task in the hub's repository of GLUE, with the columns of its official files."""
    files = (
        HubFile(
            split.replace("dev", "validation"),
            _BELOW.rows(task, split).name,
            tuple(names),
            header=tuple(names) != TASKS[task].bare_columns or not names,
        )
        for split, names in columns.items()
    )
    return HubForm("nyu-mll/glue", task, _BELOW.task(task).as_posix(), tuple(files), texts)


_FETCHED = "https://gluebenchmark.com/tasks, or 'unimo2 data fetch {}' (from the hub)"
_NOTES = ("the labels of the test rows are on GLUE's server",)
_SENTENCE = {"sentence": "sentence"}
_COLA = TASKS["cola"].bare_columns
_STSB = "index genre filename year old_index source1 source2 sentence1 sentence2".split()
_MNLI = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse "
    "sentence2_parse sentence1 sentence2"
).split()
_MNLI_DEV = [*_MNLI, *(f"label{number}" for number in range(1, 6)), "gold_label"]

SST2 = DataSet(
    name="sst2",
    title="SST-2 (GLUE)",
    role="benchmark",
    about="Sentences from film reviews, positive or negative.",
    licence="Not known to us; see https://nlp.stanford.edu/sentiment/.",
    source=_FETCHED.format("sst2"),
    places=_places("sst2", _SPLITS),
    official=(
        OfficialCount("train", "rows", 67_349, _SOURCE),
        OfficialCount("dev", "rows", 872, _SOURCE),
        OfficialCount("test", "rows", 1_821, _SOURCE),
    ),
    notes=_NOTES,
    look_alikes={
        68_221: "the official train and dev rows together",
        60_614: "nine tenths of the official ones",
        6_735: "a tenth of the official train rows, 60,614 + 6,735 = 67,349",
        6_920: "the whole training sentences, without the phrases of which GLUE has all",
    },
    benchmark="sst2",
    verify=partial(_verify, "sst2", _SPLITS),
    hub=_hub(
        "sst2",
        {
            "train": ("sentence", "label"),
            "dev": ("sentence", "label"),
            "test": ("index", "sentence"),
        },
        _SENTENCE,
    ),
)

COLA = DataSet(
    name="cola",
    title="CoLA (GLUE)",
    role="benchmark",
    about="Sentences from books on linguistics, acceptable or not.",
    licence="Texts from published books, under fair use for research.",
    source=_FETCHED.format("cola"),
    places=_places("cola", _SPLITS),
    official=(
        OfficialCount("train", "rows", 8_551, _SOURCE),
        OfficialCount("dev", "rows", 1_043, _SOURCE),
        OfficialCount("test", "rows", 1_063, _SOURCE),
    ),
    notes=_NOTES,
    look_alikes={
        9_594: "the official train and dev rows together",
        527: "the in-domain half of the official dev rows (527 + 516 = 1,043)",
        516: "the out-of-domain half of the official dev rows (527 + 516 = 1,043)",
    },
    benchmark="cola",
    verify=partial(_verify, "cola", _SPLITS),
    hub=_hub("cola", {"train": _COLA, "dev": _COLA, "test": ("index", "sentence")}, _SENTENCE),
)

STSB = DataSet(
    name="stsb",
    title="STS-B (GLUE)",
    role="benchmark",
    about="Pairs of sentences with a similarity from 0 to 5.",
    licence="Several, by the origin of the sentences; see the STS benchmark's page.",
    source=_FETCHED.format("stsb"),
    places=_places("stsb", _SPLITS),
    official=(
        OfficialCount("train", "rows", 5_749, _SOURCE),
        OfficialCount("dev", "rows", 1_500, _SOURCE),
        OfficialCount("test", "rows", 1_379, _SOURCE),
    ),
    notes=_NOTES,
    look_alikes={
        7_249: "the official train and dev rows together",
        8_628: "all rows of the STS benchmark, test included",
    },
    benchmark="stsb",
    verify=partial(_verify, "stsb", _SPLITS),
    hub=_hub(
        "stsb",
        {"train": (*_STSB, "score"), "dev": (*_STSB, "score"), "test": _STSB},
        {"sentence1": "sentence1", "sentence2": "sentence2"},
    ),
)

MNLI = DataSet(
    name="mnli",
    title="MNLI (GLUE)",
    role="benchmark",
    about="Pairs of sentences, entailment, neutral or contradiction, in genres seen (matched) and not "
    "seen (mismatched) in training.",
    licence="OANC's licence for most genres, CC BY-SA 3.0 and CC BY 3.0 for some fiction.",
    source=_FETCHED.format("mnli"),
    places=_places("mnli", _MNLI_SPLITS),
    official=(
        OfficialCount("train", "rows", 392_702, _SOURCE),
        OfficialCount("dev_matched", "rows", 9_815, _SOURCE),
        OfficialCount("dev_mismatched", "rows", 9_832, _SOURCE),
        OfficialCount("test_matched", "rows", 9_796, _SOURCE),
        OfficialCount("test_mismatched", "rows", 9_847, _SOURCE),
    ),
    notes=_NOTES,
    look_alikes={
        10_000: "MultiNLI's own rows, with those that have no majority label",
        19_647: "the matched and the mismatched dev rows together",
        19_643: "the matched and the mismatched test rows together",
    },
    benchmark="mnli",
    verify=partial(_verify, "mnli", _MNLI_SPLITS),
    hub=_hub(
        "mnli",
        {
            "train": (*_MNLI, "label1", "gold_label"),
            "dev_matched": _MNLI_DEV,
            "dev_mismatched": _MNLI_DEV,
            "test_matched": _MNLI,
            "test_mismatched": _MNLI,
        },
        {"premise": "sentence1", "hypothesis": "sentence2"},
    ),
)
