"""Images with captions, decoded and tokenised once and held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unimo2.corpora.order import Passes
from unimo2.corpora.pixels import Normalisation
from unimo2.errors import BadData, MissingData
from unimo2.processing import Unimo2Processor
from unimo2.streams import stream

# Texts of a batch are padded to a multiple of this: kernels are prepared anew for every length they
# have not met (on CPUs milliseconds each), and so there are few lengths.
_ROUND_LENGTH = 4


@dataclass(frozen=True)
class Drawn:
    """Samples of a step, not loaded yet.

    Attributes:
        images: int64 [b], which image of its corpus each sample shows.
        captions: int64 [b], which caption of its corpus.
    """

    images: Tensor
    captions: Tensor

    def __getitem__(self, rows: slice) -> Drawn:
        """Some of the samples."""
        return Drawn(self.images[rows], self.captions[rows])


class PairCorpus:
    """Images with captions in memory.

    A pass over the corpus takes every image once, with one of its captions drawn at random, so
    that a batch never holds the same image twice.

    Attributes:
        fingerprint: sha256 over pixels and token ids: what the model was shown.
        images: number of images.
        captions: number of captions.
        longest: tokens of the longest caption.
    """

    def __init__(
        self,
        pixels: Tensor,
        texts: Sequence[Sequence[str]],
        processor: Unimo2Processor,
        max_text_length: int,
    ) -> None:
        """Tokenise the captions.

        Args:
            pixels: uint8 [images, 3, S, S].
            texts: the captions of each image, one or more.
            processor: its tokenizer and its normalisation are used.
            max_text_length: tokens kept of a caption, the special ones included.

        Raises:
            MissingData: the corpus is empty.
            BadData: an image has no caption.
        """
        if not len(pixels):
            raise MissingData("the corpus of pairs is empty: no image of a training split")
        counts = torch.tensor([len(group) for group in texts])
        if not bool((counts > 0).all()):
            raise BadData(f"image number {int((counts == 0).nonzero()[0])} has no caption")
        self._pixels = pixels
        self._normalise = Normalisation(processor.image_mean, processor.image_std)
        self._count = counts
        self._first = counts.cumsum(dim=0) - counts
        flat = [text for group in texts for text in group]
        encoded = processor.tokenizer(flat, truncation=True, max_length=max_text_length)
        self._tokens = [torch.tensor(ids) for ids in encoded["input_ids"]]
        self._lengths = torch.tensor([len(ids) for ids in self._tokens])
        self.longest = int(self._lengths.max())
        self.images, self.captions = len(pixels), len(flat)
        digest = hashlib.sha256(pixels.numpy().data)
        for ids in self._tokens:
            digest.update(ids.numpy().data)
        digest.update(counts.numpy().data)
        self.fingerprint = digest.hexdigest()

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {"images": self.images, "captions": self.captions, "fingerprint": self.fingerprint}

    def draw(
        self, passes: Passes, turn: int, size: int, seed: int, window: int, purpose: int
    ) -> Drawn:
        """The samples of a batch.

        Within a window of `window` batches, samples are put together by the length of their
        captions, so that little padding is computed; the batches of a window then come in random
        order.

        Args:
            passes: the order of the images.
            turn: number of the batch, from 0.
            size: samples in it.
            seed: of all draws.
            window: batches that are put in order together; 1 for plain random batches.
            purpose: of the stream of random numbers that captions are drawn by.

        Raises:
            UsageError: the corpus has fewer images than a batch.
        """
        images, place = passes.window(turn, size, seed, window)
        generator = stream(seed, turn - place, purpose)
        count = self._count[images]
        noise = torch.rand(len(images), generator=generator)
        captions = self._first[images] + (noise * count).long().clamp_max(count - 1)
        by_length = self._lengths[captions].sort(stable=True).indices.view(-1, size)
        rows = by_length[torch.randperm(len(by_length), generator=generator)[place]]
        return Drawn(images[rows], captions[rows])

    def tokens(self, drawn: Drawn) -> list[Tensor]:
        """Token ids of the captions, int64 [n] each."""
        return [self._tokens[index] for index in drawn.captions.tolist()]

    def pixels(self, drawn: Drawn) -> Tensor:
        """The images as the model takes them, float32 [b, 3, S, S]."""
        return self._normalise(self._pixels[drawn.images])


def pad(tokens: Sequence[Tensor], pad_id: int, limit: int) -> tuple[Tensor, Tensor]:
    """Texts side by side.

    Args:
        tokens: int64 [n] each.
        pad_id: what shorter ones are filled up with.
        limit: tokens beyond which no row is filled up, for the sake of a round length.

    Returns:
        int64 [b, N], and int64 [b, N] with 1 at real tokens.
    """
    lengths = torch.tensor([len(ids) for ids in tokens])
    longest = int(lengths.max()) if len(tokens) else 0
    width = max(longest, min(-(-longest // _ROUND_LENGTH) * _ROUND_LENGTH, limit))
    ids = torch.full((len(tokens), width), pad_id)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = text
    return ids, (torch.arange(width) < lengths[:, None]).long()
