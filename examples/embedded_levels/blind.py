"""Readers that see no picture: how far the words of a test alone carry.

They learn from the training split what goes with what. A benchmark that one of them does well on
measures language habits, not sight.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence


def commonest(answers: Sequence[str]) -> str:
    """The answer given most often; of equally common ones the first in the alphabet."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def habit_guesses(
    seen: Sequence[Sequence[Hashable]], answers: Sequence[str], asked: Sequence[Sequence[Hashable]]
) -> list[str]:
    """For every item the commonest training answer of the items that look like it.

    Args:
        seen: `[training items]`, the keys of each from the most to the least exact, for example
            (the whole question, its first words).
        answers: `[training items]`.
        asked: `[items]`, keys likewise.

    Returns:
        `[items]`: by the first key that occurred in training; the overall commonest if none did.
    """
    by_key: defaultdict[tuple[int, Hashable], list[str]] = defaultdict(list)
    for keys, answer in zip(seen, answers, strict=True):
        for level, key in enumerate(keys):
            by_key[level, key].append(answer)
    best = {key: commonest(given) for key, given in by_key.items()}
    fallback = commonest(answers)
    return [
        next((best[level, key] for level, key in enumerate(keys) if (level, key) in best), fallback)
        for keys in asked
    ]


def bag_of_words_guesses(
    texts: Sequence[str], answers: Sequence[str], asked: Sequence[str]
) -> list[str]:
    """A logistic regression on the words and pairs of neighbouring words of each text.

    Args:
        texts: `[training items]`.
        answers: `[training items]`, at least two different ones.
        asked: `[items]`.

    Returns:
        `[items]`.
    """
    # Heavy to import, and only needed by the process that puts the suite together.
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    words = CountVectorizer(ngram_range=(1, 2), binary=True)
    reader = LogisticRegression(C=0.1, max_iter=200)
    reader.fit(words.fit_transform(texts), list(answers))
    return [str(guess) for guess in reader.predict(words.transform(asked))]
