"""STS-B of GLUE: how alike two sentences are, from 0 to 5; Pearson and Spearman correlation."""

from __future__ import annotations

from evals.benchmarks import glue
from evals.benchmarks.glue import GlueBenchmark, Part

CAPABILITY = glue.CAPABILITY
SPLIT = glue.DEV
BENCHMARK = GlueBenchmark(
    task="stsb",
    folder="STS-B",
    splits={
        "train": (Part("train", "train.tsv"),),
        "dev": (Part("dev", "dev.tsv"),),
        "test": (Part("test", "test.tsv", submission="STS-B.tsv"),),
    },
    score="Pearson and Spearman correlation",
)

protocol = BENCHMARK.protocol
read = BENCHMARK.read
predict = BENCHMARK.predict
measure = BENCHMARK.measure
sample_metrics = BENCHMARK.sample_metrics
