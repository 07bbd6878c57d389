"""Images with captions: which of them a step sees, and how they are loaded."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimo2.data.augment import Augmentation, augment
from unimo2.data.batches import ImageBatch
from unimo2.data.corpora import CaptionedImage
from unimo2.data.images import FilePixels, HeldPixels, Normalisation, PixelSource
from unimo2.data.sampler import Passes
from unimo2.data.seeding import IMAGE_ORDER, ORDER, VIEWS, Share, stream
from unimo2.data.tables import Sources, Strings
from unimo2.data.texts import Captions, HeldCaptions, TextCaptions
from unimo2.errors import BadData, MissingData
from unimo2.processing import Unimo2Processor
from unimo2.training.config import PretrainConfig

# Neighbours that are tried in the place of an image that cannot be decoded.
_TRIES = 20


@dataclass(frozen=True)
class Drawn:
    """Samples of a step, not loaded yet."""

    images: Tensor  # int64 [b], which image of its corpus each sample shows
    captions: Tensor  # int64 [b], which caption of its corpus

    def __getitem__(self, rows: slice) -> Drawn:
        """Some of the samples."""
        return Drawn(self.images[rows], self.captions[rows])


@dataclass(frozen=True)
class Loaded:
    """Samples as tensors."""

    pixels: Tensor  # float32 [b, 3, S, S], normalised
    tokens: list[Tensor]  # int64 [n] each, token ids of the captions
    images: Tensor  # int64 [b], which image each sample shows


class PairCorpus:
    """Images with captions, in memory or in files.

    A pass over the corpus takes every image once, with one of its captions drawn at random, so
    that a batch never holds the same image twice.

    Attributes:
        fingerprint: sha256 over what is known of pixels and captions.
        images: number of images.
        captions: number of captions.
        longest: tokens of the longest caption there can be.
    """

    def __init__(
        self,
        pixels: PixelSource,
        captions: Captions,
        counts: Sequence[int] | Tensor,
        processor: Unimo2Processor,
        shuffle_buffer: int = 0,
        setting: str = "images (training.batch_size)",
    ) -> None:
        """Put images and captions together; see `held_pairs` for those in memory.

        Args:
            pixels: the images.
            captions: those of the first image, then those of the second, ...
            counts: captions of each image, one or more.
            processor: its normalisation is used.
            shuffle_buffer: see `Passes`.
            setting: what its items are called in messages, with the setting of their number.

        Raises:
            MissingData: the corpus is empty.
            BadData: an image has no caption.
        """
        if not len(pixels):
            raise MissingData("the corpus of pairs is empty: no image of a training split")
        counts = torch.as_tensor(counts)
        if not bool((counts > 0).all()):
            raise BadData(f"image number {int((counts == 0).nonzero()[0])} has no caption")
        self._source, self._captions = pixels, captions
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        self._count = counts
        self._first = counts.cumsum(dim=0) - counts
        self._lengths = captions.lengths()
        self._buffer, self._setting = shuffle_buffer, setting
        self._passes: dict[int, Passes] = {}
        self.longest = captions.longest
        self.images, self.captions = len(pixels), len(self._lengths)
        digest = hashlib.sha256((pixels.fingerprint + captions.fingerprint).encode())
        digest.update(counts.numpy().data)
        self.fingerprint = digest.hexdigest()

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {"images": self.images, "captions": self.captions, "fingerprint": self.fingerprint}

    def undecodable(self) -> list[str]:
        """Images that could not be decoded so far, a line for each reason."""
        return self._source.broken.lines()

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._passes_of(ORDER).batches(size)

    def _passes_of(self, order: int) -> Passes:
        if order not in self._passes:
            self._passes[order] = Passes(self.images, order, self._setting, self._buffer)
        return self._passes[order]

    def draw(
        self, turn: int, size: int, seed: int, window: int, purposes: tuple[int, int]
    ) -> Drawn:
        """The samples of a batch.

        Within a window of `window` batches, samples are put together by the length of their
        captions, so that little padding is computed; the batches of a window then come in random
        order.

        Args:
            turn: number of the batch, from 0.
            size: samples in it.
            seed: of all draws.
            window: batches that are put in order together; 1 for plain random batches.
            purposes: of the streams of random numbers that images and captions are drawn by.

        Raises:
            UsageError: the corpus has fewer images than a batch.
        """
        order, choice = purposes
        images, place = self._passes_of(order).window(turn, size, seed, window)
        generator = stream(seed, turn - place, choice)
        count = self._count[images]
        noise = torch.rand(len(images), generator=generator)
        captions = self._first[images] + (noise * count).long().clamp_max(count - 1)
        by_length = self._lengths[captions].sort(stable=True).indices.view(-1, size)
        rows = by_length[torch.randperm(len(by_length), generator=generator)[place]]
        return Drawn(images[rows], captions[rows])

    def load(self, drawn: Drawn, view: Callable[[Tensor], Tensor] | None = None) -> Loaded:
        """Pixels and token ids of samples.

        In the place of an image that cannot be decoded comes its neighbour, with its first caption.

        Args:
            drawn: The samples.
            view: Makes other images of the samples' own, [b, 3, S, S] in [0, 1] to the same.

        Raises:
            BadData: many neighbours in a row cannot be decoded.
        """
        images, captions = drawn.images.clone(), drawn.captions.clone()
        pixels, bad = self._source.load(images)
        for _ in range(_TRIES):
            if not bool(bad.any()):
                scaled = pixels.float() / 255.0
                scaled = self._normalise.scaled(scaled if view is None else view(scaled))
                return Loaded(scaled, self._captions.tokens(captions), images)
            images[bad] = (images[bad] + 1) % self.images
            captions[bad] = self._first[images[bad]]
            rows = bad.nonzero().squeeze(1)
            again, still = self._source.load(images[rows])
            pixels[rows], bad = again, bad.clone()
            bad[rows] = still
        raise BadData(f"{_TRIES} images in a row cannot be decoded: see 'unimo2 data verify'")


def held_pairs(
    pixels: Tensor,
    texts: Iterable[Sequence[str]],
    processor: Unimo2Processor,
    max_text_length: int,
    setting: str = "images (training.batch_size)",
) -> PairCorpus:
    """Images with captions, decoded and tokenised once and held in memory.

    Args:
        pixels: uint8 [images, 3, S, S].
        texts: the captions of each image, one or more.
        processor: its tokenizer and its normalisation are used.
        max_text_length: tokens kept of a caption, the special ones included.
        setting: see `PairCorpus`.

    Raises:
        MissingData: the corpus is empty.
        BadData: an image has no caption.
    """
    groups = list(texts)
    flat = [text for group in groups for text in group]
    counts = torch.tensor([len(group) for group in groups], dtype=torch.long)
    captions = HeldCaptions(flat, processor, max_text_length)
    return PairCorpus(HeldPixels(pixels), captions, counts, processor, setting=setting)


# Images alone: two views of each, for visual contrastive learning.


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


# Corpora that do not fit into memory: names and captions are held, images and texts read when due.
#
# Any sample can be read at any time, so that a step is a function of (seed, step) here too, and a
# resumed run goes on at the same sample without reading what came before.


class Index:
    """What is held of images: where they are, and what is said about them."""

    def __init__(self, images: Iterable[CaptionedImage]) -> None:
        """Read names and texts of all images, once."""
        self.sources, self.texts = Sources(), Strings()
        counts = array("q")
        for image in images:
            self.sources.add(image.path)
            counts.append(len(image.texts))
            for text in image.texts:
                self.texts.add(text)
        self.counts = np.array(counts, dtype=np.int64)

    def pixels(self, side: int, workers: int) -> FilePixels:
        """The images, as squares of `side` pixels."""
        return FilePixels(self.sources, side, workers)


def streamed_pairs(
    index: Index, processor: Unimo2Processor, config: PretrainConfig, setting: str
) -> PairCorpus:
    """Images with captions in files."""
    return PairCorpus(
        index.pixels(processor.image_size, config.workers),
        TextCaptions(index.texts, processor, config.max_text_length),
        torch.from_numpy(index.counts),
        processor,
        config.shuffle_buffer,
        setting,
    )


def streamed_images(
    index: Index, processor: Unimo2Processor, config: PretrainConfig
) -> ImageCorpus:
    """Images alone in files."""
    pixels = index.pixels(processor.image_size, config.workers)
    return ImageCorpus(pixels, processor, config.shuffle_buffer)
