"""Images as tensors: decoded once and held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimo2.formats.images import load_image


def decode_images(paths: Sequence[Path], size: int, workers: int = 4) -> Tensor:
    """Decode and resize images to squares, as `Unimo2Processor` does.

    Args:
        paths: image files.
        size: side of the square in pixels.
        workers: decoding threads (PIL decodes outside the interpreter lock).

    Returns:
        uint8 [images, 3, size, size].

    Raises:
        BadData: an image cannot be decoded.
    """
    pixels = np.empty((len(paths), size, size, 3), dtype=np.uint8)

    def decode(item: tuple[int, Path]) -> None:
        index, path = item
        pixels[index] = as_square(load_image(path), size)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode, enumerate(paths)):
            pass
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def as_square(image: Image.Image, size: int) -> np.ndarray:
    """A picture resized to a square, uint8 [size, size, 3]."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


class Normalisation:
    """From bytes to what the model takes."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Three numbers each, for values in [0, 1]."""
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._deviation = torch.tensor(deviation).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Uint8 [b, 3, S, S] to float32."""
        return self.scaled(pixels.float() / 255.0)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Float32 [b, 3, S, S] in [0, 1] to what the model takes."""
        return (pixels - self._mean) / self._deviation
