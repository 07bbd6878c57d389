"""Floors of the GLUE tasks: readers that count words and know nothing of their order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, matthews_corrcoef
from sklearn.pipeline import make_pipeline

from evals.suite_mini.texts import GlueRow

Features = Callable[[GlueRow], dict[str, float]]
Reader = Callable[[Sequence[GlueRow]], list[str]]

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


def logistic_baseline(features: Features, train: Sequence[GlueRow]) -> Reader:
    """Train a logistic regression.

    Args:
        features: row -> value by name, such as `bag_of_words`.
        train: rows it is trained on.

    Returns:
        rows -> the labels that it gives them; the only one that there is, if training rows have
        one label alone (in a very small suite).
    """
    known = {row.target for row in train}
    if len(known) == 1:
        return lambda rows: list(known) * len(rows)
    model = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([features(row) for row in train], [row.target for row in train])

    def read(rows: Sequence[GlueRow]) -> list[str]:
        return [str(label) for label in model.predict([features(row) for row in rows])]

    return read


def accuracy(reader: Reader, rows: Sequence[GlueRow]) -> float:
    """Percent of the rows that the reader labels correctly."""
    return 100.0 * float(accuracy_score([row.target for row in rows], reader(rows)))


def matthews(reader: Reader, rows: Sequence[GlueRow]) -> float:
    """Matthews correlation of the reader's labels with the true ones, times 100."""
    return 100.0 * float(matthews_corrcoef([row.target for row in rows], reader(rows)))


def ridge_pearson(train: Sequence[GlueRow], measured: Sequence[GlueRow]) -> float:
    """Pearson correlation, times 100, of a ridge regression on word overlap with the scores.

    0 where all scores, or all that it gives, are the same.
    """
    model = make_pipeline(DictVectorizer(sparse=False), Ridge())
    model.fit([word_overlap(row) for row in train], [float(row.target) for row in train])
    given: NDArray[np.float64] = model.predict([word_overlap(row) for row in measured])
    scores = [float(row.target) for row in measured]
    if np.ptp(given) == 0.0 or np.ptp(scores) == 0.0:
        return 0.0
    return 100.0 * float(pearsonr(given, scores).statistic)


def majority_share(train: Sequence[GlueRow], measured: Sequence[GlueRow]) -> float:
    """Percent of the measured rows that have the commonest label of the training rows."""
    label = Counter(row.target for row in train).most_common(1)[0][0]
    return 100.0 * sum(row.target == label for row in measured) / len(measured)
