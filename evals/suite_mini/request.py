"""What is asked of the generator: equal requests give equal data on any machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unimo2.errors import UsageError

_SMALLEST_SPLIT = 8


@dataclass(frozen=True)
class SuiteRequest:
    """What to generate; equal requests give equal data on any machine."""

    seed: int = 0
    scale: float = 1.0
    """Multiplies the sizes of all splits but Flickr's test split."""
    flickr_test: int = 300
    """Images of Flickr's test split."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no suite."""
        if not (math.isfinite(self.scale) and 0.0 < self.scale <= 100.0):
            raise UsageError(f"scale must be above 0 and at most 100, not {self.scale}")
        if self.flickr_test < 2:
            raise UsageError(f"a retrieval test needs 2 images or more, not {self.flickr_test}")

    def notices(self) -> list[str]:
        """What a user should know of a suite of other sizes or of another seed."""
        notices = []
        if self.seed != 0 or self.scale > 1.0:
            notices.append(
                "bookwiki, openwebtext, cola, mnli, sst2, stsb: texts that come with the package, the "
                "same for every seed and no more than at scale 1"
            )
        if self != SuiteRequest():
            notices.append(
                "ceilings and floors are kept for the usual suite; for others "
                "'python -m examples.embedded_levels FOLDER' in the repository computes them"
            )
        return notices

    def scaled(self, size: int) -> int:
        """The size of a split at this scale, rounded up, and never so small that it is useless."""
        return max(_SMALLEST_SPLIT, math.ceil(size * self.scale))
