"""Images with the names of what they show, for supervised training: one view and a target each."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unimo2.data.augment import Augmentation, augment
from unimo2.data.batches import LabelledBatch
from unimo2.data.images import Normalisation, PixelSource
from unimo2.data.sampler import Passes
from unimo2.data.seeding import IMAGE_ORDER, VIEWS, Share, stream
from unimo2.errors import MissingData
from unimo2.processing import Unimo2Processor


class LabelledCorpus:
    """Images and their classes, in memory.

    Attributes:
        names: Classes, in the order of their numbers.
    """

    def __init__(
        self, pixels: PixelSource, labels: Sequence[Sequence[str]], processor: Unimo2Processor
    ) -> None:
        """Take images with one or more names each.

        Raises:
            MissingData: There is none.
        """
        if not len(pixels):
            raise MissingData("the corpus of labelled images is empty")
        self._source = pixels
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        self._passes = Passes(len(pixels), IMAGE_ORDER, "images (training.image_batch)")
        self.names = sorted({name for names in labels for name in names})
        number = {name: place for place, name in enumerate(self.names)}
        # Every name that an image has is equally right.
        self._targets = torch.zeros(len(pixels), len(self.names))
        for row, names in enumerate(labels):
            self._targets[row, [number[name] for name in set(names)]] = 1.0 / len(set(names))

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        facts = {"images": len(self._source), "classes": len(self.names)}
        return facts | {"fingerprint": self._source.fingerprint}

    def batch(
        self, turn: int, size: int, seed: int, spec: Augmentation, share: Share
    ) -> LabelledBatch:
        """A part of the batch number `turn`: one view of each of its images.

        Args:
            turn: Number of the batch, from 0.
            size: Images in it, over all parts.
            seed: Of order and views.
            spec: How views differ from the images.
            share: Which part.

        Raises:
            UsageError: The corpus is smaller than the batch, or the batch cannot be divided.
        """
        rows = share.rows(size, "image_batch")
        images = self._passes.take(turn, size, seed)[rows]
        noise = spec.draw(size, stream(seed, turn, VIEWS))[rows]
        pixels = self._source.load(images)[0].float() / 255.0
        views = self._normalise.scaled(augment(pixels, noise, spec))
        return LabelledBatch(views, self._targets[images])
