"""The ideal reader of captions: knows every scene and what every sentence says, exactly.

Its score is the ceiling of a retrieval test. It falls short of 100 only where a sentence is true
of other scenes, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evals.suite_mini.meaning import REGIONS, Statement, is_true
from evals.suite_mini.world import Scene

Holds = Callable[[Statement, Scene], bool]
"""What a reader takes for true."""

IMAGE_RETRIEVAL = "image_retrieval/R@1"
TEXT_RETRIEVAL = "text_retrieval/R@1"


def ideal_recall(
    scenes: Sequence[Scene], statements: Sequence[Sequence[Statement]], holds: Holds = is_true
) -> dict[str, float]:
    """R@1 of a reader that gives 1 to a sentence that is true of a scene and 0 to any other.

    Args:
        scenes: one for each image, n of them.
        statements: for each image what its captions say, n sequences.
        holds: how sentences are read; a caption holds in its own scene, however it is read.

    Returns:
        Percent, in expectation over the order of ties: {"image_retrieval/R@1": share of captions
        whose own image comes first, "text_retrieval/R@1": share of images that have one of their
        own captions first}.
    """
    shares = []  # a caption's chance that its own image comes first
    true_captions = [0] * len(scenes)
    for own in statements:
        for statement in own:
            matching = [index for index, scene in enumerate(scenes) if holds(statement, scene)]
            shares.append(1.0 / len(matching))
            for index in matching:
                true_captions[index] += 1
    own_shares = [len(own) / count for own, count in zip(statements, true_captions, strict=True)]
    return {
        IMAGE_RETRIEVAL: 100.0 * sum(shares) / len(shares),
        TEXT_RETRIEVAL: 100.0 * sum(own_shares) / len(own_shares),
    }


def holds_as_words(statement: Statement, scene: Scene) -> bool:
    """How a reader takes a sentence that knows every word, and not which words belong together.

    Whether the scene has every shape, colour, size and texture that is named, at every place that
    is named, before that background, and as many things of a shape as the numbers say.
    """
    if statement.background not in (None, scene.background):
        return False
    if statement.total not in (None, len(scene.things)):
        return False
    things = scene.things
    present = {
        *(thing.shape for thing in things),
        *(thing.colour for thing in things),
        *(thing.size for thing in things),
        *(thing.texture for thing in things),
    }
    cells = {thing.cell for thing in things}
    for mention in statement.mentions:
        named = (mention.shape, mention.colour, mention.size, mention.texture)
        if any(word is not None and word not in present for word in named):
            return False
        if sum(thing.shape == mention.shape for thing in things) < mention.count:
            return False
        if mention.region is not None and not cells & REGIONS[mention.region]:
            return False
    return True


def chance_recall(caption_counts: Sequence[int]) -> dict[str, float]:
    """R@1 in percent of a reader that guesses, given the number of captions of each image."""
    images, captions = len(caption_counts), sum(caption_counts)
    return {IMAGE_RETRIEVAL: 100.0 / images, TEXT_RETRIEVAL: 100.0 * (captions / images) / captions}
