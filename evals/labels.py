"""Columns of a classifier's logits by the names of its classes, and its guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evals.items import Prediction
from unimo2.errors import IncompatibleModel
from unimo2.formats.parsing import first_few

if TYPE_CHECKING:
    from torch import Tensor

_UNNAMED = "label_"  # what transformers calls a class without a name, before its number


def columns_of(
    model: str, classes: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> list[str]:
    """What each column of a model's logits stands for.

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
