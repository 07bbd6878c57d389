"""CoLA of GLUE."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.glue_check import check_glue
from evals.datasets.images import ImageCheck

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"
_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_glue("cola", root / "glue" / "CoLA", _FILES)


DATA_SET = DataSet(
    name="cola",
    title="CoLA (GLUE)",
    role="benchmark",
    about="Sentences from books on linguistics, acceptable or not.",
    licence="Texts from published books, under fair use for research.",
    source="https://gluebenchmark.com/tasks, or 'unimo2 data fetch cola' (from the hub)",
    places=(
        Place(("glue/CoLA/train.tsv",), "train rows"),
        Place(("glue/CoLA/dev.tsv",), "dev rows"),
        Place(("glue/CoLA/test.tsv",), "test rows", needed=False),
    ),
    official=(
        Official("train", "rows", 8_551, _SOURCE),
        Official("dev", "rows", 1_043, _SOURCE),
        Official("test", "rows", 1_063, _SOURCE),
    ),
    notes=("the labels of the test rows are on GLUE's server",),
    look_alikes={
        9_594: "the official train and dev rows together",
        527: "the in-domain half of the official dev rows (527 + 516 = 1,043)",
        516: "the out-of-domain half of the official dev rows (527 + 516 = 1,043)",
    },
    benchmark="cola",
    verify=_verify,
)
