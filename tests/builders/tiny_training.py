"""A training run of a second, for the tests of the trainer; also one that kills its process."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

import numpy as np
import torch

from unimo2 import Unimo2Config
from unimo2.data.corpora import TrainingImage
from unimo2.data.images import ImageStore
from unimo2.data.index import Index
from unimo2.data.pairs import PairCorpus
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.training.config import PretrainConfig
from unimo2.training.curriculum import Corpora
from unimo2.training.logging import TrainingProgress
from unimo2.training.pretraining import PretrainingRun, pretrain
from unimo2.training.trainer import TrainSummary

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (250,) * 3}
PLACES = {"left": (slice(4, 12), slice(1, 7)), "right": (slice(4, 12), slice(9, 15))}

CONFIG = PretrainConfig(
    steps=12,
    batch_size=4,
    learning_rate=3e-3,
    warmup_ratio=0.1,
    checkpoint_every=3,
    log_every=1,
    precision="fp32",
    max_text_length=24,
)


def held_pairs(
    pixels, texts, processor, limit: int, setting="images (training.batch_size)"
) -> PairCorpus:
    """Images with captions, both in memory: uint8 [images, 3, S, S] and their texts."""
    index = Index(TrainingImage(Path("nowhere"), tuple(group)) for group in texts)
    return corpus_of(index, processor, limit, ImageStore.of_pixels(pixels), setting=setting)


def corpus_of(
    index: Index,
    processor,
    limit: int,
    store=None,
    held=True,
    setting="images (training.batch_size)",
) -> PairCorpus:
    """Images with captions, in memory or in files."""
    store = store or ImageStore(index.sources, processor.image_size, held)
    captions = index.captions(processor.tokenizer, limit, held)
    return PairCorpus(store, captions, index.counts, processor, setting=setting)


def prepared(pairs=None, corpora=None, **changes) -> PretrainingRun:
    """What pre-training is given: these corpora, or the tiny ones, and a tiny model."""
    processor = corpus()[1]
    corpora = corpora or Corpora(pairs or corpus()[0], processor)
    return PretrainingRun(processor, model_config(processor, **changes), corpora)


@cache
def corpus() -> tuple[PairCorpus, Unimo2Processor]:
    """Twelve images of a square on the left and one on the right, two captions each."""
    pixels, texts = [], []
    for left in COLOURS:
        for right in COLOURS:
            if left == right:
                continue
            image = np.full((3, 16, 16), 90, dtype=np.uint8)
            for place, colour in (("left", left), ("right", right)):
                rows, columns = PLACES[place]
                image[:, rows, columns] = np.array(COLOURS[colour], dtype=np.uint8)[:, None, None]
            pixels.append(image)
            texts.append(
                [
                    f"a {left} square on the left and a {right} square on the right",
                    f"{right} on the right of {left}",
                ]
            )
    tokenizer = train_tokenizer([text for group in texts for text in group], vocab_size=300)
    processor = Unimo2Processor(tokenizer=tokenizer, image_size=16)
    stack = torch.from_numpy(np.stack(pixels))
    return held_pairs(stack, texts, processor, CONFIG.max_text_length), processor


SIZES = {
    "image_size": 16,
    "patch_size": 8,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "vision_layers": 1,
    "text_layers": 1,
    "fusion_layers": 2,
}
"""Of a model of a few thousand parameters."""


def model_config(processor: Unimo2Processor, **changes) -> Unimo2Config:
    """A model of a few thousand parameters, with dropout, so that its generator matters."""
    sizes = {
        **SIZES,
        "hidden_dropout": 0.1,
        "dictionary_size": 16,
        "grounded_tokens": 4,
        "vocab_size": len(processor.tokenizer),
    }
    return Unimo2Config.mini(**{**sizes, **changes})


def run(
    output: Path, config: PretrainConfig = CONFIG, resume="auto", on_progress=None, **changes
) -> TrainSummary:
    """Train on the tiny corpus."""
    return pretrain(
        config,
        prepared(**changes),
        output,
        resume=resume,
        device="cpu",
        on_progress=on_progress,
    )


def run_until_killed(output: Path, kill_after: int) -> None:
    """Train, print each step, and send this process SIGKILL after one of them (0: never)."""

    def listen(progress: TrainingProgress) -> None:
        print(progress.step, flush=True)
        if progress.step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    run(output, on_progress=listen)
