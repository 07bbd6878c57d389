"""SST-2 of GLUE."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.glue_check import check_glue
from evals.datasets.images import ImageCheck

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"
_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_glue("sst2", root / "glue" / "SST-2", _FILES)


DATA_SET = DataSet(
    name="sst2",
    title="SST-2 (GLUE)",
    role="benchmark",
    about="Sentences from film reviews, positive or negative.",
    licence="Not known to us; see https://nlp.stanford.edu/sentiment/.",
    source="https://gluebenchmark.com/tasks, or 'unimo2 data fetch sst2' (from the hub)",
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
    look_alikes={
        68_221: "the official train and dev rows together",
        60_614: "nine tenths of the official ones",
        6_735: "a tenth of the official train rows, 60,614 + 6,735 = 67,349",
        6_920: "the whole training sentences, without the phrases of which GLUE has all",
    },
    benchmark="sst2",
    verify=_verify,
)
