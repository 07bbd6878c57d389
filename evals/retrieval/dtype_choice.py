"""`--dtype auto`: bfloat16 where a short measurement finds it faster and ranks stay the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evals.benchmark import DtypeChoice
from evals.metrics.ranking import rank_images, rank_texts
from evals.retrieval.writer import Scores
from unimo2.formats.images import load_image
from zoo.protocols import ImagePreparer, StackedFeatures

if TYPE_CHECKING:
    from PIL.Image import Image

    from zoo.protocols import ItemFeatures, PairScorer

SAMPLE = 32  # images, and as many captions, one of each
_SECONDS = 30.0  # after which no further caption is taken: a base-size model on a CPU is slow
_FASTER = 1.1  # less is noise, and not worth another rounding


def choose(
    exact: PairScorer,
    fast: PairScorer,
    images: Sequence[Path],
    captions: Sequence[str],
    seconds: float = _SECONDS,
) -> DtypeChoice:
    """Score a sample with both, caption by caption in turn.

    Args:
        exact: The model in float32.
        fast: The same model in a lower precision.
        images: Image files.
        captions: Their captions, one of each image in the same order.
        seconds: Time after which no further caption is taken; at least one is.

    Returns:
        The choice.

    Raises:
        BadData: An image that cannot be decoded.
    """
    pictures: list[Image] = [load_image(path) for path in images]
    stacks = [_encode(model, pictures) for model in (exact, fast)]
    columns: list[list[Scores]] = [[], []]
    ratios = []
    begun = time.perf_counter()
    for place, caption in enumerate(captions):
        took = []
        for side, model in enumerate((exact, fast)):
            text = model.encode_texts([caption])[0]
            if not place:
                _column(model, stacks[side], text)  # first calls are slow
            started = time.perf_counter()
            columns[side].append(_column(model, stacks[side], text))
            took.append(time.perf_counter() - started)
        ratios.append(took[0] / took[1])
        if time.perf_counter() - begun > seconds:
            break
    before, after = (np.stack(side, axis=1) for side in columns)
    changed, queries = _changed_ranks(before, after)
    speedup = statistics.median(ratios)
    return DtypeChoice(
        fast=speedup >= _FASTER and not changed,
        speedup=speedup,
        changed=changed,
        queries=queries,
        images=len(images),
        captions=before.shape[1],
    )


def _encode(model: PairScorer, pictures: Sequence[Image]) -> list[StackedFeatures]:
    """The images' features in the stacks of a run."""
    size = model.batch_size
    cuts = [pictures[start : start + size] for start in range(0, len(pictures), size)]
    stacks = [StackedFeatures.of(model.encode_images(cut)) for cut in cuts]
    return model.prepare_images(stacks) if isinstance(model, ImagePreparer) else stacks


def _column(model: PairScorer, stacks: Sequence[StackedFeatures], text: ItemFeatures) -> Scores:
    """One caption with all sampled images, `[images]`; on the CPU, so that the clock sees all."""
    parts = [model.score_pairs(stack, text)["score"].float().cpu().numpy() for stack in stacks]
    return np.concatenate(parts).astype(np.float32)


def _changed_ranks(before: Scores, after: Scores) -> tuple[int, int]:
    """Queries whose truth has another rank, and all queries; caption i belongs to image i."""
    captions = before.shape[1]
    own = np.arange(captions)
    # A stopped measurement has fewer captions than images: those without one stay out.
    both = (before[:captions], after[:captions])
    images = [rank_images(scores, own).rank for scores in both]
    texts = [rank_texts(scores, own).rank for scores in both]
    changed = np.count_nonzero(images[0] != images[1]) + np.count_nonzero(texts[0] != texts[1])
    return int(changed), 2 * captions
