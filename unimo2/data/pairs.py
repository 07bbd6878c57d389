"""Captioned and unpaired images: the samples of each step, and their loading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unimo2.data.augment import Augmentation, augment
from unimo2.data.batches import ImageBatch, LabelledBatch
from unimo2.data.images import ImageStore, Normalisation
from unimo2.data.sampler import Chosen, EpochSampler, LengthGroupedSampler, TextsOfItems
from unimo2.data.seeding import IMAGE_ORDER, ORDER, VIEWS, Shard, stream
from unimo2.data.texts import LazyTokenTable, TokenTable
from unimo2.errors import BadData
from unimo2.processing import Unimo2Processor

# Neighbours that are tried in the place of an image that cannot be decoded.
_TRIES = 20


class Loaded(NamedTuple):
    """Samples as tensors."""

    pixels: Tensor  # float32 [b, 3, S, S], normalised
    tokens: list[Tensor]  # int64 [n] each, token ids of the captions
    images: Tensor  # int64 [b], which image each sample shows


class PairCorpus:
    """Images with captions, in memory or in files.

    A pass over the corpus takes every image once, with one of its captions drawn at random, so
    that a batch never holds the same image twice. Any sample can be read at any time, so that a
    resumed run continues at the same sample without reading what came before.
    """

    def __init__(
        self,
        store: ImageStore,
        captions: TokenTable | LazyTokenTable,
        counts: Tensor,
        processor: Unimo2Processor,
        shuffle_buffer: int = 0,
        setting: str = "images (training.batch_size)",
    ) -> None:
        """Put images and captions together.

        Args:
            store: The images.
            captions: Those of the first image, then those of the second, ...
            counts: int64, captions of each image, one or more.
            processor: Its normalisation is used.
            shuffle_buffer: See `EpochSampler`.
            setting: Items in messages, with the setting of their number.

        Raises:
            MissingData: The corpus is empty.
            BadData: An image has no caption.
        """
        self._epochs = EpochSampler(len(store), ORDER, setting, shuffle_buffer)
        if not bool((counts > 0).all()):
            raise BadData(f"image number {int((counts == 0).nonzero()[0])} has no caption")
        self.store, self._captions = store, captions
        self._normalise = Normalisation(processor)
        self._texts = TextsOfItems(counts)
        self._samplers: dict[tuple[int, int], LengthGroupedSampler] = {}
        self.longest = captions.longest

    def __len__(self) -> int:
        return len(self.store)

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        prints = self.store.fingerprint() + self._captions.fingerprint
        digest = hashlib.sha256(prints.encode())
        digest.update(self._texts.counts.numpy().data)
        captions = len(self._captions.lengths)
        return {"images": len(self), "captions": captions, "fingerprint": digest.hexdigest()}

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._epochs.batches(size)

    def draw(
        self, turn: int, size: int, seed: int, window: int, purposes: tuple[int, int]
    ) -> Chosen:
        """The samples of a batch, not loaded yet; see `LengthGroupedSampler.at`.

        `purposes` are the streams of random numbers that images and captions are drawn by.
        """
        if purposes not in self._samplers:
            order, choice = purposes
            epochs = EpochSampler(len(self), order, self._epochs.name, self._epochs.shuffle_buffer)
            self._samplers[purposes] = LengthGroupedSampler(
                epochs, self._texts, self._captions.lengths, choice
            )
        return self._samplers[purposes].at(turn, size, seed, window)

    def load(
        self, images: Tensor, captions: Tensor, view: Callable[[Tensor], Tensor] | None = None
    ) -> Loaded:
        """Pixels and token ids of samples: images int64 [b], captions int64 [b, 1].

        In the place of an image that cannot be decoded comes its neighbour, with its first caption.
        `view` makes other images of the samples' own, [b, 3, S, S] in [0, 1] to the same.

        Raises:
            BadData: Many neighbours in a row cannot be decoded.
        """
        images, captions = images.clone(), captions[:, 0].clone()
        pixels, bad = self.store.load(images)
        for _ in range(_TRIES):
            if not bool(bad.any()):
                scaled = pixels / 255.0
                scaled = self._normalise(scaled if view is None else view(scaled))
                return Loaded(scaled, self._captions.tokens(captions), images)
            images[bad] = (images[bad] + 1) % len(self)
            captions[bad] = self._texts.first[images[bad]]
            rows = bad.nonzero().squeeze(1)
            pixels[rows], still = self.store.load(images[rows])
            bad = bad.clone()
            bad[rows] = still
        raise BadData(f"{_TRIES} images in a row cannot be decoded: see 'unimo2 data verify'")


class ImageCorpus:
    """Images without texts, in memory or in files."""

    def __init__(
        self, store: ImageStore, processor: Unimo2Processor, shuffle_buffer: int = 0
    ) -> None:
        self.store, self._normalise = store, Normalisation(processor)
        name = "images (training.image_batch)"
        self._epochs = EpochSampler(len(store), IMAGE_ORDER, name, shuffle_buffer)

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {"images": len(self.store), "fingerprint": self.store.fingerprint()}

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._epochs.batches(size)

    def batch(
        self, turn: int, size: int, seed: int, spec: Augmentation, share: Shard
    ) -> ImageBatch:
        """A part of the batch number `turn` (from 0) of `size` images: two views of each.

        Raises:
            UsageError: The corpus is smaller than the batch, or the batch cannot be divided.
            BadData: None of its images can be decoded.
        """
        return ImageBatch(self._views(turn, size, seed, spec, share, views=2)[1])

    def _views(
        self, turn: int, size: int, seed: int, spec: Augmentation, share: Shard, views: int
    ) -> tuple[Tensor, Tensor]:
        """Images int64 [b], and their views [views * b, 3, S, S], all first ones first."""
        rows = share.rows(size, "image_batch")
        images = self._epochs.take(turn, size, seed)[rows]
        # A view's numbers belong to its sample, whatever else is computed with it.
        noise = spec.draw(views * size, stream(seed, turn, VIEWS)).view(views, size, -1)[:, rows]
        loaded, bad = self.store.load(images)
        if bool(bad.any()):  # what the batch has of whole images comes in their place
            if bool(bad.all()):
                raise BadData("the images of a batch cannot be decoded: see 'unimo2 data verify'")
            whole = (~bad).nonzero().squeeze(1)
            loaded[bad] = loaded[whole[torch.arange(int(bad.sum())) % len(whole)]]
        pixels = (loaded / 255.0).repeat(views, 1, 1, 1)
        return images, self._normalise(augment(pixels, noise.flatten(0, 1), spec))


class LabelledCorpus(ImageCorpus):
    """Images with the names of what they show, for supervised training."""

    def __init__(
        self, store: ImageStore, labels: Sequence[Sequence[str]], processor: Unimo2Processor
    ) -> None:
        super().__init__(store, processor)
        self.names = sorted({name for names in labels for name in names})
        number = {name: place for place, name in enumerate(self.names)}
        # Every name that an image has is equally right.
        self._targets = torch.zeros(len(store), len(self.names))
        for row, names in enumerate(labels):
            self._targets[row, [number[name] for name in set(names)]] = 1.0 / len(set(names))

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return super().describe() | {"classes": len(self.names)}

    def labelled_batch(
        self, turn: int, size: int, seed: int, spec: Augmentation, share: Shard
    ) -> LabelledBatch:
        """As `batch`, with one view of each image and its classes."""
        images, views = self._views(turn, size, seed, spec, share, views=1)
        return LabelledBatch(self._targets[images], views)
