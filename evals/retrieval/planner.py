"""Plan of a retrieval run: its (caption, images) units, which are done, and the cost of the rest.

A unit is one caption with all its images: every image, or those that a shortlist chose. Units are
kept on disk in blocks of a few captions; a block's place and size depend on the numbers of images,
captions and chosen pairs alone, so that a run that was interrupted sees the same blocks when it
goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evals.batch_sizes import Workload

PAIRS_PER_BLOCK = 4096  # what a kill can lose: some minutes of a base-size model on a CPU
CAPTIONS_PER_BLOCK = 64


@dataclass(frozen=True)
class PairBlock:
    """Captions `start` to `stop` (exclusive), each with all its images."""

    start: int
    stop: int

    def __len__(self) -> int:
        """Number of captions."""
        return self.stop - self.start


@dataclass(frozen=True)
class ScoringPlan:
    """The blocks of a run and those that are left.

    Attributes:
        images: Number of images.
        captions: Number of captions.
        blocks: All blocks, in the order of the captions.
        remaining: Those not finished yet, in the same order.
        chosen: `[images, captions]`, the pairs to score; None for every pair.
    """

    images: int
    captions: int
    blocks: tuple[PairBlock, ...]
    remaining: tuple[PairBlock, ...]
    chosen: NDArray[np.bool_] | None = field(default=None, compare=False)

    @property
    def pairs(self) -> int:
        """Image-caption pairs of the whole run."""
        return self._pairs_of(PairBlock(0, self.captions))

    @property
    def remaining_pairs(self) -> int:
        """Pairs that have not been scored yet."""
        return sum(self._pairs_of(block) for block in self.remaining)

    @property
    def extent(self) -> Workload:
        """Work left to tune the batch size on; a unit is a caption with its images."""
        captions = sum(map(len, self.remaining))
        return Workload("captions", captions, self.pairs, max(1, self.pairs // self.captions))

    def images_of(self, caption: int) -> list[int] | None:
        """The images that a caption is scored with, ascending; None for all of them."""
        if self.chosen is None:
            return None
        return [int(image) for image in np.flatnonzero(self.chosen[:, caption])]

    def _pairs_of(self, block: PairBlock) -> int:
        if self.chosen is None:
            return self.images * len(block)
        return int(np.count_nonzero(self.chosen[:, block.start : block.stop]))


def make_plan(
    images: int,
    captions: int,
    finished: Collection[PairBlock] = (),
    chosen: NDArray[np.bool_] | None = None,
    cheap: bool = False,
) -> ScoringPlan:
    """Cut the captions into blocks and leave out the finished ones.

    Args:
        images: Number of images.
        captions: Number of captions.
        finished: Blocks whose scores are on disk.
        chosen: `[images, captions]`, the pairs to score; None for every pair.
        cheap: Whether pairs cost nothing beside the captions' tower, as those of a dual encoder.

    Returns:
        The plan.
    """
    each = images if chosen is None else max(1, int(np.count_nonzero(chosen)) // captions)
    size = CAPTIONS_PER_BLOCK if cheap else max(1, min(CAPTIONS_PER_BLOCK, PAIRS_PER_BLOCK // each))
    blocks = tuple(
        PairBlock(start, min(start + size, captions)) for start in range(0, captions, size)
    )
    done = set(finished)
    remaining = tuple(block for block in blocks if block not in done)
    return ScoringPlan(images, captions, blocks, remaining, chosen)
