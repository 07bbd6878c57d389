"""The rows that a run keeps of its items, and metrics as functions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from evals.benchmark import SampleMetric

if TYPE_CHECKING:
    import pandas as pd


def frame(
    columns: Mapping[str, Sequence[Any]],
    predictions: Sequence[Any],
    targets: Sequence[Any] | None = None,
    scores: ArrayLike | None = None,
) -> pd.DataFrame:
    """One row an item.

    Args:
        columns: Ids, and what else is known of the items; each `[items]`.
        predictions: `[items]`.
        targets: `[items]`; None where nobody here knows them.
        scores: `[items]`, what each prediction is worth; likewise.

    Returns:
        The columns, then "prediction", "target" and "score".
    """
    import pandas as pd

    unknown = [None] * len(predictions)
    return pd.DataFrame(
        {
            **columns,
            "prediction": list(predictions),
            "target": unknown if targets is None else list(targets),
            "score": np.full(len(predictions), np.nan) if scores is None else np.asarray(scores),
        }
    )


def subset_means(
    samples: pd.DataFrame, item: str, unit: str, labels: Sequence[str] = ()
) -> dict[str, SampleMetric]:
    """Accuracies of samples: the mean score over all rows, and over those of each label.

    Args:
        samples: From `frame`.
        item: Column of ids.
        unit: Column of what is drawn together.
        labels: Columns that tell subsets.

    Returns:
        "accuracy" and "accuracy[label=value]"; nothing where no score is known.
    """
    if samples["score"].isna().any():
        return {}
    subsets = {"accuracy": samples}
    for label in labels:
        for value, rows in samples.groupby(label, sort=True):
            subsets[f"accuracy[{label}={value}]"] = rows
    return {
        name: SampleMetric.mean(rows[item], rows[unit], rows["score"])
        for name, rows in subsets.items()
    }
