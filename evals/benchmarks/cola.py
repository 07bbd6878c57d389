"""CoLA of GLUE: is a sentence grammatical; Matthews correlation."""

from __future__ import annotations

from evals.benchmarks import glue
from evals.benchmarks.glue import GlueBenchmark, Part
from unimo2.formats.glue import TASKS

CAPABILITY = glue.CAPABILITY
SPLIT = glue.DEV
BENCHMARK = GlueBenchmark(
    task="cola",
    folder="CoLA",
    splits={
        "train": (Part("train", "train.tsv"),),
        "dev": (Part("dev", "dev.tsv"),),
        "test": (Part("test", "test.tsv", submission="CoLA.tsv"),),
    },
    score="Matthews correlation",
    other_names=TASKS["cola"].other_names,
)

protocol = BENCHMARK.protocol
read = BENCHMARK.read
predict = BENCHMARK.predict
measure = BENCHMARK.measure
sample_metrics = BENCHMARK.sample_metrics
