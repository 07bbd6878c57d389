"""Who comes when: passes over a corpus in random order, as a function of seed and turn."""

from __future__ import annotations

import torch
from torch import Tensor

from unimo2.errors import UsageError
from unimo2.streams import stream

_RUNS_IN_BUFFER = 16  # runs of neighbours that are shuffled among each other


class Passes:
    """Batches of a corpus; every pass takes each item at most once, in its own random order.

    A rest smaller than a batch is left out of a pass.
    """

    def __init__(self, items: int, purpose: int, name: str, shuffle_buffer: int = 0) -> None:
        """Prepare.

        Args:
            items: number of items in the corpus.
            purpose: of the stream of random numbers, so that corpora are shuffled independently.
            name: of the items in messages, with the setting of their number.
            shuffle_buffer: 0 shuffles a pass as a whole; otherwise only so many items are shuffled
                among each other, of runs of neighbours that come in random order, so that files
                on slow disks are read nearly one after the other.
        """
        self.items, self.purpose, self.name = items, purpose, name
        self.shuffle_buffer = shuffle_buffer
        self._last: tuple[int, int] | None = None  # seed and number of the pass held below
        self._order = torch.empty(0, dtype=torch.long)

    def order(self, seed: int, number: int) -> Tensor:
        """The order of a pass, int64 [items]; the last one is kept."""
        if self._last != (seed, number):
            self._order = self._shuffled(stream(seed, number, self.purpose))
            self._last = (seed, number)
        return self._order

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        if not self.shuffle_buffer:
            return torch.randperm(self.items, generator=generator)
        length = max(1, self.shuffle_buffer // _RUNS_IN_BUFFER)
        runs = list(torch.arange(self.items).split(length))
        runs = [runs[run] for run in torch.randperm(len(runs), generator=generator).tolist()]
        buffers = torch.cat(runs).split(self.shuffle_buffer)
        return torch.cat([b[torch.randperm(len(b), generator=generator)] for b in buffers])

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
