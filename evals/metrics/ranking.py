"""Recall@K from a score matrix, with its 95 % interval and chance level.

**Ties.** Candidates with equal scores stand in random order, and a recall is the expectation over
that order, computed exactly. A scorer that says the same of everything therefore gets chance and
not 1.0, whatever the order of the files. Without ties this is the usual argsort, digit by digit.
How many queries have their truth tied with a wrong candidate is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unimo2.errors import BadData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RECALL_AT = (1, 5, 10)
RESAMPLES = 2000
_CHUNK = 1 << 24  # comparisons held at once, so that 5,000 x 25,000 scores fit a small machine


@dataclass(frozen=True)
class Metric:
    """One number with what is needed to judge it.

    Attributes:
        value: In the metric's own unit (recalls: percent).
        n: Items that it is computed from.
        ci95: Lower and upper end of its 95 % interval.
        chance: Expected result of guessing; None where that has no meaning.
        at_chance: It cannot be told from guessing (see `within_noise_of_chance`), or is worse.
        higher_is_better: Direction.
        ties: Queries whose truth shares its score with a wrong candidate.
    """

    value: float
    n: int
    ci95: tuple[float, float]
    chance: float | None
    at_chance: bool
    higher_is_better: bool = True
    ties: int = 0

    @property
    def below_chance(self) -> bool:
        """Whether the whole interval is worse than guessing: labels or columns may be swapped.

        A rate without any hit has no interval that could tell it from guessing.
        """
        low, high = self.ci95
        if not self.at_chance or self.chance is None or (self.chance and low == high):
            return False
        return high < self.chance - 1e-9

    @property
    def mark(self) -> str:
        """What a table says beside the figure: "at chance", "below chance" or nothing."""
        return "below chance" if self.below_chance else "at chance" if self.at_chance else ""


@dataclass(frozen=True)
class Ranking:
    """Where the first right candidate of each query stands; every array is `[queries]`.

    Attributes:
        better: Wrong candidates that score higher than the best right one.
        tied_wrong: Wrong candidates that score the same as it.
        tied_right: Right candidates that score the same as it, itself included.
        truth_score: Score of the best right candidate.
        truth: Index of the best right candidate (the first of several).
        best: Index of the best candidate of all (the first of several).
        best_score: Its score.
    """

    better: Ints
    tied_wrong: Ints
    tied_right: Ints
    truth_score: Floats
    truth: Ints
    best: Ints
    best_score: Floats

    @property
    def rank(self) -> Floats:
        """Expected place of the first right candidate, 1 is best: `[queries]`."""
        return self.better + (self.tied_right + self.tied_wrong + 1) / (self.tied_right + 1)

    @property
    def ties(self) -> int:
        """Queries whose truth is tied with a wrong candidate."""
        return int(np.count_nonzero(self.tied_wrong))

    def hits(self, k: int) -> Floats:
        """Probability that a right candidate is among the first k: `[queries]`, 0 to 1."""
        return hits_at(k, self.better, self.tied_wrong, self.tied_right)


def hits_at(k: int, better: Ints, tied_wrong: Ints, tied_right: Ints) -> Floats:
    """Probability that a right candidate is among the first k.

    With m places left after the better ones, f wrong and t right candidates tied for them, all t
    miss with probability C(f, m) / C(t + f, m).

    Args:
        k: Places that count.
        better: `[queries]`, as in `Ranking`.
        tied_wrong: `[queries]`.
        tied_right: `[queries]`.

    Returns:
        `[queries]`, 0 to 1.
    """
    places = np.maximum(k - better, 0)
    hits = (places > 0).astype(np.float64)
    for i in np.flatnonzero((places > 0) & (tied_wrong > 0)):
        right = int(tied_right[i])
        hits[i] = probability_of_hit(right, right + int(tied_wrong[i]), int(places[i]))
    return hits


def probability_of_hit(right: int, candidates: int, k: int) -> float:
    """Chance that k candidates drawn without replacement hold a right one (hypergeometric).

    Args:
        right: Right candidates.
        candidates: All candidates, `right` included.
        k: Number of units drawn; all if k is larger.

    Returns:
        1 - C(candidates - right, k) / C(candidates, k).
    """
    k = min(k, candidates)
    ways = comb(candidates, k)
    return (ways - comb(candidates - right, k)) / ways


def rank_images(scores: ArrayLike, caption_image: ArrayLike) -> Ranking:
    """Image retrieval: for each caption, where its image stands among all images.

    Args:
        scores: `[images, captions]`, higher is better.
        caption_image: `[captions]`, index of the image that each caption describes.

    Returns:
        One query per caption.

    Raises:
        BadData: Scores that are NaN, or shapes and indices that do not fit.
    """
    matrix, owner = _checked(scores, caption_image)
    return _rank_columns(matrix, owner[None, :] == np.arange(len(matrix))[:, None])


def rank_texts(scores: ArrayLike, caption_image: ArrayLike) -> Ranking:
    """Text retrieval: for each image, where the best of its captions stands among all captions.

    Arguments and errors as for `rank_images`; returns one query per image.
    """
    matrix, owner = _checked(scores, caption_image)
    return _rank_columns(matrix.T, owner[:, None] == np.arange(len(matrix))[None, :])


def rank_classes(scores: ArrayLike, targets: ArrayLike) -> Ranking:
    """Classification: for each item, where its class stands among all classes.

    Args:
        scores: `[items, classes]`, higher is better.
        targets: `[items]`, number of the class of each.

    Returns:
        One query per item.

    Raises:
        BadData: Scores that are NaN.
    """
    matrix, owner = np.asarray(scores), np.asarray(targets, dtype=np.int64)
    if np.isnan(matrix).any():
        raise BadData(
            f"{np.isnan(matrix).sum()} class scores are NaN: the model's weights "
            "are damaged, or try --dtype float32"
        )
    return _rank_columns(matrix.T, owner[None, :] == np.arange(matrix.shape[1])[:, None])


def _checked(scores: ArrayLike, caption_image: ArrayLike) -> tuple[NDArray[np.floating], Ints]:
    """The score matrix and the captions' images, if they can be ranked."""
    matrix = np.asarray(scores)
    owner = np.asarray(caption_image)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise BadData(
            f"scores must be a matrix [images, captions], not {matrix.dtype} {matrix.shape}"
        )
    images, captions = matrix.shape
    if owner.shape != (captions,):
        raise BadData(
            f"the score matrix has {captions} captions, the annotations have {owner.size}"
        )
    if np.isnan(matrix).any():
        image, caption = np.argwhere(np.isnan(matrix))[0]
        raise BadData(
            f"{np.isnan(matrix).sum()} scores are NaN, the first at image {image}, "
            f"caption {caption}"
        )
    if captions == 0 or owner.min() < 0 or owner.max() >= images:
        raise BadData(f"a caption belongs to an image outside 0..{images - 1}, or there are none")
    empty = np.flatnonzero(np.bincount(owner, minlength=images) == 0)
    if len(empty):
        raise BadData(f"{len(empty)} images have no caption, the first is number {empty[0]}")
    return matrix, owner.astype(np.int64)


