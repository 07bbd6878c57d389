"""Which (caption, images) units a retrieval run consists of, which are done, what the rest costs.

A unit is one caption with all its images. Units are kept on disk in blocks of a few captions; a
block's place and size depend on the numbers of images and captions alone, so that a run that was
interrupted sees the same blocks when it goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

PAIRS_PER_BLOCK = 4096  # what a kill can lose: some minutes of a base-size model on a CPU
CAPTIONS_PER_BLOCK = 64


@dataclass(frozen=True)
class Block:
    """Captions `start` to `stop` (exclusive), each with all images."""

    start: int
    stop: int

    def __len__(self) -> int:
        """Number of captions."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """The blocks of a run and those that are left.

    Attributes:
        images: Number of images.
        captions: Number of captions.
        blocks: All blocks, in the order of the captions.
        remaining: Those not finished yet, in the same order.
    """

    images: int
    captions: int
    blocks: tuple[Block, ...]
    remaining: tuple[Block, ...]

    @property
    def pairs(self) -> int:
        """Image-caption pairs of the whole run."""
        return self.images * self.captions

    @property
    def remaining_pairs(self) -> int:
        """Pairs that have not been scored yet."""
        return self.images * sum(len(block) for block in self.remaining)


def make_plan(images: int, captions: int, finished: Collection[Block] = ()) -> Plan:
    """Cut the captions into blocks and leave out the finished ones.

    Args:
        images: Number of images.
        captions: Number of captions.
        finished: Blocks whose scores are on disk.

    Returns:
        The plan.
    """
    size = max(1, min(CAPTIONS_PER_BLOCK, PAIRS_PER_BLOCK // images))
    blocks = tuple(Block(start, min(start + size, captions)) for start in range(0, captions, size))
    done = set(finished)
    return Plan(images, captions, blocks, tuple(block for block in blocks if block not in done))
