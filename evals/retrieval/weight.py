"""The weight of the contrastive score in retrieval, chosen on a development split.

Retrieval's score is `itm + w * contrastive`. The released weight of 0.3 belongs to a contrastive
score whose text side is not normalised; a model with both sides normalised needs its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.distributed import Team
from evals.metrics.ranking import rank_images, rank_texts
from unimo2.errors import IncompatibleModel, UsageError

if TYPE_CHECKING:
    from unimo2.console import Report
    from unimo2.formats.karpathy import KarpathyImage
    from zoo.protocols import PairScorer

# No weight at all, then steps of the square root of two: finer than recalls of some hundred
# queries can tell apart. At the last, logits of about 10 only break ties of a normalised score.
WEIGHTS = (0.0, *(round(0.0625 * 2 ** (step / 2), 4) for step in range(33)))


@dataclass(frozen=True)
class WeightChoice:
    """A weight and how it was found.

    Attributes:
        weight: The chosen weight.
        mean_recall_at_1: Mean of the R@1 of both directions there, in percent.
        images: Images of the development split that were used.
        captions: Their captions.
        curve: The mean R@1 of every weight that was tried, as (weight, percent).
    """

    weight: float
    mean_recall_at_1: float
    images: int
    captions: int
    curve: tuple[tuple[float, float], ...]


def scan_weights(
    itm: ArrayLike,
    contrastive: ArrayLike,
    caption_image: ArrayLike,
    weights: Sequence[float] = WEIGHTS,
) -> WeightChoice:
    """Find the weight around which the mean R@1 of image and text retrieval is largest.

    Neighbouring weights rank almost alike, so that the best of them is best by chance: a weight
    counts with two on either side (half to twice its size). Where several are equally good, the
    middle one of them is taken.

    Args:
        itm: `[images, captions]`, logits of "match".
        contrastive: `[images, captions]`, contrastive scores.
        caption_image: `[captions]`, index of the image that each caption describes.
        weights: Candidate weights, at least one.

    Returns:
        The choice.

    Raises:
        BadData: Scores that are NaN, or shapes and indices that do not fit.
        UsageError: No weights to try.
    """
    if not weights:
        raise UsageError("scan_weights needs at least one weight")
    logits = np.asarray(itm, dtype=np.float64)
    scores = np.asarray(contrastive, dtype=np.float64)
    recalls = [_mean_recall(logits + weight * scores, caption_image) for weight in weights]
    smooth = [float(np.mean(recalls[max(0, i - 2) : i + 3])) for i in range(len(recalls))]
    best = max(smooth)
    equal = [i for i, recall in enumerate(smooth) if recall >= best - 1e-9]
    chosen = equal[len(equal) // 2]
    return WeightChoice(
        weight=float(weights[chosen]),
        mean_recall_at_1=recalls[chosen],
        images=len(logits),
        captions=logits.shape[1],
        curve=tuple(zip(map(float, weights), recalls, strict=True)),
    )


def _mean_recall(scores: NDArray[np.float64], caption_image: ArrayLike) -> float:
    """Mean of the R@1 of both directions, in percent."""
    by_image = rank_images(scores, caption_image).hits(1).mean()
    by_text = rank_texts(scores, caption_image).hits(1).mean()
    return 50.0 * float(by_image + by_text)


def weighing(
    images: Sequence[KarpathyImage], team: Team
) -> Callable[[PairScorer], dict[str, float]]:
    """Validation on some images during training: R@1 at the best weight, and that weight."""

    def measured(model: PairScorer) -> dict[str, float]:
        choice = choose_weight(model, images, report=lambda progress: None, team=team)
        return {"recall@1": choice.mean_recall_at_1, "contrastive_weight": choice.weight}

    return measured


def choose_weight(
    model: PairScorer, images: Sequence[KarpathyImage], report: Report, team: Team | None = None
) -> WeightChoice:
    """Score a development split once and choose the weight from the parts of the score.

    Args:
        model: A scorer with the parts "itm" and "contrastive".
        images: The split, with its captions.
        report: Called as the scoring progresses.
        team: Processes that score together; this one alone by default.

    Returns:
        The choice, the same in all processes.

    Raises:
        IncompatibleModel: The model's score has no such parts.
    """
    from evals.batch_sizes import Search
    from evals.retrieval.planner import make_plan
    from evals.retrieval.scorer import score
    from evals.retrieval.writer import BlockWriter

    texts = [caption.text for image in images for caption in image.captions]
    owner = [row for row, image in enumerate(images) for _ in image.captions]
    plan, team = make_plan(len(images), len(texts)), team or Team()
    own = tuple(block for unit, block in enumerate(plan.blocks) if team.share.takes(unit))
    with team.workplace() as folder:
        writer = BlockWriter(folder, len(images))
        paths = [image.path for image in images]
        mine = replace(plan, remaining=own)
        score(model, paths, texts, mine, writer, Search(model.batch_size), report)
        parts = team.told(lambda: writer.assemble(plan.blocks)[0])
    if "itm" not in parts or "contrastive" not in parts:
        raise IncompatibleModel(f"model '{model.name}' has no parts to weigh against each other")
    return scan_weights(parts["itm"], parts["contrastive"], owner)
