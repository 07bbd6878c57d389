"""Who comes when: passes over a corpus in random order, as a function of seed and turn."""

from __future__ import annotations

import torch
from torch import Tensor

from unimo2.errors import UsageError
from unimo2.streams import stream


class Passes:
    """Batches of a corpus; every pass takes each item at most once, in its own random order.

    A rest smaller than a batch is left out of a pass.
    """

    def __init__(self, items: int, purpose: int, name: str) -> None:
        """Prepare.

        Args:
            items: number of items in the corpus.
            purpose: of the stream of random numbers, so that corpora are shuffled independently.
            name: of the corpus and its batch in messages: "images of training.image_batch".
        """
        self.items, self.purpose, self.name = items, purpose, name
        self._last: tuple[int, int] | None = None  # seed and number of the pass held below
        self._order = torch.empty(0, dtype=torch.long)

    def order(self, seed: int, number: int) -> Tensor:
        """The order of a pass, int64 [items]; the last one is kept."""
        if self._last != (seed, number):
            self._order = torch.randperm(self.items, generator=stream(seed, number, self.purpose))
            self._last = (seed, number)
        return self._order

    def batches(self, size: int) -> int:
        """Batches of `size` in a pass.

        Raises:
            UsageError: the corpus is smaller than one batch.
        """
        if self.items < size:
            raise UsageError(
                f"the corpus has {self.items} {self.name}, fewer than the {size} of one step: "
                "lower the batch size or add data"
            )
        return self.items // size

    def take(self, turn: int, size: int, seed: int) -> Tensor:
        """The items of the batch number `turn` (from 0), int64 [size]."""
        number, place = divmod(turn, self.batches(size))
        return self.order(seed, number)[place * size :][:size]

    def window(self, turn: int, size: int, seed: int, length: int) -> tuple[Tensor, int]:
        """The items of the window of `length` batches that the batch `turn` belongs to.

        Returns:
            int64 [up to length * size], and the place of the batch in its window.
        """
        number, place = divmod(turn, self.batches(size))
        first, within = divmod(place, length)
        usable = self.order(seed, number)[: self.items // size * size]
        return usable[first * length * size :][: length * size], within
