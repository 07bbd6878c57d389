"""A small deterministic pair scorer and a Flickr30k folder of coloured squares, for tests.

A caption spells its image's colour, so that the scorer can be right; its noise makes it wrong now
and then. It runs in a process of its own too, where it is slow and gets killed.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.protocols import ItemFeatures, StackedFeatures


class ColourScorer:
    """Compares the colour of an image with the one that a caption spells."""

    device = "cpu"
    dtype = "float32"
    contrastive_weight = 0.3

    def __init__(self, weights: str = "a" * 64, batch_size: int = 3, delay: float = 0.0) -> None:
        """Make one; `delay` is slept before each call, `weights` stands for their sha256."""
        self.name = "colours"
        self.weights_sha256 = weights
        self.batch_size = batch_size
        self.settings = {"noise": 3.0}
        self.delay = delay
        self.images = self.texts = self.pairs = 0

    def encode_images(self, images: list[Image.Image]) -> list[ItemFeatures]:
        """The colour of each image's first pixel."""
        self.images += len(images)
        return [
            ItemFeatures({"colour": torch.tensor(image.getpixel((0, 0))).float()})
            for image in images
        ]

    def encode_texts(self, texts: list[str]) -> list[ItemFeatures]:
        """The colour that each text spells, and a number for the rest of its wording."""
        self.texts += len(texts)
        return [
            ItemFeatures(
                {
                    "colour": torch.tensor([float(word) for word in text.split()[1:4]]),
                    "wording": torch.tensor(float(sum(text.encode()) % 97)),
                }
            )
            for text in texts
        ]

    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Score by the distance of the colours, with noise."""
        time.sleep(self.delay)
        self.pairs += len(images)
        colours, colour = images.tensors["colour"], text.tensors["colour"]
        distance = (colours - colour).abs().sum(-1) / 60
        noise = torch.sin(colours.sum(-1) + text.tensors["wording"])
        itm, contrastive = 3 * noise - distance, -distance
        return {
            "score": itm + self.contrastive_weight * contrastive,
            "itm": itm,
            "contrastive": contrastive,
        }

    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """The distance of the colours alone."""
        return -(images.tensors["colour"] - text.tensors["colour"]).abs().sum(-1) / 60


def write_flickr(root: Path, images: int, captions: int = 5, splits: str = "test") -> Path:
    """Write a Flickr30k folder whose images are squares of one colour each."""
    folder = root / "flickr30k" / "flickr30k-images"
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    entries = []
    for i in range(images):
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        Image.new("RGB", (8, 8), colour).save(folder / f"{i}.png")
        sentences = []
        for j in range(captions):
            raw = " ".join(["colour", *map(str, colour), f"wording{j}"])
            sentences.append(
                {"sentid": i * captions + j, "imgid": i, "raw": raw, "tokens": raw.split()}
            )
        entries.append(
            {"imgid": i, "filename": f"{i}.png", "split": splits, "sentences": sentences}
        )
    content = {"dataset": "flickr30k", "images": entries}
    (root / "flickr30k" / "dataset_flickr30k.json").write_text(json.dumps(content))
    return root


def run_slowly(data: Path, output: Path, delay: float) -> None:
    """A run in a process of its own, to be killed."""
    import evals

    model = ColourScorer(delay=delay)
    evals.run("flickr", model=model, zero_shot=True, data_root=data, output=output)
