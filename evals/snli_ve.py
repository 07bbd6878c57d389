"""SNLI-VE accuracy: pairs without a majority label are left out, as the data set's authors do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evals.metrics import Metric
from evals.resampling import by_label, grouping, means
from evals.scoring import Scored, answered, missing_note
from unimo2.errors import BadData
from unimo2.formats.snli_ve import LABELS, Pair, read_pairs, read_predictions


def metrics(predictions: Sequence[str], pairs: Sequence[Pair], seed: int) -> dict[str, Metric]:
    """Accuracy overall and by gold label, in percent.

    Args:
        predictions: `[pairs]`.
        pairs: `[pairs]`, all with a gold label; those of one image are resampled together.
        seed: Of the bootstrap.

    Returns:
        "accuracy" and "accuracy[gold_label=...]".
    """
    labels = [pair.label for pair in pairs]
    values = np.array([a == b for a, b in zip(predictions, labels, strict=True)], dtype=np.float64)
    group = grouping([pair.image for pair in pairs])
    whole = {"accuracy": np.ones(len(values), dtype=np.bool_)}
    return {
        **means(values, whole, group, seed, chance=1 / len(LABELS)),
        # No chance level: a model that always says the same gets all of one label right.
        **means(values, by_label("gold_label", labels), group, seed),
    }


def score(
    predictions: Path, annotations: Path, allow_missing: bool = False, seed: int = 0
) -> Scored:
    """Score somebody's labels.

    Args:
        predictions: One object {"pairID", "prediction"} a line.
        annotations: The split's jsonl file.
        allow_missing: Score the pairs that have a prediction.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, or a pair that is unknown or has no prediction.
    """
    pairs = {pair.id: pair for pair in read_pairs(annotations)}
    unlabelled = [key for key, pair in pairs.items() if pair.label is None]
    labelled = [key for key, pair in pairs.items() if pair.label is not None]
    if not labelled:
        raise BadData(f"{annotations}: no pair has a gold label")
    given = read_predictions(predictions)
    chosen = answered(given, labelled, "pairs", allow_missing, ignored=unlabelled)
    left_out = f"{len(unlabelled):,} pairs without a majority label ('-') are left out"
    return Scored(
        metrics=metrics([given[key] for key in chosen], [pairs[key] for key in chosen], seed),
        missing=len(labelled) - len(chosen),
        notes=(
            *missing_note(len(chosen), len(labelled), "pairs"),
            *([left_out] if unlabelled else []),
        ),
    )
