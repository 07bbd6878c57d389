"""Images as tensors: decoded once and held in memory, or read from files on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unimo2.console import tracked
from unimo2.data.seeding import stream
from unimo2.data.tables import ImageLocations
from unimo2.devices import own_cores
from unimo2.errors import BadData, MissingData
from unimo2.formats.images import load_image
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import ImageSource
from unimo2.processing import Unimo2Processor

UNDECODABLE = "image that cannot be decoded"


def load_square(source: ImageSource, size: int) -> Tensor:
    """One image resized to a square as `Unimo2Processor` does it, uint8 [3, size, size].

    Raises:
        MissingData: It is not there.
        BadData: It cannot be decoded.
    """
    image = load_image(source)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class Normalisation:
    """From bytes to what the model takes."""

    def __init__(self, processor: Unimo2Processor) -> None:
        self._mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self._deviation = torch.tensor(processor.image_std).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float32 [b, 3, S, S] in [0, 1] to what the model takes."""
        return (pixels - self._mean) / self._deviation


class ImageStore:
    """Images of one size: all decoded in memory, or in their files and decoded when they are due.

    Attributes:
        broken: Images that could not be decoded so far.
    """

    def __init__(
        self,
        sources: ImageLocations | Sequence[ImageSource],
        side: int,
        held: bool,
        workers: int = 0,
        fingerprint: str | None = None,
    ) -> None:
        """Decode the images, if held.

        `workers` are threads (PIL decodes without the lock), 0 for this process's share of the
        cores; `fingerprint` is that of the sources, if it is known.

        Raises:
            MissingData: An image that is to be held is not there.
            BadData: It cannot be decoded.
        """
        self._sources, self._side = sources, side
        self.broken = Skips()
        self._fingerprint = fingerprint
        self._pool = ThreadPoolExecutor(
            workers or own_cores()
        )  # starts no thread before there is work
        self._coming: dict[int, Future[Tensor]] = {}
        self._pixels: Tensor | None = None
        if held:
            self._pixels = self._decoded()

    @classmethod
    def of_pixels(cls, pixels: Tensor) -> ImageStore:
        """Images that are decoded already, uint8 [images, 3, S, S]."""
        store = cls([], pixels.shape[-1], held=False)
        store._pixels = pixels
        return store

    def _decoded(self) -> Tensor:
        pixels = torch.empty((len(self), 3, self._side, self._side), dtype=torch.uint8)

        def decode(number: int) -> None:
            pixels[number] = self._square(number)

        decoding = self._pool.map(decode, range(len(self)))
        for _ in tracked(decoding, "decoding images", "images", len(self)):
            pass
        self._pool.shutdown()
        return pixels

    def _square(self, number: int) -> Tensor:
        return load_square(self._sources[number], self._side)

    @property
    def in_memory(self) -> bool:
        """Whether all images are held decoded."""
        return self._pixels is not None

    def __len__(self) -> int:
        return len(self._sources if self._pixels is None else self._pixels)

    def fingerprint(self) -> str:
        """sha256 of the pixels; of images in files, of their names and places in shards."""
        if self._pixels is not None:
            return hashlib.sha256(self._pixels.numpy().data).hexdigest()
        if self._fingerprint is not None:
            return self._fingerprint
        sources = self._sources
        return (
            sources if isinstance(sources, ImageLocations) else ImageLocations(sources)
        ).fingerprint()

    def take(self, images: Tensor, following: Tensor | None = None) -> Tensor:
        """Some images, uint8 [b, 3, S, S]; the `following` ones are decoded in the background.

        Raises:
            MissingData: One of them is not there.
            BadData: One of them cannot be decoded.
        """
        if self._pixels is not None:
            return self._pixels[images]
        return torch.stack([future.result() for future in self._futures(images, following)])

    def load(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Some images, uint8 [b, 3, S, S], and bool [b]: which of them cannot be decoded."""
        bad = torch.zeros(len(images), dtype=torch.bool)
        if self._pixels is not None:
            return self._pixels[images], bad
        pixels = torch.zeros((len(images), 3, self._side, self._side), dtype=torch.uint8)
        for row, future in enumerate(self._futures(images)):
            try:
                pixels[row] = future.result()
            except (BadData, MissingData) as error:
                self.broken.add(UNDECODABLE, str(error))
                bad[row] = True
        return pixels, bad

    def _futures(self, images: Tensor, following: Tensor | None = None) -> list[Future[Tensor]]:
        """Images that are being decoded, those that were announced before among them."""
        wanted, later = images.tolist(), [] if following is None else following.tolist()
        for number in dict.fromkeys((*wanted, *later)):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._square, number)
        futures = [self._coming[number] for number in wanted]
        # What other parts of the step announced stays; nothing is held once it was used.
        for number in set(wanted).difference(later):
            del self._coming[number]
        return futures


# A stream of random numbers beside those of unimo2.data.seeding.
_CROPS = 101
# Smallest side of a crop, as a share of the image's: at least four fifths of its area.
_SMALLEST_SIDE = 0.8**0.5


class AugmentedImages:
    """Images of a data set as the model takes them, varied at random where that is asked for."""

    def __init__(
        self,
        paths: Sequence[Path],
        processor: Unimo2Processor,
        gigabytes: float = 2.0,
        augment: Literal["none", "crop", "flip"] = "none",
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        """Decode the images, if they fit; the options are those of `FinetuneConfig`.

        Raises:
            MissingData: An image is not there.
            BadData: An image cannot be decoded.
        """
        self._paths, self._normalise = paths, Normalisation(processor)
        self._augment, self._seed = augment, seed
        side = processor.image_size
        fits = len(paths) * 3 * side**2 <= gigabytes * 2**30
        self.store = ImageStore(paths, side, fits, workers)

    def __len__(self) -> int:
        return len(self.store)

    def batch(
        self, rows: Tensor, following: Tensor | None, step: int, part: slice | Tensor, total: int
    ) -> Tensor:
        """Images of a step, float32 [b, 3, S, S], normalised.

        Args:
            rows: int64 [b], which images.
            following: int64, images of the step after this one, which are decoded meanwhile.
            step: Step of the run: augmentation is a function of it.
            part: Where these images stand in the batch over all processes.
            total: Images of that batch.
        """
        pixels = self.store.take(rows, following) / 255.0
        if self._augment != "none":
            noise = torch.rand(total, 4, generator=stream(self._seed, step, _CROPS))
            pixels = _altered(pixels, noise[part], self._augment == "flip")
        return self._normalise(pixels)

    def digest(self) -> str:
        """sha256 of the pixels; of images that are not in memory, of their names and file sizes."""
        if self.store.in_memory:
            return self.store.fingerprint()
        content = hashlib.sha256()
        for path in self._paths:
            if not path.is_file():
                raise MissingData(f"image not found: {path}")
            content.update(f"{path.name} {path.stat().st_size}\n".encode())
        return content.hexdigest()

    def plain(self, rows: Tensor) -> Tensor:
        """Some images without augmentation, float32 [b, 3, S, S], normalised."""
        return self._normalise(self.store.take(rows) / 255.0)


def _altered(pixels: Tensor, noise: Tensor, mirror: bool) -> Tensor:
    """A random part of each image, resized to the whole; with `mirror` half of them mirrored.

    [b, 3, S, S] to the same, by noise [b, 4] in [0, 1).
    """
    side = _SMALLEST_SIDE + (1.0 - _SMALLEST_SIDE) * noise[:, 0]
    maps = pixels.new_zeros(len(pixels), 2, 3)
    maps[:, 0, 0] = torch.where((noise[:, 3] < 0.5) & mirror, -side, side)
    maps[:, 1, 1] = side
    maps[:, :, 2] = (1.0 - side)[:, None] * (2.0 * noise[:, 1:3] - 1.0)  # centre, in [-1, 1]
    grid = functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