def _rank_columns(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> Ranking:
    """Rank the candidates (rows) of each query (column), some columns at a time."""
    candidates, queries = scores.shape
    step = max(1, _CHUNK // candidates)
    parts = [
        _rank_chunk(scores[:, start : start + step], right[:, start : start + step])
        for start in range(0, queries, step)
    ]
    return Ranking(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _rank_chunk(
    scores: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[Ints, Ints, Ints, Floats, Ints, Ints, Floats]:
    """The fields of `Ranking` for some queries."""
    truth_score = np.where(right, scores, -np.inf).max(axis=0)
    # The mask decides, not the score: -inf is a legal score of a right candidate.
    truth = (right & (scores == truth_score)).argmax(axis=0)
    equal = scores == truth_score
    best = scores.argmax(axis=0)
    return (
        ((scores > truth_score) & ~right).sum(axis=0, dtype=np.int64),
        (equal & ~right).sum(axis=0, dtype=np.int64),
        (equal & right).sum(axis=0, dtype=np.int64),
        truth_score.astype(np.float64),
        truth.astype(np.int64),
        best.astype(np.int64),
        scores[best, np.arange(scores.shape[1])].astype(np.float64),
    )


def bootstrap_counts(groups: int, resamples: int, seed: int) -> Ints:
    """How often each group is drawn in each bootstrap resample.

    Args:
        groups: Units drawn with replacement (images).
        resamples: Number of resamples.
        seed: Of the draws; the same seed draws the same units for every metric and run, which is
            what a paired comparison needs.

    Returns:
        `[resamples, groups]`; each row sums to `groups`.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1.0 / groups), size=resamples)


def mean_interval(values: Floats, group: Ints, counts: Ints) -> tuple[float, float]:
    """Percentile bootstrap of a mean whose items come in groups that are drawn together.

    Args:
        values: `[items]`.
        group: `[items]`, the group of each item, 0 to groups - 1, none of them empty.
        counts: `[resamples, groups]` from `bootstrap_counts`.

    Returns:
        The 2.5th and 97.5th percentile of the resampled means.
    """
    groups = counts.shape[1]
    sums = counts @ np.bincount(group, weights=values, minlength=groups)
    sizes = counts @ np.bincount(group, minlength=groups)
    low, high = np.percentile(sums / sizes, [2.5, 97.5])
    return float(low), float(high)


def within_noise_of_chance(value: float, low: float, chance: float, units: int) -> bool:
    """Whether a rate cannot be told from guessing with 97.5 % confidence, by two tests.

    The bootstrap alone is blind where every item is a hit: four images of four right have the
    interval [1, 1] even if guessing gets all four more often than not. So the number of hits must
    be too large for a binomial law as well, in which an image counts once (its captions, which a
    model may get right or wrong together, are not taken for independent).

    Args:
        value: The rate, 0 to 1.
        low: Lower end of its 95 % interval.
        chance: Expected result of guessing, 0 to 1.
        units: Independent items (images).

    Returns:
        True if either test leaves guessing possible.
    """
    from scipy.stats import binom  # a second to import, which help and listings need not pay

    rounding = 1e-9
    if low <= chance + rounding:
        return True
    hits = np.floor(value * units + rounding)

    return bool(binom.sf(hits - 1, units, min(chance, 1.0)) > 0.025)


def recall(
    ranking: Ranking, k: int, group: Ints, right: Ints, candidates: int, counts: Ints
) -> Metric:
    """Recall@K in percent with interval and chance level.

    Args:
        ranking: Ranking of the queries.
        k: Places that count.
        group: `[queries]`, the image of each query; an image's captions are resampled together.
        right: `[queries]`, how many candidates are right for each query.
        candidates: Total number of candidates.
        counts: From `bootstrap_counts`.

    Returns:
        The metric; its chance level is the mean over the queries of `probability_of_hit`.
    """
    hits = ranking.hits(k)
    low, high = mean_interval(hits, group, counts)
    sizes, queries = np.unique(right, return_counts=True)
    by_size = [probability_of_hit(int(size), candidates, k) for size in sizes]
    chance = 100.0 * float(np.dot(by_size, queries) / queries.sum())
    return Metric(
        value=100.0 * float(hits.mean()),
        n=len(hits),
        ci95=(100.0 * low, 100.0 * high),
        chance=chance,
        at_chance=within_noise_of_chance(float(hits.mean()), low, chance / 100.0, counts.shape[1]),
        ties=ranking.ties,
    )


def retrieval_metrics(
    images: Ranking,
    texts: Ranking,
    caption_image: ArrayLike,
    seed: int = 0,
    at: Sequence[int] = RECALL_AT,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:
    """Recall@K both ways.

    Args:
        images: From `rank_images`.
        texts: From `rank_texts`.
        caption_image: `[captions]`, index of the image that each caption describes.
        seed: Seed for the bootstrap.
        at: The K's.
        resamples: Number of resamples of the bootstrap over images.

    Returns:
        "image_retrieval/R@1" ... and "text_retrieval/R@1" ..., in percent.
    """
    owner = np.asarray(caption_image, dtype=np.int64)
    count = len(texts.better)
    counts = bootstrap_counts(count, resamples, seed)
    one = np.ones(len(owner), dtype=np.int64)
    own_captions = np.bincount(owner, minlength=count)
    metrics = {f"image_retrieval/R@{k}": recall(images, k, owner, one, count, counts) for k in at}
    each = np.arange(count)
    for k in at:
        metrics[f"text_retrieval/R@{k}"] = recall(texts, k, each, own_captions, len(owner), counts)
    return metrics
