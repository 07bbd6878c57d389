"""GLUE: accuracy of SST-2 and MNLI, Matthews correlation of CoLA, Pearson and Spearman of STS-B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evals.metrics.bootstrap import means
from evals.metrics.correlation import matthews, pearson, spearman
from evals.metrics.ranking import Metric
from evals.scoring import Scored, answered, missing_note
from unimo2.errors import BadData
from unimo2.formats.glue import TASKS, read_predictions, read_rows_of


def metrics(
    task: str, predictions: Sequence[str | float], targets: Sequence[str | float], seed: int
) -> dict[str, Metric]:
    """The metrics of a task, in percent.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        predictions: `[items]`, labels as written in the files, or scores.
        targets: `[items]`.
        seed: Of the bootstrap over items.

    Returns:
        "accuracy"; for CoLA "matthews"; for STS-B "pearson" and "spearman".

    Raises:
        BadData: A correlation with values that are all the same.
    """
    labels = TASKS[task].labels
    if labels is None:
        given, truth = np.array(predictions, dtype=float), np.array(targets, dtype=float)
        return {
            "pearson": pearson(given, truth, seed),
            "spearman": spearman(given, truth, seed),
        }
    classes = {label: number for number, label in enumerate(labels)}
    guessed = np.array([classes[str(label)] for label in predictions])
    right = np.array([classes[str(label)] for label in targets])
    if task == "cola":
        return {"matthews": matthews(guessed, right, seed)}
    whole = {"accuracy": np.ones(len(right), dtype=np.bool_)}
    hits = (guessed == right).astype(np.float64)
    return means(hits, whole, np.arange(len(right)), seed, chance=1 / len(labels))


def score(
    task: str,
    predictions: Path,
    annotations: Path,
    allow_missing: bool = False,
    seed: int = 0,
) -> Scored:
    """Score somebody's predictions.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        predictions: A TSV file `index<TAB>prediction`, as GLUE submissions.
        annotations: The development file as GLUE distributes it.
        allow_missing: Score the rows that have a prediction.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, a file without targets, an index that is unknown or not predicted.
    """
    rows = read_rows_of(task, annotations)
    targets = {row.index: row.target for row in rows if row.target is not None}
    untold = [row.index for row in rows if row.target is None]
    if not targets:
        raise BadData(f"{annotations}: no row has a label; a test file cannot be scored here")
    given = read_predictions(task, predictions)
    chosen = answered(given, list(targets), "rows", allow_missing, ignored=untold)
    left_out = f"{len(untold):,} rows without a majority label ('-') are left out"
    return Scored(
        metrics=metrics(task, [given[i] for i in chosen], [targets[i] for i in chosen], seed),
        missing=len(targets) - len(chosen),
        notes=(
            *missing_note(len(chosen), len(targets), "rows"),
            *([left_out] if untold else []),
        ),
    )
