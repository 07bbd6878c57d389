"""Speed of a dual encoder's towers against a plain loop over transformers, and of the rest.

Both ways are timed in turn on the same images and captions. The rest of `unimo2 eval flickr` (products
of vectors, blocks on disk, ranks, intervals, samples) is run as it is for 1,000 images and 5,000
captions, by a model that has its vectors ready.
"""

from __future__ import annotations

import statistics
import string
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from evals.bench.retrieval import CAPTIONS, IMAGES
from evals.benchmarks.flickr import Flickr, RetrievalData
from evals.runner import make_request
from evals.splits import SplitInfo
from unimo2.bench.timing import interleave, ratio, seconds
from unimo2.console import silent
from unimo2.formats.karpathy import Caption, KarpathyImage
from zoo.families.clip import ClipEncoder

PHOTO = (500, 375)  # pixels of a usual image of Flickr30k
WORDS = (8, 21)  # tokens of a usual caption, at least and less than
LOOP_BATCH = 32  # of the plain loop


@dataclass(frozen=True)
class TowerSpeed:
    """Figures of one run.

    Attributes:
        images_per_second: Rate of `embed_images`, from decoded images to vectors, median.
        plain_images_per_second: Rate of the plain loop.
        images_ratio: Time of the plain loop by ours, the median of the rounds' ratios.
        texts_per_second: Rate of `embed_texts`.
        plain_texts_per_second: Rate of the plain loop.
        texts_ratio: As for images.
        rest_seconds: Everything of the protocol but the towers, at 1,000 x 5,000.
        rest_share: Its share of the protocol's time, in percent.
        largest_difference: Between vectors of both ways.
    """

    images_per_second: float
    plain_images_per_second: float
    images_ratio: float
    texts_per_second: float
    plain_texts_per_second: float
    texts_ratio: float
    rest_seconds: float
    rest_share: float
    largest_difference: float


def random_clip(config: CLIPConfig, device: torch.device) -> ClipEncoder:
    """The adapter of a CLIP with random weights, which are as fast as any, and a tokenizer of letters."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=[])
    text: Any = config.text_config
    vision: Any = config.vision_config
    side = int(vision.image_size)
    text.bos_token_id, text.eos_token_id = len(tokens) - 2, len(tokens) - 1
    text.vocab_size = max(text.vocab_size, len(tokens))
    torch.manual_seed(0)
    model = CLIPModel(config).eval().requires_grad_(False).to(device)
    processor = CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    return ClipEncoder("random CLIP", model, tokenizer, processor, "0" * 64)


def measure(
    encoder: ClipEncoder,
    images: int,
    texts: int,
    repeats: int,
    rest: tuple[int, int] = (IMAGES, CAPTIONS),
) -> TowerSpeed:
    """Time the towers in turn with a plain loop, and the rest of the protocol.

    Args:
        encoder: The adapter that `unimo2 eval` uses.
        images: Images of a round.
        texts: Captions of a round.
        repeats: Rounds.
        rest: Images and captions that the rest is timed with.

    Returns:
        The figures.
    """
    random = np.random.default_rng(0)
    photos = [
        Image.fromarray(random.integers(0, 256, (*PHOTO[::-1], 3), dtype=np.uint8))
        for _ in range(images)
    ]
    letters = list(string.ascii_lowercase)
    captions = [" ".join(random.choice(letters, random.integers(*WORDS))) for _ in range(texts)]
    device = torch.device(encoder.device)
    calls = (
        partial(encoder.embed_images, photos),
        partial(_plain_images, encoder, photos),
        partial(encoder.embed_texts, captions),
        partial(_plain_texts, encoder, captions),
    )
    ours, plain, own_texts, plain_texts = interleave(calls, device, repeats)
    vectors, others = calls[0](), calls[1]()
    took = [statistics.median(some) for some in (ours, plain, own_texts, plain_texts)]
    per_second = [
        count / time for count, time in zip((images, images, texts, texts), took, strict=True)
    ]
    rest_seconds = _rest(*rest, vectors.shape[1])
    towers = rest[0] / per_second[0] + rest[1] / per_second[2]
    return TowerSpeed(
        images_per_second=per_second[0],
        plain_images_per_second=per_second[1],
        images_ratio=ratio(plain, ours),
        texts_per_second=per_second[2],
        plain_texts_per_second=per_second[3],
        texts_ratio=ratio(plain_texts, own_texts),
        rest_seconds=rest_seconds,
        rest_share=100 * rest_seconds / (rest_seconds + towers),
        largest_difference=float((vectors - others).abs().max()),
    )


@torch.inference_mode()
def _plain_images(encoder: ClipEncoder, images: Sequence[Image.Image]) -> Tensor:
    """Vectors of images as transformers' documentation computes them, 32 in a call."""
    parts = []
    for start in range(0, len(images), LOOP_BATCH):
        some = list(images[start : start + LOOP_BATCH])
        inputs = encoder.processor(images=some, return_tensors="pt").to(encoder.device)
        found = encoder.model.get_image_features(**inputs).pooler_output
        parts.append(found / found.norm(dim=-1, keepdim=True))
    return torch.cat(parts)


@torch.inference_mode()
def _plain_texts(encoder: ClipEncoder, texts: Sequence[str]) -> Tensor:
    """Vectors of texts likewise, padded to the longest of a call."""
    parts = []
    for start in range(0, len(texts), LOOP_BATCH):
        some = list(texts[start : start + LOOP_BATCH])
        inputs = encoder.tokenizer(some, padding=True, truncation=True, max_length=encoder.longest,
                                   return_tensors="pt").to(encoder.device)  # fmt: skip
        found = encoder.model.get_text_features(**inputs).pooler_output
        parts.append(found / found.norm(dim=-1, keepdim=True))
    return torch.cat(parts)


class _Ready:
    """A dual encoder that has its vectors ready; images are told by their place."""

    name, weights_sha256, device, dtype = "ready", "0" * 64, "cpu", "float32"
    similarity, batch_size = "cosine", 64

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.settings: Mapping[str, object] = {}
        self.given = 0

    def embed_images(self, images: Sequence[Any]) -> Tensor:
        """The vectors of the next images."""
        self.given += len(images)
        return self.vectors[self.given - len(images) : self.given]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """The vectors of numbered texts."""
        return self.vectors[[int(text) % len(self.vectors) for text in texts]]


def _rest(images: int, captions: int, width: int) -> float:
    """Seconds of the protocol without towers and without decoding photos."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(images, width, generator=generator), dim=-1)
    each = captions // images
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "dot.png"
        Image.new("RGB", (1, 1)).save(path)
        listed = tuple(
            KarpathyImage(
                id=number,
                path=path,
                filename=path.name,
                split="test",
                captions=tuple(
                    Caption(number * each + place, str(number), ()) for place in range(each)
                ),
                cocoid=None,
            )
            for number in range(images)
        )
        extent = SplitInfo("", "test", "paper", "", "images", images, None, False, None)
        data, request = RetrievalData(extent, "", listed), make_request("flickr", "ready", {})
        run = partial(Flickr().measure, _Ready(vectors), data, request, Path(name), silent)
        return seconds(run, torch.device("cpu"))
