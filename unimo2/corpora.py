"""Pre-training corpora: which samples a step sees, and how they become tensors.

The order of samples and all random numbers of a step are functions of (seed, step): a resumed run
sees the same samples without any stored position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.images import load_image
from unimo2.formats.karpathy import KarpathyImage, read_karpathy
from unimo2.masking import MaskingSpec, mask_spans
from unimo2.objectives import PairBatch
from unimo2.processing import Unimo2Processor
from unimo2.recipes import PretrainConfig
from unimo2.streams import CAPTIONS, MASKS, NEGATIVES, ORDER, Share, stream

# Where the pairs of a corpus lie in a data root: the Karpathy file, and the folder of its images.
_LAYOUT = {
    "coco": ("coco/dataset_coco.json", "coco"),
    "flickr30k": ("flickr30k/dataset_flickr30k.json", "flickr30k/flickr30k-images"),
}
_TRAINING_SPLITS = ("train", "restval")

# Texts of a batch are padded to a multiple of this: kernels are prepared anew for every length they
# have not met (on CPUs milliseconds each), and so there are few lengths.
_ROUND_LENGTH = 4


class PairCorpus:
    """Images with captions, decoded and tokenised once and held in memory.

    A pass over the corpus takes every image once, with one of its captions drawn at random, so
    that a batch never holds the same image twice.

    Attributes:
        fingerprint: sha256 over pixels and token ids: what the model was shown.
        images: number of images.
        captions: number of captions.
    """

    kind = "pairs"

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
        self._processor = processor
        self._count = counts
        self._first = counts.cumsum(dim=0) - counts
        flat = [text for group in texts for text in group]
        encoded = processor.tokenizer(flat, truncation=True, max_length=max_text_length)
        self._tokens = [torch.tensor(ids) for ids in encoded["input_ids"]]
        self._lengths = torch.tensor([len(ids) for ids in self._tokens])
        self.max_text_length = int(self._lengths.max())
        self.images, self.captions = len(pixels), len(flat)
        digest = hashlib.sha256(pixels.numpy().tobytes())
        for ids in self._tokens:
            digest.update(ids.numpy().tobytes())
        digest.update(counts.numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def masking(self, config: PretrainConfig) -> MaskingSpec:
        """How this corpus's texts are masked under a configuration."""
        tokenizer = self._processor.tokenizer
        return MaskingSpec(
            mask_id=tokenizer.mask_token_id,
            special_ids=tuple(sorted(set(tokenizer.all_special_ids))),
            vocab_size=len(tokenizer),
            max_length=self.max_text_length,
            fraction=config.mask_fraction,
            geometric_p=config.mask_geometric_p,
            max_span=config.mask_max_span,
            level=config.mask_level,
        )

    def samples(self, step: int, config: PretrainConfig) -> tuple[Tensor, Tensor]:
        """Images and captions of a step, int64 [batch_size] each.

        Every pass is a permutation of the images; a rest smaller than a batch is left out of it.
        Within a window of `config.length_window` batches, samples are put together by the length
        of their captions, so that little padding is computed; the batches of a window then come in
        random order.

        Raises:
            UsageError: the corpus has fewer images than a batch.
        """
        size = config.batch_size
        if self.images < size:
            raise UsageError(
                f"training.batch_size {size} is more than the corpus's {self.images} images"
            )
        epoch, turn = divmod(step, self.images // size)
        window, place = divmod(turn, config.length_window)
        order = torch.randperm(self.images, generator=stream(config.seed, epoch, ORDER))
        usable = order[: self.images // size * size]
        images = usable[window * config.length_window * size :][: config.length_window * size]
        generator = stream(config.seed, step - place, CAPTIONS)
        count = self._count[images]
        noise = torch.rand(len(images), generator=generator)
        captions = self._first[images] + (noise * count).long().clamp_max(count - 1)
        by_length = self._lengths[captions].sort(stable=True).indices.view(-1, size)
        rows = by_length[torch.randperm(len(by_length), generator=generator)[place]]
        return images[rows], captions[rows]

    def batch(self, step: int, config: PretrainConfig, share: Share | None = None) -> PairBatch:
        """This process's part of the batch of a step, on the CPU."""
        rows = (share or Share()).rows(config.batch_size)
        images, captions = (chosen[rows] for chosen in self.samples(step, config))
        spec = self.masking(config)
        noise = spec.draw(config.batch_size, stream(config.seed, step, MASKS))[rows]
        negatives = torch.rand(
            config.batch_size, 2, generator=stream(config.seed, step, NEGATIVES)
        )[rows]
        tokens = [self._tokens[index] for index in captions.tolist()]
        lengths = self._lengths[captions]
        width = min(-(-int(lengths.max()) // _ROUND_LENGTH) * _ROUND_LENGTH, self.max_text_length)
        ids = torch.full((len(tokens), width), self._processor.tokenizer.pad_token_id)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
        attention_mask = (torch.arange(width) < lengths[:, None]).long()
        hidden = round(len(ids) * config.mlm_share) if config.mlm_weight else 0
        masked = mask_spans(ids[:hidden], noise[:hidden], spec)
        return PairBatch(
            pixel_values=self._normalised(images),
            input_ids=ids,
            attention_mask=attention_mask,
            masked_ids=masked.input_ids,
            labels=masked.labels,
            image_index=images,
            negative_noise=negatives,
        )

    def _normalised(self, images: Tensor) -> Tensor:
        """Pixels of some images as the model takes them, float32 [B, 3, S, S]."""
        mean = torch.tensor(self._processor.image_mean).view(1, 3, 1, 1)
        deviation = torch.tensor(self._processor.image_std).view(1, 3, 1, 1)
        return (self._pixels[images].float() / 255.0 - mean) / deviation


@dataclass(frozen=True)
class Corpora:
    """What a run trains on; corpora of images alone and of text alone join the pairs here.

    Attributes:
        pairs: images with captions.
    """

    pairs: PairCorpus

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {
            "pairs": {
                "images": self.pairs.images,
                "captions": self.pairs.captions,
                "fingerprint": self.pairs.fingerprint,
            }
        }


def read_pairs(root: Path, sets: Sequence[str]) -> list[KarpathyImage]:
    """The training images of some corpora of a data root, in the order of their files.

    Args:
        root: data root, with `coco/dataset_coco.json` or `flickr30k/dataset_flickr30k.json`.
        sets: which corpora: "coco", "flickr30k".

    Raises:
        UsageError: an unknown corpus.
        MissingData: a file is missing or holds no training image.
    """
    images: list[KarpathyImage] = []
    for name in sets:
        if name not in _LAYOUT:
            raise UsageError(f"unknown corpus of pairs {name!r}; known are: {', '.join(_LAYOUT)}")
        annotations, folder = (root / part for part in _LAYOUT[name])
        found = read_karpathy(annotations, folder, splits=_TRAINING_SPLITS)
        if not found:
            raise MissingData(f"{annotations} holds no image of the splits train and restval")
        images += found
    return images


def caption_texts(images: Sequence[KarpathyImage]) -> list[list[str]]:
    """The caption texts of each image."""
    return [[caption.text for caption in image.captions] for image in images]


def decode_images(paths: Sequence[Path], size: int, workers: int = 4) -> Tensor:
    """Decode and resize images to squares, as `Unimo2Processor` does.

    Args:
        paths: image files.
        size: side of the square in pixels.
        workers: decoding threads (PIL decodes outside the interpreter lock).

    Returns:
        uint8 [images, 3, size, size].

    Raises:
        BadData: an image cannot be decoded.
    """
    pixels = np.empty((len(paths), size, size, 3), dtype=np.uint8)

    def decode(item: tuple[int, Path]) -> None:
        index, path = item
        image = load_image(path)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BICUBIC)
        pixels[index] = np.asarray(image)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode, enumerate(paths)):
            pass
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def load_pair_corpus(
    images: Sequence[KarpathyImage], processor: Unimo2Processor, max_text_length: int
) -> PairCorpus:
    """Decode and tokenise the pairs of some images into a corpus in memory."""
    pixels = decode_images([image.path for image in images], processor.image_size)
    return PairCorpus(pixels, caption_texts(images), processor, max_text_length)
