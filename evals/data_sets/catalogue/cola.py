"""CoLA of GLUE."""

from __future__ import annotations

from evals.data_sets.entry import DataSet, Official, Place

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"

DATA_SET = DataSet(
    name="cola",
    title="CoLA (GLUE)",
    role="benchmark",
    about="Sentences from books on linguistics, acceptable or not.",
    licence="Texts from published books, under fair use for research.",
    source="https://gluebenchmark.com/tasks",
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
    benchmark="cola",
)
