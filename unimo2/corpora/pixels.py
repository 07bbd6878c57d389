"""Images as tensors: decoded once and held in memory, or read from their files when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimo2.corpora.sources import Sources
from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import ImageSource

UNDECODABLE = "image that cannot be decoded"


class PixelSource(Protocol):
    """Images of one size.

    Attributes:
        fingerprint: sha256 of what is known of them without decoding all.
        broken: images that could not be decoded so far.
    """

    fingerprint: str
    broken: Skips

    def __len__(self) -> int:
        """Their number."""
        ...

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images.

        Args:
            images: int64 [b], their numbers.

        Returns:
            uint8 [b, 3, S, S], and bool [b]: which of them cannot be decoded (their pixels mean
            nothing).
        """
        ...


class HeldPixels:
    """Images in memory."""

    def __init__(self, pixels: Tensor) -> None:
        """Take uint8 [images, 3, S, S]."""
        self._pixels = pixels
        self.fingerprint = hashlib.sha256(pixels.numpy().data).hexdigest()
        self.broken = Skips()

    def __len__(self) -> int:
        """Their number."""
        return len(self._pixels)

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images; all of them are whole."""
        return self._pixels[images], torch.zeros(len(images), dtype=torch.bool)


class FilePixels:
    """Images in their files, decoded when they are due.

    Attributes:
        fingerprint: sha256 over the files' names and the places in shards.
        broken: images that could not be decoded so far.
    """

    def __init__(self, sources: Sources, side: int, workers: int = 4) -> None:
        """Take an index.

        Args:
            sources: where the images lie.
            side: of the squares, in pixels.
            workers: decoding threads.
        """
        self._sources, self._side = sources, side
        self._pool = ThreadPoolExecutor(workers)
        self.fingerprint = sources.fingerprint()
        self.broken = Skips()

    def __len__(self) -> int:
        """Their number."""
        return len(self._sources)

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images, decoded now."""
        squares = list(self._pool.map(self._square, images.tolist()))
        bad = torch.tensor([square is None for square in squares], dtype=torch.bool)
        empty = np.zeros((3, self._side, self._side), dtype=np.uint8)
        stack = np.stack([empty if square is None else square for square in squares])
        return torch.from_numpy(stack).contiguous(), bad

    def _square(self, number: int) -> np.ndarray | None:
        try:
            return load_square(self._sources[number], self._side)
        except (BadData, MissingData) as error:
            self.broken.add(UNDECODABLE, str(error))
            return None


def decode_images(sources: Sequence[ImageSource], size: int, workers: int = 4) -> Tensor:
    """Decode and resize images to squares, as `Unimo2Processor` does.

    Args:
        sources: where they are.
        size: side of the square in pixels.
        workers: decoding threads (PIL decodes outside the interpreter lock).

    Returns:
        uint8 [images, 3, size, size].

    Raises:
        MissingData: an image is not there.
        BadData: an image cannot be decoded.
    """
    pixels = np.empty((len(sources), 3, size, size), dtype=np.uint8)

    def decode(item: tuple[int, ImageSource]) -> None:
        number, source = item
        pixels[number] = load_square(source, size)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode, enumerate(sources)):
            pass
    return torch.from_numpy(pixels)


def load_square(source: ImageSource, size: int) -> np.ndarray:
    """One image resized to a square.

    Returns:
        uint8 [3, size, size], perhaps read-only.

    Raises:
        MissingData: it is not there.
        BadData: it cannot be decoded.
    """
    image = load_image(source)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


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
