"""Images alone: two views of each, for visual contrastive learning."""

from __future__ import annotations

import torch

from unimo2.batches import ImageBatch
from unimo2.corpora.augment import Augmentation, augment
from unimo2.corpora.order import Passes
from unimo2.corpora.pixels import Normalisation, PixelSource
from unimo2.errors import BadData, MissingData
from unimo2.processing import Unimo2Processor
from unimo2.streams import IMAGE_ORDER, VIEWS, Share, stream


class ImageCorpus:
    """Images without texts.

    Attributes:
        images: their number.
        fingerprint: sha256 of what is known of the pixels.
    """

    def __init__(
        self, pixels: PixelSource, processor: Unimo2Processor, shuffle_buffer: int = 0
    ) -> None:
        """Take images.

        Args:
            pixels: in memory or in files.
            processor: its normalisation is used.
            shuffle_buffer: see `Passes`.

        Raises:
            MissingData: there is none.
        """
        if not len(pixels):
            raise MissingData("the corpus of images is empty")
        self._source = pixels
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        name = "images (training.image_batch)"
        self._passes = Passes(len(pixels), IMAGE_ORDER, name, shuffle_buffer)
        self.images = len(pixels)
        self.fingerprint = pixels.fingerprint

    def describe(self) -> dict[str, object]:
        """Count and fingerprint, for records."""
        return {"images": self.images, "fingerprint": self.fingerprint}

    def undecodable(self) -> list[str]:
        """Images that could not be decoded so far, a line for each reason."""
        return self._source.broken.lines()

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._passes.batches(size)

    def batch(
        self, turn: int, size: int, seed: int, spec: Augmentation, share: Share
    ) -> ImageBatch:
        """A part of the batch number `turn`: two views of each of its images.

        Args:
            turn: number of the batch, from 0.
            size: images in it, over all parts.
            seed: of order and views.
            spec: how views differ.
            share: which part.

        Raises:
            UsageError: the corpus is smaller than the batch, or the batch cannot be divided.
            BadData: none of its images can be decoded.
        """
        rows = share.rows(size, "image_batch")
        images = self._passes.take(turn, size, seed)[rows]
        # A view's numbers belong to its sample, whatever else is computed with it.
        noise = spec.draw(2 * size, stream(seed, turn, VIEWS)).view(2, size, -1)[:, rows]
        loaded, bad = self._source.load(images)
        if bool(bad.any()):  # what the batch has of whole images comes in their place
            if bool(bad.all()):
                raise BadData("the images of a batch cannot be decoded: see 'unimo2 data verify'")
            whole = (~bad).nonzero().squeeze(1)
            loaded[bad] = loaded[whole[torch.arange(int(bad.sum())) % len(whole)]]
        pixels = loaded.float() / 255.0
        views = augment(torch.cat([pixels, pixels]), noise.flatten(0, 1), spec)
        return ImageBatch(self._normalise.scaled(views))
