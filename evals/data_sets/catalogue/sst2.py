"""SST-2 of GLUE."""

from __future__ import annotations

from evals.data_sets.entry import DataSet, Official, Place

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"

DATA_SET = DataSet(
    name="sst2",
    title="SST-2 (GLUE)",
    role="benchmark",
    about="Sentences from film reviews, positive or negative.",
    licence="Not known to us; see https://nlp.stanford.edu/sentiment/.",
    source="https://gluebenchmark.com/tasks",
    places=(
        Place(("glue/SST-2/train.tsv",), "train rows"),
        Place(("glue/SST-2/dev.tsv",), "dev rows"),
        Place(("glue/SST-2/test.tsv",), "test rows", needed=False),
    ),
    official=(
        Official("train", "rows", 67_349, _SOURCE),
        Official("dev", "rows", 872, _SOURCE),
        Official("test", "rows", 1_821, _SOURCE),
    ),
    notes=("the labels of the test rows are on GLUE's server",),
    benchmark="sst2",
)
