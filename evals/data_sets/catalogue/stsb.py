"""STS-B of GLUE."""

from __future__ import annotations

from evals.data_sets.entry import DataSet, Official, Place

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"

DATA_SET = DataSet(
    name="stsb",
    title="STS-B (GLUE)",
    role="benchmark",
    about="Pairs of sentences with a similarity from 0 to 5.",
    licence="Several, by the origin of the sentences; see the STS benchmark's page.",
    source="https://gluebenchmark.com/tasks",
    places=(
        Place(("glue/STS-B/train.tsv",), "train rows"),
        Place(("glue/STS-B/dev.tsv",), "dev rows"),
        Place(("glue/STS-B/test.tsv",), "test rows", needed=False),
    ),
    official=(
        Official("train", "rows", 5_749, _SOURCE),
        Official("dev", "rows", 1_500, _SOURCE),
        Official("test", "rows", 1_379, _SOURCE),
    ),
    notes=("the labels of the test rows are on GLUE's server",),
    benchmark="stsb",
)
