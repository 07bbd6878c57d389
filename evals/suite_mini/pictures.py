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


_JPEG_QUALITY = 95


def write_scene(path: Path, scene: Scene, dice: Dice, texts: Sequence[str] = ()) -> str:
    """Draw a scene and save it as a JPEG.

    Args:
        path: of the picture; its folder exists.
        scene: what to draw.
        dice: for everything that the scene leaves open; `Dice(seed, collection, world, index,
            "picture")` by convention.
        texts: what is said of the picture: captions, a label.

    Returns:
        sha256 of the scene, the texts and the pixels before coding: the digest of a `Report`.
    """
    pixels = render(scene, dice)
    save_jpeg(path, pixels)
    return item_digest(scene, texts, pixels)


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Save pixels [height, width, 3], RGB, as every picture of the suite is saved."""
    Image.fromarray(pixels).save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
