"""STS-B of GLUE."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.glue_check import check_glue
from evals.datasets.images import ImageCheck

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"
_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_glue("stsb", root / "glue" / "STS-B", _FILES)


DATA_SET = DataSet(
    name="stsb",
    title="STS-B (GLUE)",
    role="benchmark",
    about="Pairs of sentences with a similarity from 0 to 5.",
    licence="Several, by the origin of the sentences; see the STS benchmark's page.",
    source="https://gluebenchmark.com/tasks, or 'unimo2 data fetch stsb' (from the hub)",
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
    look_alikes={
        7_249: "the official train and dev rows together",
        8_628: "all rows of the STS benchmark, test included",
    },
    benchmark="stsb",
    verify=_verify,
)
