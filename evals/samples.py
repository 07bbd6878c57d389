"""Per-item results of a run or of a prediction file, and metrics computed from them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from evals.benchmark import SampleMetric, Scored
from evals.metrics.ranking import Metric
from evals.prediction import Prediction
from unimo2.errors import BadData, IncompatibleModel
from unimo2.formats.parsing import first_few

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Key = TypeVar("Key", bound=Hashable)


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
        targets: `[items]`; None where they are not known here.
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


# Columns of a classifier's logits by the names of its classes, and its guesses.


_UNNAMED = "label_"  # what transformers calls a class without a name, before its number


def columns_of(
    model: str, classes: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> list[str]:
    """The class of each column of a model's logits.

    Args:
        model: Its name, for the error.
        classes: Names of its columns. "LABEL_0" ... are labels that are numbers, if they are;
            classes without a name cannot be told apart otherwise.
        labels: The benchmark's labels, and other names that each goes by.

    Returns:
        A label for each column.

    Raises:
        IncompatibleModel: The classes are others than the labels, or in another number.
    """
    names = [name.strip().lower() for name in classes]
    if all(label.isdecimal() for label in labels):
        names = [name.removeprefix(_UNNAMED) for name in names]
    known = {name.lower(): label for label, others in labels.items() for name in (label, *others)}
    found = [known.get(name) for name in names]
    if None in found or sorted(map(str, found)) != sorted(labels):
        raise IncompatibleModel(
            f"model '{model}' has the classes {first_few(classes)}; the benchmark's are "
            f"{', '.join(labels)}"
        )
    return [str(label) for label in found]


def guesses(logits: Tensor, columns: Sequence[str]) -> list[Prediction]:
    """The class with the highest logit, the first of several.

    Args:
        logits: `[items, classes]`.
        columns: From `columns_of`.

    Returns:
        "prediction" and its "logit" for each item.
    """
    values = logits.detach().float().cpu().numpy()
    best = values.argmax(axis=1)
    return [
        {"prediction": columns[column], "logit": float(row[column])}
        for row, column in zip(values, best, strict=True)
    ]


def answered(
    predictions: Collection[Key],
    wanted: Sequence[Key],
    what: str,
    allow_missing: bool,
    ignored: Collection[Key] = (),
) -> list[Key]:
    """The ids that can be scored.

    Args:
        predictions: Ids that are predicted.
        wanted: Ids that have a target, in the order in which they are scored.
        what: Name of the scored items, in the plural.
        allow_missing: Score what is there.
        ignored: Ids that exist and have no target; they may be predicted or not.

    Returns:
        The wanted ids that have a prediction, in their order.

    Raises:
        BadData: A prediction for an id that does not exist; none at all; or, unless that is
            allowed, ids without one. The first few are named.
    """
    known = {*wanted, *ignored}
    unknown = [key for key in predictions if key not in known]
    if unknown:
        raise BadData(
            f"{len(unknown):,} predictions for {what} that the annotations do not have: "
            f"{first_few(unknown)}"
        )
    missing = [key for key in wanted if key not in predictions]
    if len(missing) == len(wanted):
        raise BadData(f"none of the {len(wanted):,} {what} has a prediction")
    if missing and not allow_missing:
        raise BadData(
            f"{len(missing):,} of {len(wanted):,} {what} have no prediction: {first_few(missing)}; "
            "--allow-missing scores the others"
        )
    return [key for key in wanted if key in predictions]


def scored(
    metrics: Mapping[str, Metric],
    chosen: Sized,
    wanted: Sized,
    unit: str,
    notes: Sequence[str] = (),
) -> Scored:
    """What predictions are worth.

    Args:
        metrics: By name.
        chosen: Items that are scored, from `answered`.
        wanted: Items that have a target.
        unit: Name of the items, in the plural.
        notes: Further ones.
    """
    missing = len(wanted) - len(chosen)
    note = (
        f"{missing:,} of {len(wanted):,} {unit} have no prediction; the other {len(chosen):,} are "
        "scored"
    )
    return Scored(metrics, missing, (*([note] if missing else []), *notes))


def unlabelled_notes(count: int, unit: str) -> list[str]:
    """Note on items that are left out because their annotators had no majority."""
    return [f"{count:,} {unit} without a majority label ('-') are left out"] if count else []
