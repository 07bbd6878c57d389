"""A suite's identity: a hash of what was generated, before any JPEG coder touches it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evals.suite_mini.world import Scene


def item_digest(scene: Scene, captions: Sequence[str], pixels: NDArray[np.uint8]) -> str:
    """sha256 of one picture: its scene graph, its captions and its pixels [height, width, 3]."""
    text = "\n".join([scene.key(), *captions, "x".join(str(size) for size in pixels.shape), ""])
    return hashlib.sha256(text.encode() + pixels.tobytes()).hexdigest()


def combined(digests: Iterable[str]) -> str:
    """sha256 over the digests of all items, in order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
