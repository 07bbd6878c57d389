"""The answers that a VQA model chooses from, and the soft targets of questions.

Answers are normalised as the official evaluation does (`unimo2.formats.vqa`). An answer is
a class if it is the most common one of at least nine questions of train and val: 3,129 for VQA v2
(Anderson et al., 2018, bottom-up attention).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from unimo2.errors import BadData
from unimo2.formats.vqa import Annotation, clean, normalise

_ENOUGH = 3  # annotators whose answer is entirely right


def _normaliser() -> Callable[[str], str]:
    """Normalisation that remembers: a few thousand answers make up nearly all of VQA's millions."""
    return lru_cache(maxsize=200_000)(lambda answer: normalise(clean(answer)))


def most_common(annotation: Annotation) -> str:
    """The answer that most annotators gave; the first given of equally common ones."""
    if annotation.most_common is not None:
        return annotation.most_common
    return Counter(answer.text for answer in annotation.answers).most_common(1)[0][0]


def answer_list(annotations: Sequence[Annotation], threshold: int) -> list[str]:
    """The answers that are classes: normalised, the most frequent first, then by the alphabet.

    Args:
        annotations: Annotations of train and val.
        threshold: Questions whose most common answer an answer must be.

    Raises:
        BadData: No answer is that frequent.
    """
    normal = _normaliser()
    counts = Counter(normal(most_common(annotation)) for annotation in annotations)
    kept = [(-count, answer) for answer, count in counts.items() if count >= threshold]
    if not kept:
        raise BadData(
            f"no answer is the most common one of {threshold} of the {len(annotations)} questions; "
            "use a lower --set answer_threshold="
        )
    return [answer for _, answer in sorted(kept)]


def soft_targets(
    annotations: Sequence[Annotation], answers: Sequence[str]
) -> list[Mapping[int, float]]:
    """Score of each class as the answer to each question: min(times given / 3, 1)."""
    normal = _normaliser()
    number = {answer: place for place, answer in enumerate(answers)}
    targets: list[Mapping[int, float]] = []
    for annotation in annotations:
        given = Counter(normal(answer.text) for answer in annotation.answers)
        targets.append(
            {
                number[answer]: min(times / _ENOUGH, 1.0)
                for answer, times in given.items()
                if answer in number
            }
        )
    return targets
