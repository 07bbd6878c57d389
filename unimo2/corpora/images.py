"""Images alone: two views of each, for visual contrastive learning."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from unimo2.batches import ImageBatch
from unimo2.corpora.augment import Augmentation, augment
from unimo2.corpora.order import Passes
from unimo2.corpora.pixels import Normalisation
from unimo2.errors import MissingData
from unimo2.processing import Unimo2Processor
from unimo2.streams import IMAGE_ORDER, VIEWS, Share, stream


class ImageCorpus:
    """Images in memory, without texts.

    Attributes:
        images: their number.
        fingerprint: sha256 over the pixels.
    """

    def __init__(self, pixels: Tensor, processor: Unimo2Processor) -> None:
        """Take decoded images.

        Args:
            pixels: uint8 [images, 3, S, S].
            processor: its normalisation is used.

        Raises:
            MissingData: there is none.
        """
        if not len(pixels):
            raise MissingData("the corpus of images is empty")
        self._pixels = pixels
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        self._passes = Passes(len(pixels), IMAGE_ORDER, "images (training.image_batch)")
        self.images = len(pixels)
        self.fingerprint = hashlib.sha256(pixels.numpy().data).hexdigest()

    def describe(self) -> dict[str, object]:
        """Count and fingerprint, for records."""
        return {"images": self.images, "fingerprint": self.fingerprint}

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
        """
        rows = share.rows(size, "image_batch")
        images = self._passes.take(turn, size, seed)[rows]
        # A view's numbers belong to its sample, whatever else is computed with it.
        noise = spec.draw(2 * size, stream(seed, turn, VIEWS)).view(2, size, -1)[:, rows]
        pixels = self._pixels[images].float() / 255.0
        views = augment(torch.cat([pixels, pixels]), noise.flatten(0, 1), spec)
        return ImageBatch(self._normalise.scaled(views))
