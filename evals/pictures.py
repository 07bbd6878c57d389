"""Pictures of a call: a file that several items share is read once, and stays one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from unimo2.formats.images import load_image


def loaded(paths: Sequence[Path]) -> list[Image]:
    """Read the images of some items.

    Args:
        paths: `[items]`, with repetitions.

    Returns:
        `[items]` in RGB; the same object for the same path.

    Raises:
        MissingData: A file is not there.
        BadData: An image that cannot be decoded.
    """
    images = {path: load_image(path) for path in dict.fromkeys(paths)}
    return [images[path] for path in paths]
