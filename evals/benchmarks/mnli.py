"""MNLI of GLUE: does a sentence follow from another; accuracy, matched and mismatched.

The splits "dev" and "test" are both files of theirs; "accuracy" is then over the rows of both, and
"accuracy[matched]" and "accuracy[mismatched]" are the two figures that papers print.
"""

from __future__ import annotations

from evals.benchmarks import glue
from evals.benchmarks.glue import GlueBenchmark, Part

CAPABILITY = glue.CAPABILITY
SPLIT = glue.DEV

_DEV = (
    Part("dev_matched", "dev_matched.tsv", "matched"),
    Part("dev_mismatched", "dev_mismatched.tsv", "mismatched"),
)
_TEST = (
    Part("test_matched", "test_matched.tsv", "matched", "MNLI-m.tsv"),
    Part("test_mismatched", "test_mismatched.tsv", "mismatched", "MNLI-mm.tsv"),
)
BENCHMARK = GlueBenchmark(
    task="mnli",
    folder="MNLI",
    splits={
        "train": (Part("train", "train.tsv"),),
        "dev": _DEV,
        "dev_matched": _DEV[:1],
        "dev_mismatched": _DEV[1:],
        "test": _TEST,
        "test_matched": _TEST[:1],
        "test_mismatched": _TEST[1:],
    },
    score="accuracy",
)

protocol = BENCHMARK.protocol
read = BENCHMARK.read
predict = BENCHMARK.predict
measure = BENCHMARK.measure
sample_metrics = BENCHMARK.sample_metrics
