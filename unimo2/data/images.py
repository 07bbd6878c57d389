"""Images as tensors: decoded once and held in memory, or read from their files when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unimo2.data.seeding import stream
from unimo2.data.tables import Sources
from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import ImageSource
from unimo2.processing import Unimo2Processor

UNDECODABLE = "image that cannot be decoded"


class PixelSource(Protocol):
    """Images of one size."""

    fingerprint: str  # sha256 of what is known of them without decoding all
    broken: Skips  # images that could not be decoded so far

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


# Training images: decoded once into memory if they fit, else batch by batch one step ahead.


# A stream of random numbers beside those of unimo2.data.seeding.
_CROPS = 101
# Smallest side of a crop, as a share of the image's: at least four fifths of its area.
_SMALLEST_SIDE = 0.8**0.5
_WORKERS = 4


class Pictures:
    """Images of a data set, resized to the model's square.

    Attributes:
        in_memory: whether all of them are held decoded.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        processor: Unimo2Processor,
        gigabytes: float = 2.0,
        augment: Literal["none", "crop", "flip"] = "none",
        seed: int = 0,
    ) -> None:
        """Decode the images, if they fit.

        Args:
            paths: image files, each once.
            processor: gives the size and the normalisation.
            gigabytes: what decoded images may take.
            augment: as in `FinetuneConfig`.
            seed: of the run, for the augmentation.

        Raises:
            MissingData: an image is not there.
            BadData: an image cannot be decoded.
        """
        self._paths = list(paths)
        self._size = processor.image_size
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        self._augment, self._seed = augment, seed
        self.in_memory = len(self._paths) * 3 * self._size**2 <= gigabytes * 2**30
        self._pixels = decode_images(self._paths, self._size, _WORKERS) if self.in_memory else None
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[Tensor]] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def batch(
        self, rows: Tensor, following: Tensor, step: int, part: slice | Tensor, total: int
    ) -> Tensor:
        """Images of a step as the model takes them, augmented where that is asked for.

        Args:
            rows: int64 [b], which images.
            following: int64, images of the step after this one, which are decoded meanwhile.
            step: of the run: augmentation is a function of it.
            part: where these images stand in the batch over all processes.
            total: images of that batch.

        Returns:
            float32 [b, 3, S, S], normalised.
        """
        pixels = self._take(rows, following).float().div_(255.0)
        if self._augment != "none":
            noise = torch.rand(total, 4, generator=stream(self._seed, step, _CROPS))
            pixels = _altered(pixels, noise[part], self._augment == "flip")
        return self._normalise.scaled(pixels)

    def plain(self, rows: Tensor) -> Tensor:
        """Some images without augmentation, float32 [b, 3, S, S], normalised."""
        return self._normalise(self._take(rows, rows[:0]))

    def digest(self) -> str:
        """sha256 of the pixels; of images that are not in memory, of their names and file sizes."""
        if self._pixels is not None:
            return hashlib.sha256(self._pixels.numpy().tobytes()).hexdigest()
        content = hashlib.sha256()
        for path in self._paths:
            if not path.is_file():
                raise MissingData(f"image not found: {path}")
            content.update(f"{path.name} {path.stat().st_size}\n".encode())
        return content.hexdigest()

    def _take(self, rows: Tensor, following: Tensor) -> Tensor:
        """Decoded images, those that were announced before being there already; uint8."""
        if self._pixels is not None:
            return self._pixels[rows]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS)
        wanted, later = rows.tolist(), following.tolist()
        futures = self._coming
        for row in dict.fromkeys((*wanted, *later)):
            if row not in futures:
                futures[row] = self._pool.submit(self._one, row)
        stack = torch.stack([futures[row].result() for row in wanted])
        # What other parts of the step announced stays; nothing is held once it was used.
        for row in set(wanted).difference(later):
            del futures[row]
        return stack

    def _one(self, row: int) -> Tensor:
        """One image, uint8 [3, S, S]."""
        return torch.from_numpy(np.array(load_square(self._paths[row], self._size)))


def _altered(pixels: Tensor, noise: Tensor, mirror: bool) -> Tensor:
    """A random part of each image, resized to the whole; with `mirror` half of them mirrored.

    Args:
        pixels: [b, 3, S, S].
        noise: [b, 4] in [0, 1).
        mirror: whether images are mirrored, too.

    Returns:
        [b, 3, S, S].
    """
    side = _SMALLEST_SIDE + (1.0 - _SMALLEST_SIDE) * noise[:, 0]
    maps = pixels.new_zeros(len(pixels), 2, 3)
    maps[:, 0, 0] = torch.where((noise[:, 3] < 0.5) & mirror, -side, side)
    maps[:, 1, 1] = side
    maps[:, :, 2] = (1.0 - side)[:, None] * (2.0 * noise[:, 1:3] - 1.0)  # centre, in [-1, 1]
    grid = functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
