"""`--rerank K`: the contrastive score chooses the pairs, the fused score ranks them.

Each direction has its own shortlist: image retrieval the K images of every caption with the highest
contrastive scores, text retrieval the K captions of every image. Pairs of either are fused, once.
In a direction's ranking its shortlist stands first, by fused score; everything else stands below,
by contrastive score, even where the other direction's shortlist had it fused. Candidates that tie
with the K-th are all in, so that the order of files decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.metrics.ranking import RECALL_AT, Floats, Ints, Ranking, rank_images, rank_texts
from evals.retrieval.writer import Scores

SUGGESTED = 64  # the K that is proposed where an exhaustive run takes long

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Shortlists:
    """Which pairs are shortlisted, for each direction; both `[images, captions]`.

    Attributes:
        images: Image retrieval: a column holds the images that its caption keeps.
        texts: Text retrieval: a row holds the captions that its image keeps.
    """

    images: Mask
    texts: Mask

    @classmethod
    def of(cls, contrastive: Scores, k: int) -> Shortlists:
        """Choose by contrastive scores.

        Args:
            contrastive: `[images, captions]`, every pair's.
            k: Candidates of a query, at least 1; all of them if there are fewer.

        Returns:
            The shortlists.
        """
        return cls(top_k(contrastive, k, axis=0), top_k(contrastive, k, axis=1))

    @property
    def pairs(self) -> Mask:
        """Pairs that must be fused, `[images, captions]`."""
        return self.images | self.texts

    def rank(
        self, scores: Scores, contrastive: Scores, caption_image: Ints
    ) -> tuple[Ranking, Ranking]:
        """Rank the candidates of both directions.

        Args:
            scores: `[images, captions]`, fused; whatever outside `pairs` (NaN).
            contrastive: `[images, captions]`, every pair's.
            caption_image: `[captions]`, index of each caption's image.

        Returns:
            Image retrieval and text retrieval. `truth_score` and `best_score` are contrastive scores
            where the candidate is not on the direction's shortlist.
        """
        by_caption = rank_images(two_tiers(scores, contrastive, self.images), caption_image)
        places = two_tiers(scores.T, contrastive.T, self.texts.T).T
        by_image = rank_texts(places, caption_image)
        shown = np.where(self.images, scores, contrastive)
        captions = np.arange(shown.shape[1])
        by_caption = replace(
            by_caption,
            truth_score=shown[by_caption.truth, captions].astype(np.float64),
            best_score=shown[by_caption.best, captions].astype(np.float64),
        )
        shown = np.where(self.texts, scores, contrastive)
        images = np.arange(len(shown))
        by_image = replace(
            by_image,
            truth_score=shown[images, by_image.truth].astype(np.float64),
            best_score=shown[images, by_image.best].astype(np.float64),
        )
        return by_caption, by_image


def most_pairs(images: int, captions: int, k: int) -> int:
    """Pairs that are fused at most, without ties."""
    return min(images * captions, min(k, images) * captions + min(k, captions) * images)


def top_k(scores: NDArray[np.floating[Any]], k: int, axis: int) -> Mask:
    """The k highest along an axis, and all that tie with the k-th.

    Args:
        scores: Scores of any shape.
        k: At least 1; all are chosen where there are fewer.
        axis: Along which they are compared.

    Returns:
        Which are chosen, in the same shape.
    """
    size = scores.shape[axis]
    place = size - min(k, size)
    border = np.take(np.partition(scores, place, axis=axis), [place], axis=axis)
    return scores >= border


def two_tiers(
    scores: NDArray[np.floating[Any]], contrastive: NDArray[np.floating[Any]], shortlist: Mask
) -> NDArray[np.int64]:
    """Two tiers as one number that keeps order and ties, higher is better; queries are columns.

    Args:
        scores: `[candidates, queries]`, of the shortlisted; whatever elsewhere.
        contrastive: `[candidates, queries]`.
        shortlist: `[candidates, queries]`, who stands above.

    Returns:
        `[candidates, queries]`.
    """
    places = np.empty(scores.shape, dtype=np.int64)
    for query in range(scores.shape[1]):
        inside = shortlist[:, query]
        below = np.unique(contrastive[~inside, query], return_inverse=True)
        above = np.unique(scores[inside, query], return_inverse=True)
        places[~inside, query] = below[1]
        places[inside, query] = len(below[0]) + above[1]
    return places


@dataclass(frozen=True)
class Coverage:
    """What a shortlisted run leaves open.

    Attributes:
        highest: Highest ITM logit of the pairs in the last quarter of their shortlists.
        captions: By k, the captions among whose first k images another one might be.
        images: By k, the images among whose first k captions another one might be.
        queries: Number of captions and of images.
    """

    highest: float
    captions: dict[int, int]
    images: dict[int, int]
    queries: tuple[int, int]

    @classmethod
    def of(
        cls, k: int, itm: Scores, contrastive: Scores, weight: float, at: Sequence[int]
    ) -> Coverage:
        """Count the queries that are open.

        Args:
            k: Of the run's shortlists.
            itm: `[images, captions]`, NaN for pairs that were not fused.
            contrastive: `[images, captions]`, every pair's.
            weight: Weight of the contrastive score.
            at: Numbers of first places, each at least 1.

        Returns:
            The counts.
        """
        shortlists, before = (Shortlists.of(contrastive, n) for n in (k, max(1, 3 * k // 4)))
        last = (shortlists.images & ~before.images) | (shortlists.texts & ~before.texts)
        highest = float(np.nanmax(itm[last] if last.any() else itm))
        most = np.where(np.isnan(itm), highest, itm).astype(np.float64) + weight * contrastive
        return cls(
            highest=highest,
            captions={n: still_open(most, shortlists.images, n) for n in at},
            images={n: still_open(most.T, shortlists.texts.T, n) for n in at},
            queries=(most.shape[1], most.shape[0]),
        )

    def note(self) -> str:
        """Notes for the record."""
        at = "/".join(map(str, self.captions))
        captions = "/".join(f"{count:,}" for count in self.captions.values())
        images = "/".join(f"{count:,}" for count in self.images.values())
        return (
            f"pairs outside the shortlists could be among the first {at} of {captions} of "
            f"{self.queries[0]:,} captions and of {images} of {self.queries[1]:,} images, if their "
            f"ITM logits reached {self.highest:.2f}, the highest of the last quarter of the "
            "shortlists; everywhere else an exhaustive run has the same first places"
        )


def still_open(most: Floats, shortlist: Mask, k: int) -> int:
    """Queries whose first k a candidate from outside the shortlist may be among.

    Args:
        most: `[candidates, queries]`, the score of the shortlisted, and the highest that it might
            be of the others.
        shortlist: `[candidates, queries]`.
        k: At least 1. A query with fewer candidates on its shortlist is open, if there are others.

    Returns:
        Their number; ties are open.
    """
    inside = np.where(shortlist, most, -np.inf)
    place = max(0, len(inside) - k)
    last = np.partition(inside, place, axis=0)[place]
    outside = np.where(shortlist, -np.inf, most).max(axis=0)
    return int(np.count_nonzero((outside >= last) & ~shortlist.all(axis=0)))


def coverage_notes(
    rerank: int | None, weight: float | None, parts: Mapping[str, Scores]
) -> list[str]:
    """What a run's record says of its shortlist.

    Args:
        rerank: Its size; None for all pairs.
        weight: Weight of the contrastive score; None for a score that is not a weighted sum.
        parts: Parts of the score, each `[images, captions]`.

    Returns:
        A note, or nothing where there is no shortlist or no such sum.
    """
    if rerank is None or weight is None or "itm" not in parts:
        return []
    return [Coverage.of(rerank, parts["itm"], parts["contrastive"], weight, RECALL_AT).note()]
