"""Training images: decoded once into memory if they fit, else batch by batch one step ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unimo2.corpora.pixels import Normalisation, decode_images, load_square
from unimo2.errors import MissingData
from unimo2.processing import Unimo2Processor
from unimo2.streams import stream

# A stream of random numbers beside those of unimo2.streams.
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
