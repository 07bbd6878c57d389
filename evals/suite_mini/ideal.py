"""The ideal reader of captions: knows every scene and what every sentence says, exactly.

Its score is the ceiling of a retrieval test. It falls short of 100 only where a sentence is true
of other scenes, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.suite_mini.meaning import Statement, is_true
from evals.suite_mini.world import Scene

IMAGE_RETRIEVAL = "image_retrieval/R@1"
TEXT_RETRIEVAL = "text_retrieval/R@1"


def ideal_recall(
    scenes: Sequence[Scene], statements: Sequence[Sequence[Statement]]
) -> dict[str, float]:
    """R@1 of a reader that gives 1 to a sentence that is true of a scene and 0 to any other.

    Args:
        scenes: one for each image, n of them.
        statements: for each image what its captions say, n sequences.

    Returns:
        Percent, in expectation over the order of ties: {"image_retrieval/R@1": share of captions
        whose own image comes first, "text_retrieval/R@1": share of images that have one of their
        own captions first}.
    """
    shares = []  # a caption's chance that its own image comes first
    true_captions = [0] * len(scenes)
    for own in statements:
        for statement in own:
            matching = [index for index, scene in enumerate(scenes) if is_true(statement, scene)]
            shares.append(1.0 / len(matching))
            for index in matching:
                true_captions[index] += 1
    own_shares = [len(own) / count for own, count in zip(statements, true_captions, strict=True)]
    return {
        IMAGE_RETRIEVAL: 100.0 * sum(shares) / len(shares),
        TEXT_RETRIEVAL: 100.0 * sum(own_shares) / len(own_shares),
    }


def chance_recall(caption_counts: Sequence[int]) -> dict[str, float]:
    """R@1 in percent of a reader that guesses, given the number of captions of each image."""
    images, captions = len(caption_counts), sum(caption_counts)
    return {IMAGE_RETRIEVAL: 100.0 / images, TEXT_RETRIEVAL: 100.0 * (captions / images) / captions}
