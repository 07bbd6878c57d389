"""What captions can reach: people's agreement with one another is the ceiling of CIDEr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from evals.metrics.captions import Tokens, cider, tokenise
from evals.suite_mini.dice import Dice
from examples.embedded_levels.level import Level

CIDER = "CIDEr"
_GUESSES = 5  # guesses an image: one alone would say too much of the dice


def cider_level(references: Sequence[Sequence[str]], training: Sequence[str], seed: int) -> Level:
    """The level of CIDEr, by the functions that the evaluation uses.

    Args:
        references: the captions of each test image, the same number of each, two at least.
        training: captions of the training split.
        seed: for the guesses.

    Returns:
        In percent. Ideal: every annotator's captions scored against those of the others, averaged
        over annotators. Chance: a random caption of the training split, against all references.
        Majority: its commonest caption (of equally common ones the first by alphabet).

    Raises:
        MissingData: no Java, which the tokenizer needs.
    """
    dice = Dice(seed, "coco", "chance")
    guesses = [[dice.pick(training) for _ in range(_GUESSES)] for _ in references]
    counts = Counter(training)
    commonest = min(counts, key=lambda caption: (-counts[caption], caption))
    listed = [[*own, *guessed, commonest] for own, guessed in zip(references, guesses, strict=True)]
    tokens = tokenise(dict(enumerate(listed)))
    people = len(references[0])
    truth = {image: words[:people] for image, words in tokens.items()}
    others = [
        _score({image: own[:out] + own[out + 1 :] for image, own in truth.items()}, tokens, out)
        for out in range(people)
    ]
    guessed = [_score(truth, tokens, people + number) for number in range(_GUESSES)]
    return Level(
        ideal=float(np.mean(others)),
        chance=float(np.mean(guessed)),
        majority=_score(truth, tokens, people + _GUESSES),
    )


def _score(truth: Tokens, tokens: Tokens, column: int) -> float:
    """CIDEr in percent of one caption of each image."""
    given = {image: [words[column]] for image, words in tokens.items()}
    return 100.0 * float(cider(truth, given).mean())
