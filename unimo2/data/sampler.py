"""Who comes when: passes over a corpus in random order, as a function of seed and turn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unimo2.data.seeding import CAPTIONS, ORDER, TURNS, stream
from unimo2.errors import UsageError

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


# Which samples a step sees: a function of (seed, step), so that a killed run goes on exactly.


class Chosen(NamedTuple):
    """The samples of a step."""

    items: Tensor  # int64 [batch]
    options: Tensor  # int64 [batch, drawn], which texts of each item


class Sampler:
    """Random passes over items, each with texts to draw from.

    Every pass is a permutation of the items; a rest smaller than a batch is left out of it. Within
    a window of batches, items are put together by the length of their longest drawn text, so that
    little padding is computed; the batches of a window then come in random order.
    """

    def __init__(
        self,
        counts: Tensor,
        lengths: Tensor,
        batch_size: int,
        window: int,
        seed: int,
        drawn: int,
        in_turn: bool = False,
    ) -> None:
        """Describe the items.

        Args:
            counts: int64 [items], how many texts each has, 0 for none; texts are numbered through.
            lengths: int64 [texts], tokens of each.
            batch_size: items a step.
            window: batches that are put together by length.
            seed: of the run.
            drawn: texts drawn of each item, without repetition as far as it has that many; 0 for
                items without texts.
            in_turn: for one text drawn: as many passes as an item has texts take each of them once,
                in a random order; otherwise each pass draws anew.

        Raises:
            UsageError: there are fewer items than a batch holds.
        """
        if len(counts) < batch_size:
            raise UsageError(
                f"training.batch_size {batch_size} is more than the {len(counts)} training "
                f"samples; use --set batch_size={len(counts)} or less"
            )
        self._counts, self._lengths = counts, lengths
        self._first = counts.cumsum(dim=0) - counts
        self._size, self._window, self._seed, self._drawn = batch_size, window, seed, drawn
        self._passes = Passes(len(counts), ORDER, "training samples")
        self._in_turn = in_turn
        self._start = -1
        self._batches: list[Chosen] = []

    def at(self, step: int) -> Chosen:
        """The samples of a step (from 0)."""
        items, within = self._passes.window(step, self._size, self._seed, self._window)
        if step - within != self._start:
            self._start = step - within
            self._batches = self._batches_of(items, self._start)
        return self._batches[within]

    def _batches_of(self, items: Tensor, start: int) -> list[Chosen]:
        """All batches of the window that begins at a step."""
        generator = stream(self._seed, start, CAPTIONS)
        options = self._next(items, start) if self._in_turn else self._draw(items, generator)
        order = torch.arange(len(items))
        if self._drawn and self._window > 1:
            order = self._lengths[options].amax(dim=1).sort(stable=True).indices
        batches = order.view(-1, self._size)
        batches = batches[torch.randperm(len(batches), generator=generator)]
        return [Chosen(items[rows], options[rows]) for rows in batches]

    def _next(self, items: Tensor, start: int) -> Tensor:
        """The texts whose turn it is in the pass that holds a step, [items, 1]."""
        widest = int(self._counts.max())
        epoch, turn = divmod(start // self._passes.batches(self._size), widest)
        noise = torch.rand(len(self._counts), widest, generator=stream(self._seed, epoch, TURNS))[
            items
        ]
        counts = self._counts[items][:, None]
        ranked = noise.masked_fill(torch.arange(widest) >= counts, 2.0).argsort(dim=1)
        return self._first[items][:, None] + ranked.gather(1, turn % counts)

    def _draw(self, items: Tensor, generator: torch.Generator) -> Tensor:
        """Texts of some items, [items, drawn]: random places in a random rotation of its texts."""
        counts = self._counts[items][:, None]
        if not self._drawn:
            return items.new_empty(len(items), 0)
        if bool((counts == 1).all()):
            return self._first[items][:, None].expand(-1, self._drawn)
        widest = int(counts.max())
        noise = torch.rand(len(items), widest, generator=generator)
        noise = noise.masked_fill(torch.arange(widest) >= counts, 2.0)  # after the real ones
        ranked = noise.argsort(dim=1)
        places = torch.arange(self._drawn) % counts  # again from the first where there are too few
        return self._first[items][:, None] + ranked.gather(1, places)
