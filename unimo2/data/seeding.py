"""Random numbers and rows of a step: functions of (seed, step), so that nothing has to be stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from unimo2.errors import UsageError

# What a stream of random numbers is for; each has its own seed in every step.
ORDER, CAPTIONS, MASKS, NEGATIVES, DROPOUT, WEIGHTS = range(6)
# Of the mixed steps: pairs and pseudo pairs are shuffled anew, and the other corpora come in.
MIXED_ORDER, MIXED_CAPTIONS, PROMPT_ORDER, PROMPT_CAPTIONS = range(6, 10)
IMAGE_ORDER, VIEWS, TEXT_ORDER, TEXT_MASKS = range(10, 14)
RESTARTS = 14  # of dictionary rows
PAIR_VIEWS = 15
TURNS = 16  # of the captions of an image, each once


def stream_seed(seed: int, step: int, purpose: int) -> int:
    """A seed for one stream of random numbers in one step; streams are independent."""
    state = np.random.SeedSequence([seed, step, purpose]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def stream(seed: int, step: int, purpose: int) -> torch.Generator:
    """A generator for one stream of random numbers in one step."""
    return torch.Generator().manual_seed(stream_seed(seed, step, purpose))


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Random weights that follow from the seed; the caller's generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, 0, WEIGHTS))
        yield


def spread(position: torch.Tensor, share: float) -> torch.Tensor:
    """Which places (int64, from 0) of a batch belong to a share of it, spread evenly: bool.

    It depends on the place alone, so that it is the same however many processes there are.
    """
    # The small number makes 1 / 3 of 3 places 1 and not, by rounding, 0.
    reached = ((position + 1) * share + 1e-9).floor()
    return reached > (position * share + 1e-9).floor()


@dataclass(frozen=True)
class Shard:
    """Part of every batch: a process's, or one of its parts under gradient accumulation."""

    rank: int = 0  # number of this part, from 0
    world: int = 1  # number of parts; the batch is divided evenly

    def rows(self, batch_size: int, name: str = "batch_size") -> slice:
        """The rows of a batch of `batch_size` samples over all parts that belong to this part.

        `name` is the training field that says so.

        Raises:
            UsageError: The batch cannot be divided evenly.
        """
        if batch_size % self.world:
            raise UsageError(
                f"training.{name} {batch_size} is not a multiple of {self.world}, the number of "
                "processes times training.accumulate"
            )
        part = batch_size // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def split(self, parts: int) -> list[Shard]:
        """This part in `parts` equal ones, in order."""
        first = self.rank * parts
        return [Shard(first + part, self.world * parts) for part in range(parts)]
