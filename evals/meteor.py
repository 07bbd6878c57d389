"""METEOR of a corpus from its per-caption statistics, so that it can be resampled.

METEOR of a corpus is no mean over captions: the program (METEOR 1.5, which pycocoevalcap starts) adds
up the statistics of all captions and computes one score of the sums. It prints those statistics for
each caption; here is the formula that it applies to them (Denkowski and Lavie, 2014, with the
program's parameters for English), held to the program's own numbers by the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.metrics import Floats
from unimo2.errors import BadData

STATISTICS = 23  # numbers that the program prints for one caption
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = (1.0, 0.6, 0.8, 0.6)  # weights of exact, stem, synonym and paraphrase matches
_FIRST_STAGE = 4


def parse(lines: Sequence[str]) -> Floats:
    """The program's statistics.

    Args:
        lines: `[captions]`, as it prints them.

    Returns:
        `[captions, 23]`: words and function words of caption and reference; for each stage the
        matched content words of both and function words of both; chunks, matched words of both. A
        caption that is its reference word for word has no chunks: the program counts it so in a sum.

    Raises:
        BadData: A line that is not 23 numbers.
    """
    try:
        rows = np.array([[float(word) for word in line.split()] for line in lines])
    except ValueError:
        rows = np.empty(0)
    if rows.shape != (len(lines), STATISTICS):
        raise BadData("METEOR answers in an unknown form; is its jar version 1.5?")
    words, reference_words = rows[:, 0], rows[:, 1]
    chunks, matched, reference_matched = rows[:, -3:].T
    whole = (chunks == 1) & (matched == words) & (reference_matched == reference_words)
    rows[whole, -3] = 0
    return rows


def corpus_score(sums: Floats) -> Floats:
    """METEOR of summed statistics.

    Args:
        sums: `[corpora, 23]`, each row the sum over a corpus' captions.

    Returns:
        `[corpora]`, 0 to 1.
    """
    words, reference_words, function, reference_function = sums[:, :_FIRST_STAGE].T
    stages = sums[:, _FIRST_STAGE:-3].reshape(len(sums), len(_STAGES), 4)
    chunks, matched, reference_matched = sums[:, -3:].T
    weights = np.array(_STAGES)
    found = stages[:, :, 0] @ weights * _DELTA + stages[:, :, 2] @ weights * (1 - _DELTA)
    reference_found = stages[:, :, 1] @ weights * _DELTA + stages[:, :, 3] @ weights * (1 - _DELTA)
    precision = _ratio(found, _weighted(words, function))
    recall = _ratio(reference_found, _weighted(reference_words, reference_function))
    mean = _ratio(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    fragmentation = _ratio(chunks, (matched + reference_matched) / 2)
    return mean * (1 - _GAMMA * fragmentation**_BETA)


def _weighted(words: Floats, function: Floats) -> Floats:
    """Words with function words counting less."""
    return _DELTA * (words - function) + (1 - _DELTA) * function


def _ratio(above: Floats, below: Floats) -> Floats:
    """A quotient, 0 where nothing is to be divided by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
