"""Share of an exhaustive ranking that a shortlisted run determines, without running it.

A pair outside the shortlist could only get among a query's first k if its ITM logit made up for what
it lacks in contrastive score. The run knows every pair's contrastive score, and how high the logits
go at the end of the shortlists; so it counts the queries where a pair outside could still have got
there with a logit as high as the highest among the last quarter. For all other queries the exhaustive
run has the same first k, as long as no pair that is even further down has a higher one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evals.metrics.ranking import RECALL_AT, Floats
from evals.retrieval.shortlist import Mask, Shortlists
from evals.retrieval.writer import Scores


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
        cls,
        k: int,
        itm: Scores,
        contrastive: Scores,
        weight: float,
        at: Sequence[int],
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
