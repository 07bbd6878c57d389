"""Random choices that are the same on every machine and under every release of NumPy.

NumPy promises stable streams for its bit generators, not for the methods of `Generator`; so only
raw 64-bit words of PCG64 are drawn, and everything else is made of them here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_WORDS_AT_A_TIME = 64
_UNIT = 2.0**-53


class Dice:
    """A stream of random choices that belongs to one thing, such as one scene."""

    def __init__(self, *key: int | str) -> None:
        """Start a stream.

        Args:
            *key: what it belongs to, for example 0, "flickr30k", "test", 17, "scene". Streams of
                different keys are independent; no order of drawing between them matters.
        """
        digest = hashlib.sha256(repr(key).encode()).digest()
        self._bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest[:16], "little")))
        self._words: list[int] = []

    def _drawn(self) -> list[int]:
        """Further words: each choice takes the last one of the list."""
        self._words = self._bits.random_raw(_WORDS_AT_A_TIME).tolist()
        return self._words

    # The choices below are made millions of times, hence no method that they share.

    def below(self, limit: int) -> int:
        """An integer in [0, limit), limit at most 2**32 (the bias is below limit / 2**32)."""
        return (((self._words or self._drawn()).pop() >> 32) * limit) >> 32

    def between(self, low: float, high: float) -> float:
        """A real number in [low, high)."""
        return low + (high - low) * (((self._words or self._drawn()).pop() >> 11) * _UNIT)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return ((self._words or self._drawn()).pop() >> 11) * _UNIT < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, all alike."""
        return items[(((self._words or self._drawn()).pop() >> 32) * len(items)) >> 32]

    def weighted(self, weights: Sequence[int]) -> int:
        """An index, with probability in proportion to its weight."""
        point = self.below(sum(weights))
        for index, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return index
        raise ValueError("weights must be positive")

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result
