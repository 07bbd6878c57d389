"""Questions in English for topics, in several wordings, and pairs of pictures to ask them about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.suite_mini.dice import Dice
from evals.suite_mini.pairing import answer_pairs
from evals.suite_mini.phrases import topic_phrases
from evals.suite_mini.topics import KINDS, Topic, topics
from evals.suite_mini.world import Scene

_IS_THERE = (
    "Is there {a0}?",
    "Is there {a0} in the picture?",
    "Can you see {a0}?",
    "Do you see {a0} here?",
    "Does the picture show {a0}?",
    "Are there any {many0}?",
)
# The slots are those of `topic_phrases`; {lines} names the lines of the grid.
_WORDINGS: dict[str, tuple[str, ...]] = {
    "exists": _IS_THERE,
    "exists-in-colour": _IS_THERE,
    "is": (
        "Is {the0} {is1}?",
        "Would you say {the0} is {is1}?",
        "Is it true that {the0} is {is1}?",
    ),
    "relation": (
        "Is {the0} {rel} {the1}?",
        "Can you find {the0} {rel} {the1}?",
        "Does {the0} stand {rel} {the1}?",
    ),
    "bigger": (
        "Is {the0} bigger than {the1}?",
        "Is {the0} larger than {the1}?",
        "Is {the1} smaller than {the0}?",
    ),
    "which-bigger": (
        "Which is bigger, {the0} or {the1}?",
        "Which one is larger, {the0} or {the1}?",
        "What is bigger, {the0} or {the1}?",
    ),
    "same-colour": (
        "Are {the0} and {the1} the same color?",
        "Do {the0} and {the1} have the same color?",
        "Is {the0} the same color as {the1}?",
    ),
    "same-size": (
        "Are {the0} and {the1} the same size?",
        "Is {the0} as big as {the1}?",
        "Is {the0} the same size as {the1}?",
    ),
    "more": (
        "Are there more {many0} than {many1}?",
        "Do you see more {many0} than {many1}?",
        "Are there fewer {many1} than {many0}?",
    ),
    "alike": (
        "Are there two things of the same shape?",
        "Do any of the objects have the same shape?",
        "Does a shape appear more than once?",
    ),
    "on": (
        "Are the things {on}?",
        "Are the objects {on}?",
        "Is this {on}?",
        "Is this picture {on}?",
    ),
    "count": (
        "How many {many0} are there?",
        "How many {many0} are in the picture?",
        "How many {many0} can you see?",
        "How many {many0} do you see?",
        "What number of {many0} are shown?",
    ),
    "colour": (
        "What color is {the0}?",
        "What is the color of {the0}?",
        "What color does {the0} have?",
        "Which color is {the0}?",
    ),
    "colours-of": (
        "What color are the {many0}?",
        "What is the color of the {many0}?",
        "Which color are the {many0}?",
    ),
    "shape": (
        "What is {the0}?",
        "What shape is {the0}?",
        "What kind of shape is {the0}?",
        "What does {the0} look like?",
    ),
    "shape-at": (
        "What is {is0}?",
        "What can be seen {is0}?",
        "What shape is {is0}?",
        "What do you see {is0}?",
    ),
    "neighbour": (
        "What is {rel} {the0}?",
        "What shape is {rel} {the0}?",
        "What stands {rel} {the0}?",
    ),
    "place": (
        "Where is {the0}?",
        "Where is {the0} in the picture?",
        "Where can you find {the0}?",
        "In which part of the picture is {the0}?",
    ),
    "left-or-right": (
        "Is {the0} on the left or on the right?",
        "Which side is {the0} on, left or right?",
        "What side of the picture is {the0} on, left or right?",
    ),
    "top-or-bottom": (
        "Is {the0} at the top or at the bottom?",
        "Is {the0} at the bottom or at the top?",
        "Which end is {the0} at, top or bottom?",
    ),
    "side": (
        "Is {the0} left or right of {the1}?",
        "On which side of {the1} is {the0}, left or right?",
    ),
    "height": (
        "Is {the0} above or below {the1}?",
        "Is {the0} below or above {the1}?",
    ),
    "texture": (
        "Is {the0} plain, striped or dotted?",
        "What pattern does {the0} have?",
        "What kind of pattern is on {the0}?",
        "What is the pattern of {the0}?",
    ),
    "size": ("What size is {the0}?", "How big is {the0}?", "Is {the0} small or large?"),
    "background": (
        "What is in the background?",
        "What is the background?",
        "What is behind the things?",
        "What are the things on?",
        "What kind of background is this?",
    ),
    "two-colours": (
        "Which two colors do the things have?",
        "What two colors are the objects?",
        "What are the colors of the things?",
        "What colors are the figures?",
    ),
    "empty": (
        "Which {line} is empty, {lines}?",
        "Which {line} has nothing in it, {lines}?",
        "What {line} is empty, {lines}?",
    ),
}
_LINES = {
    "row": "top, middle or bottom",
    "column": "left, middle or right",
}


@dataclass(frozen=True)
class Asked:
    """One question about one picture of a group."""

    picture: int
    """Number of the picture within its group."""
    text: str
    topic: Topic
    answer: str
    """Canonical, as `topics` gives it."""


def wording(topic: Topic, dice: Dice) -> str:
    """A question for the topic; equal topics can be worded in many ways."""
    template = dice.pick(_WORDINGS[topic.kind])
    return template.format_map({**topic_phrases(topic, dice), "lines": _LINES.get(topic.detail)})


def balanced_pairs(scenes: Sequence[Scene], pairs: int, dice: Dice) -> list[tuple[Asked, Asked]]:
    """Questions in the manner of VQA v2: each about two pictures that answer it differently.

    Args:
        scenes: of the group, at least two.
        pairs: how many are wanted; there are fewer if the group is too small for them.
        dice: for everything that is left open.

    Returns:
        The two members of each pair, equal in their text and different in their answers.
    """
    asked = []
    for pair in answer_pairs([dict(topics(scene)) for scene in scenes], KINDS, pairs, dice):
        text = wording(pair[0].topic, dice)
        first, second = (Asked(one.picture, text, one.topic, one.answer) for one in pair)
        asked.append((first, second))
    return asked
