"""Questions in English for topics, in several wordings, and pairs of pictures to ask them about."""

from __future__ import annotations

from collections.abc import Sequence

from evals.suite_mini.dice import Dice
from evals.suite_mini.lexicon import QUESTIONS
from evals.suite_mini.pairing import AskableTopic, answer_pairs
from evals.suite_mini.phrases import topic_phrases
from evals.suite_mini.topics import KINDS, Topic, topics
from evals.suite_mini.world import Scene

_LINES = {"row": "top, middle or bottom", "column": "left, middle or right"}


def wording(topic: Topic, dice: Dice) -> str:
    """A question for the topic; equal topics can be worded in many ways."""
    template = dice.pick(QUESTIONS[topic.kind]["words"])
    return template.format_map({**topic_phrases(topic, dice), "lines": _LINES.get(topic.detail)})


def balanced_pairs(
    scenes: Sequence[Scene], pairs: int, dice: Dice
) -> list[tuple[str, tuple[AskableTopic, AskableTopic]]]:
    """Questions in the manner of VQA v2: each about two pictures that answer it differently.

    Returns:
        Each question with the two members of its pair, as `answer_pairs` finds them among the scenes.
    """
    known = [dict(topics(scene)) for scene in scenes]
    return [
        (wording(pair[0].topic, dice), pair) for pair in answer_pairs(known, KINDS, pairs, dice)
    ]
