"""MNLI of GLUE."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.glue_check import check_glue
from evals.datasets.images import ImageCheck

_SOURCE = "the TSV files that GLUE distributes (Wang et al., 2019)"
_FILES = {
    "train": "train.tsv",
    "dev_matched": "dev_matched.tsv",
    "dev_mismatched": "dev_mismatched.tsv",
    "test_matched": "test_matched.tsv",
    "test_mismatched": "test_mismatched.tsv",
}


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_glue("mnli", root / "glue" / "MNLI", _FILES)


DATA_SET = DataSet(
    name="mnli",
    title="MNLI (GLUE)",
    role="benchmark",
    about="Pairs of sentences, entailment, neutral or contradiction, in genres seen (matched) and not seen (mismatched) in training.",
    licence="OANC's licence for most genres, CC BY-SA 3.0 and CC BY 3.0 for some fiction.",
    source="https://gluebenchmark.com/tasks, or 'unimo2 data fetch mnli' (from the hub)",
    places=(
        Place(("glue/MNLI/train.tsv",), "train rows"),
        Place(("glue/MNLI/dev_matched.tsv",), "dev matched rows"),
        Place(("glue/MNLI/dev_mismatched.tsv",), "dev mismatched rows"),
        Place(("glue/MNLI/test_matched.tsv",), "test matched rows", needed=False),
        Place(("glue/MNLI/test_mismatched.tsv",), "test mismatched rows", needed=False),
    ),
    official=(
        Official("train", "rows", 392_702, _SOURCE),
        Official("dev_matched", "rows", 9_815, _SOURCE),
        Official("dev_mismatched", "rows", 9_832, _SOURCE),
        Official("test_matched", "rows", 9_796, _SOURCE),
        Official("test_mismatched", "rows", 9_847, _SOURCE),
    ),
    notes=("the labels of the test rows are on GLUE's server",),
    look_alikes={
        10_000: "MultiNLI's own rows, with those that have no majority label",
        19_647: "the matched and the mismatched dev rows together",
        19_643: "the matched and the mismatched test rows together",
    },
    benchmark="mnli",
    verify=_verify,
)
