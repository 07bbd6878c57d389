"""Samples of a step: random passes over a corpus, as a function of seed and step."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from unimo2.data.seeding import TURNS, stream
from unimo2.errors import MissingData, UsageError

_RUNS_IN_BUFFER = 16  # runs of neighbours that are shuffled among each other


class EpochSampler:
    """Batches of a corpus; every pass takes each item at most once, in its own random order.

    A rest smaller than a batch is left out of a pass.
    """

    def __init__(self, items: int, purpose: int, name: str, shuffle_buffer: int = 0) -> None:
        """Prepare passes over so many items.

        Args:
            items: Number of items in the corpus.
            purpose: Stream of random numbers, so that corpora are shuffled independently.
            name: Items in messages, with the setting of their number.
            shuffle_buffer: 0 shuffles a pass as a whole; otherwise only so many items are shuffled
                among each other, of runs of neighbours that come in random order, so that files
                on slow disks are read nearly one after the other.
        """
        if not items:
            raise MissingData(f"the corpus has no {name}: it is empty")
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
        """Batches of `size` in a pass; UsageError if the corpus is smaller than one."""
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

        int64 [up to length * size], and the place of the batch in its window.
        """
        number, place = divmod(turn, self.batches(size))
        first, within = divmod(place, length)
        usable = self.order(seed, number)[: self.items // size * size]
        return usable[first * length * size :][: length * size], within


class TextsOfItems:
    """Texts of each item, and how some are drawn; texts are numbered consecutively."""

    def __init__(self, counts: Tensor) -> None:
        """Take the number of texts of each item, int64 [items], one or more."""
        self.counts, self.first = counts, counts.cumsum(dim=0) - counts

    def __len__(self) -> int:
        return len(self.counts)

    def one(self, items: Tensor, noise: Tensor) -> Tensor:
        """A text of each item, by numbers in [0, 1) of the same shape."""
        counts = self.counts[items]
        return self.first[items] + (noise * counts).long().clamp_max(counts - 1)

    def several(self, items: Tensor, drawn: int, generator: torch.Generator) -> Tensor:
        """Texts of each item, [items, drawn], without repetition as far as it has that many."""
        counts = self.counts[items][:, None]
        if bool((counts == 1).all()):
            return self.first[items][:, None].expand(-1, drawn)
        noise = torch.rand(len(items), int(counts.max()), generator=generator)
        return self._ranked(items, noise, torch.arange(drawn))

    def in_turn(self, items: Tensor, number: int, seed: int) -> Tensor:
        """The text of each item whose turn it is in a pass, [items, 1].

        As many passes as an item has texts take each of them once, in a random order.
        """
        widest = int(self.counts.max())
        epoch, turn = divmod(number, widest)
        noise = torch.rand(len(self), widest, generator=stream(seed, epoch, TURNS))
        return self._ranked(items, noise[items], torch.tensor([turn]))

    def _ranked(self, items: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """Texts by their places, again from the first where there are too few, in noise's order."""
        counts = self.counts[items][:, None]
        noise = noise.masked_fill(
            torch.arange(noise.shape[1]) >= counts, 2.0
        )  # after the real ones
        return self.first[items][:, None] + noise.argsort(dim=1).gather(1, places % counts)


class Chosen(NamedTuple):
    """The samples of a step."""

    items: Tensor  # int64 [batch]
    texts: Tensor  # int64 [batch, drawn], texts of each item


class LengthGroupedSampler:
    """Random passes over items, each with texts to draw from.

    Within a window of batches, items are put together by the length of their longest drawn text, so
    that little padding is computed; the batches of a window then come in random order.
    """

    def __init__(
        self,
        epochs: EpochSampler,
        texts: TextsOfItems,
        lengths: Tensor | None,
        purpose: int,
        draw: Literal["one", "in turn"] | int = "one",
    ) -> None:
        """Describe the items.

        Args:
            epochs: Their order.
            texts: Their texts.
            lengths: int64 [texts], in any one unit; None leaves windows in random order.
            purpose: Stream of random numbers by which texts are drawn.
            draw: How; a number stands for several that differ.
        """
        self.epochs, self._texts, self._lengths = epochs, texts, lengths
        self._purpose, self._draw = purpose, draw
        self._held: tuple[int, ...] = ()
        self._batches: list[Chosen] = []

    def at(self, turn: int, size: int, seed: int, window: int) -> Chosen:
        """The samples of the batch number `turn` (from 0) of `size` items.

        `window` batches are put in order together; 1 is for plain random batches.

        Raises:
            UsageError: There are fewer items than a batch holds.
        """
        items, within = self.epochs.window(turn, size, seed, window)
        start = turn - within
        if self._held != (start, size, seed, window):
            generator = stream(seed, start, self._purpose)
            texts = self._drawn(items, start // self.epochs.batches(size), seed, generator)
            order = torch.arange(len(items))
            if self._lengths is not None:
                order = self._lengths[texts].amax(dim=1).sort(stable=True).indices
            batches = order.view(-1, size)
            batches = batches[torch.randperm(len(batches), generator=generator)]
            self._batches = [Chosen(items[rows], texts[rows]) for rows in batches]
            self._held = (start, size, seed, window)
        return self._batches[within]

    def _drawn(self, items: Tensor, number: int, seed: int, generator: torch.Generator) -> Tensor:
        """Texts of items in the pass `number`, [items, drawn]."""
        if self._draw == "in turn":
            return self._texts.in_turn(items, number, seed)
        if self._draw == "one":
            noise = torch.rand(len(items), generator=generator)
            return self._texts.one(items, noise)[:, None]
        return self._texts.several(items, self._draw, generator)
