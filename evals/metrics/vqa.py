"""VQA v2 accuracy: the official normalisation, each annotator left out in turn.

An answer is worth min(1, k / 3), where k of the nine other annotators gave it, averaged over which
annotator is left out. Where all ten agree to the letter, the prediction is compared as it is.
Source: GT-Vision-Lab/VQA, vqaEvaluation/vqaEval.py; `unimo2.formats.vqa` has the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from evals.metrics.ranking import Floats
from unimo2.formats.vqa import Annotation, clean, normalise

ENOUGH = 3  # annotators of nine who make an answer entirely right


class _Normaliser:
    """`normalise` that remembers: a few thousand answers make up nearly all of VQA's millions."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, answer: str) -> str:
        if answer not in self._known:
            self._known[answer] = normalise(answer)
        return self._known[answer]


def accuracies(predictions: Sequence[str], annotations: Sequence[Annotation]) -> Floats:
    """The score of each prediction.

    Args:
        predictions: `[questions]`, as given.
        annotations: `[questions]`.

    Returns:
        `[questions]`, 0 to 1.
    """
    normal = _Normaliser()
    pairs = zip(predictions, annotations, strict=True)
    return np.array([_accuracy(given, annotation, normal) for given, annotation in pairs])


def ceilings(vocabulary: Sequence[str], annotations: Sequence[Annotation]) -> Floats:
    """The best score that some answers allow: of each question, that of the best of them.

    Args:
        vocabulary: All answers that a model can give.
        annotations: `[questions]`.

    Returns:
        `[questions]`, 0 to 1.
    """
    normal = _Normaliser()
    raw = {clean(answer): answer for answer in vocabulary}
    processed = {normal(text): answer for text, answer in raw.items()}

    def best(annotation: Annotation) -> float:
        texts = {clean(answer.text) for answer in annotation.answers}
        # Where annotators agree to the letter an answer is compared as it is, else normalised.
        known = raw if len(texts) == 1 else processed
        given = texts if len(texts) == 1 else {normal(text) for text in texts}
        return max(
            (_accuracy(known[text], annotation, normal) for text in given if text in known),
            default=0.0,
        )

    return np.array([best(annotation) for annotation in annotations])


def _accuracy(prediction: str, annotation: Annotation, normal: _Normaliser) -> float:
    given = clean(prediction)
    texts = [clean(answer.text) for answer in annotation.answers]
    if len(set(texts)) > 1:
        given = normal(given)
        texts = [normal(text) for text in texts]
    # The official code leaves out every entry that is equal to the annotator's in all its fields;
    # where `answer_id` tells entries apart, that is this annotator alone.
    entries = [
        (text, answer.id, answer.confidence)
        for text, answer in zip(texts, annotation.answers, strict=True)
    ]
    same = Counter(entries)
    matching = texts.count(given)
    scores = [
        min(1.0, (matching - (same[entry] if entry[0] == given else 0)) / ENOUGH)
        for entry in entries
    ]
    return sum(scores) / len(scores)
