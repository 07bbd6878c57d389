"""Floors of the GLUE tasks: readers that count words and know nothing of their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import pearsonr
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, matthews_corrcoef

from evals.suite_mini.glue.part import GlueRow

_WORD = re.compile(r"[\w'-]+")


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return _WORD.findall(text.lower())


def bag_of_words(row: GlueRow) -> dict[str, float]:
    """How often each word occurs in each sentence."""
    counts: dict[str, float] = {}
    for side, sentence in enumerate(row.sentences):
        for word in words(sentence):
            counts[f"{side}:{word}"] = counts.get(f"{side}:{word}", 0.0) + 1.0
    return counts


def second_sentence(row: GlueRow) -> dict[str, float]:
    """The same of the second sentence alone: a hypothesis without its premise."""
    return bag_of_words(GlueRow(row.sentences[1:], row.target))


def word_overlap(row: GlueRow) -> dict[str, float]:
    """What two sentences share, by words, and how long they are."""
    first, second = (words(sentence) for sentence in row.sentences)
    shared, union = len(set(first) & set(second)), len(set(first) | set(second))
    return {
        "jaccard": shared / union,
        "first": shared / len(set(first)),
        "second": shared / len(set(second)),
        "shared": float(shared),
        "gap": float(abs(len(first) - len(second))),
        "length": float(len(first) + len(second)),
    }


def logistic_labels(
    features: Any, train: Sequence[GlueRow], measured: Sequence[GlueRow]
) -> tuple[list[str], list[str]]:
    """What a logistic regression says.

    Args:
        features: row -> value by name, such as `bag_of_words`.
        train: rows it is trained on.
        measured: rows it is asked about.

    Returns:
        The true labels of the measured rows, and those given.
    """
    vectorizer = DictVectorizer()
    inputs: csr_matrix = vectorizer.fit_transform([features(row) for row in train])
    model = LogisticRegression(max_iter=1000)
    model.fit(inputs, [row.target for row in train])
    given = model.predict(vectorizer.transform([features(row) for row in measured]))
    return [row.target for row in measured], [str(label) for label in given]


def logistic_accuracy(
    features: Any, train: Sequence[GlueRow], measured: Sequence[GlueRow]
) -> float:
    """Percent correct of a logistic regression; arguments as for `logistic_labels`."""
    return 100.0 * float(accuracy_score(*logistic_labels(features, train, measured)))


def logistic_matthews(
    features: Any, train: Sequence[GlueRow], measured: Sequence[GlueRow]
) -> float:
    """Matthews correlation, times 100, likewise."""
    return 100.0 * float(matthews_corrcoef(*logistic_labels(features, train, measured)))


def ridge_pearson(train: Sequence[GlueRow], measured: Sequence[GlueRow]) -> float:
    """Pearson correlation, times 100, of a ridge regression on word overlap with the scores."""
    vectorizer = DictVectorizer(sparse=False)
    model = Ridge()
    model.fit(
        vectorizer.fit_transform([word_overlap(row) for row in train]),
        [float(row.target) for row in train],
    )
    given: NDArray[np.float64] = model.predict(
        vectorizer.transform([word_overlap(row) for row in measured])
    )
    return 100.0 * float(pearsonr(given, [float(row.target) for row in measured]).statistic)
