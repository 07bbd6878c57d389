"""Images as tensors: decoded once and held in memory, or read from their files when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimo2.corpora.reading import CaptionedImage
from unimo2.corpora.strings import Strings
from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image, to_rgb
from unimo2.formats.rows import Skips

UNDECODABLE = "image that cannot be decoded"


class PixelSource(Protocol):
    """Images of one size.

    Attributes:
        fingerprint: sha256 of what is known of them without decoding all.
    """

    fingerprint: str

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

    def __len__(self) -> int:
        """Their number."""
        return len(self._pixels)

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images; all of them are whole."""
        return self._pixels[images], torch.zeros(len(images), dtype=torch.bool)


class FilePixels:
    """Images in their files, decoded when they are due.

    Attributes:
        fingerprint: sha256 over the files' names.
        broken: files that could not be decoded so far.
    """

    def __init__(
        self, paths: Strings, offsets: np.ndarray, sizes: np.ndarray, side: int, workers: int = 4
    ) -> None:
        """Take an index.

        Args:
            paths: of the files, or of the tar files that they are in.
            offsets: int64 [images], first byte in the tar file; -1 for a file of its own.
            sizes: int64 [images], bytes in the tar file.
            side: of the squares, in pixels.
            workers: decoding threads.
        """
        self._paths, self._offsets, self._sizes, self._side = paths, offsets, sizes, side
        self._pool = ThreadPoolExecutor(workers)
        digest = hashlib.sha256(offsets.tobytes())
        for path in paths:
            digest.update(Path(path).name.encode() + b"\0")
        self.fingerprint = digest.hexdigest()
        self.broken = Skips()

    def __len__(self) -> int:
        """Their number."""
        return len(self._paths)

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images, decoded now."""
        squares = list(self._pool.map(self._square, images.tolist()))
        bad = torch.tensor([square is None for square in squares], dtype=torch.bool)
        empty = np.zeros((self._side, self._side, 3), dtype=np.uint8)
        stack = np.stack([empty if square is None else square for square in squares])
        return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous(), bad

    def _square(self, number: int) -> np.ndarray | None:
        path, offset = Path(self._paths[number]), int(self._offsets[number])
        try:
            return as_square(_open(path, offset, int(self._sizes[number])), self._side)
        except (BadData, MissingData) as error:
            self.broken.add(UNDECODABLE, str(error))
            return None


def _open(path: Path, offset: int, size: int) -> Image.Image:
    """An image in a file of its own (offset -1), or inside of a tar file."""
    return load_image(path) if offset < 0 else _image_in(path, offset, size)


def _image_in(path: Path, offset: int, size: int) -> Image.Image:
    """An image inside of a tar file.

    Raises:
        MissingData: the tar file is not there any more.
        BadData: its bytes are no image.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(size)
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error}") from error
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
            return to_rgb(image)
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise BadData(f"image at byte {offset} of {path} cannot be decoded: {error}") from error


def decode_images(images: Sequence[CaptionedImage], size: int, workers: int = 4) -> Tensor:
    """Decode and resize images to squares, as `Unimo2Processor` does.

    Args:
        images: where they are.
        size: side of the square in pixels.
        workers: decoding threads (PIL decodes outside the interpreter lock).

    Returns:
        uint8 [images, 3, size, size].

    Raises:
        MissingData: an image is not there.
        BadData: an image cannot be decoded.
    """
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)

    def decode(item: tuple[int, CaptionedImage]) -> None:
        number, image = item
        pixels[number] = as_square(_open(image.path, image.offset, image.size), size)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode, enumerate(images)):
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
