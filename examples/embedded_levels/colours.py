"""A reader of pictures that sees colours and no shapes: the floor of image classification."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LEVELS = 4
_ITERATIONS = 60
_INVERSE_PENALTY = 1.0

ColourCounts = tuple[int, ...]
"""How many pixels have each of 4 x 4 x 4 colours."""


def colour_counts(pixels: NDArray[np.uint8]) -> ColourCounts:
    """The histogram of a picture [height, width, 3]."""
    steps = (pixels // (256 // _LEVELS)).astype(np.int64)
    numbers = (steps[..., 0] * _LEVELS + steps[..., 1]) * _LEVELS + steps[..., 2]
    return tuple(np.bincount(numbers.ravel(), minlength=_LEVELS**3).tolist())


def colour_reader_accuracy(
    train: Sequence[ColourCounts],
    train_classes: Sequence[str],
    test: Sequence[ColourCounts],
    test_classes: Sequence[str],
) -> float:
    """Accuracy in percent of a logistic regression on the square roots of colour shares.

    Args:
        train: histograms to learn from.
        train_classes: the class of each.
        test: histograms to be classified.
        test_classes: the class of each.
    """
    if len(set(train_classes)) < 2:
        return 100.0 * sum(name in train_classes for name in test_classes) / len(test_classes)
    # scikit-learn takes a second to import, which other parts should not wait for.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reader = make_pipeline(
        StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=_ITERATIONS, tol=1e-2)
    )
    with warnings.catch_warnings():
        # A small sample of the suite has about one picture a class, which scikit-learn mentions.
        warnings.filterwarnings(
            "ignore", message="The number of unique classes", category=UserWarning
        )
        reader.fit(_shares(train), train_classes)
    return float(100.0 * reader.score(_shares(test), test_classes))


def _shares(counts: Sequence[ColourCounts]) -> NDArray[np.float64]:
    """[pictures, 64] square roots, which keep small things from vanishing beside backgrounds."""
    table = np.asarray(counts, dtype=np.float64)
    return np.sqrt(table / table.sum(axis=1, keepdims=True))
