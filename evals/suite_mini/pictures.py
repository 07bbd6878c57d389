"""Pictures on disk: drawn, saved as JPEG, and known by what was drawn before any coder touched it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.suite_mini.dice import Dice
from evals.suite_mini.render import render
from evals.suite_mini.world import Scene


def item_digest(scene: Scene, captions: Sequence[str], pixels: NDArray[np.uint8]) -> str:
    """sha256 of one picture: its scene graph, its captions and its pixels [height, width, 3]."""
    text = "\n".join([scene.key(), *captions, "x".join(str(size) for size in pixels.shape), ""])
    return hashlib.sha256(text.encode() + pixels.tobytes()).hexdigest()


def combined(digests: Iterable[str]) -> str:
    """sha256 over the digests of all items, in order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def write_scene(path: Path, scene: Scene, dice: Dice, texts: Sequence[str] = ()) -> str:
    """Draw a scene, save it as a JPEG, and give the digest of it and the texts about it for a `Report`."""
    pixels = render(scene, dice)
    save_jpeg(path, pixels)
    return item_digest(scene, texts, pixels)


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Save pixels [height, width, 3], RGB, as every picture of the suite is saved."""
    Image.fromarray(pixels).save(path, format="JPEG", quality=95, subsampling=0)
