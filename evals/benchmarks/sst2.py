"""SST-2 of GLUE: sentences of film reviews, positive or negative; accuracy."""

from __future__ import annotations

from evals.benchmarks import glue
from evals.benchmarks.glue import GlueBenchmark, Part
from unimo2.formats.glue import TASKS

CAPABILITY = glue.CAPABILITY
SPLIT = glue.DEV
BENCHMARK = GlueBenchmark(
    task="sst2",
    folder="SST-2",
    splits={
        "train": (Part("train", "train.tsv"),),
        "dev": (Part("dev", "dev.tsv"),),
        "test": (Part("test", "test.tsv", submission="SST-2.tsv"),),
    },
    score="accuracy",
    other_names=TASKS["sst2"].other_names,
)

protocol = BENCHMARK.protocol
read = BENCHMARK.read
predict = BENCHMARK.predict
measure = BENCHMARK.measure
sample_metrics = BENCHMARK.sample_metrics
