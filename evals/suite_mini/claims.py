"""Statements that a picture shows to be true or false."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.suite_mini.dice import Dice
from evals.suite_mini.phrases import answer_phrase, topic_phrases
from evals.suite_mini.topics import Topic

KINDS: dict[str, int] = {
    "exists-in-colour": 100,
    "on": 40,
    "exists": 16,
    "is": 8,
    "count": 4,
    "shape-at": 2,
    "place": 2,
    "relation": 2,
    "shape": 2,
    "colours-of": 1,
    "bigger": 1,
    "same-colour": 1,
    "same-size": 1,
    "more": 1,
    "alike": 1,
    "neighbour": 1,
    "empty": 1,
}
"""How often a statement is about each kind of topic.

Mostly what a glance shows, as in SNLI; questions have weights of their own, in
`evals.suite_mini.topics`.
"""

_THERE_IS = (
    (
        "there is {a0}",
        "the picture shows {a0}",
        "you can see {a0}",
        "{a0} can be seen",
        "{a0} is in the picture",
    ),
    ("there is no {one0}", "the picture shows no {one0}", "no {one0} can be seen"),
)
# Slots are those of `topic_phrases`. For yes/no topics: what is said for "yes", and for "no".
_CLOSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "exists": _THERE_IS,
    "exists-in-colour": _THERE_IS,
    "is": (("{the0} is {is1}",), ("{the0} is not {is1}",)),
    "relation": (
        ("{the0} is {rel} {the1}", "{the0} stands {rel} {the1}", "{the0} can be seen {rel} {the1}"),
        ("{the0} is not {rel} {the1}", "{the0} does not stand {rel} {the1}"),
    ),
    "bigger": (
        (
            "{the0} is bigger than {the1}",
            "{the0} is larger than {the1}",
            "{the1} is smaller than {the0}",
        ),
        ("{the0} is not bigger than {the1}", "{the1} is not smaller than {the0}"),
    ),
    "same-colour": (
        ("{the0} and {the1} have the same color", "{the0} is the same color as {the1}"),
        ("{the0} and {the1} have different colors", "{the0} is not the same color as {the1}"),
    ),
    "same-size": (
        ("{the0} and {the1} have the same size", "{the0} is as big as {the1}"),
        ("{the0} and {the1} have different sizes", "{the0} is not the same size as {the1}"),
    ),
    "more": (
        ("there are more {many0} than {many1}", "you can see more {many0} than {many1}"),
        ("there are not more {many0} than {many1}",),
    ),
    "alike": (
        ("two of the things have the same shape", "a shape appears more than once"),
        ("all the things have different shapes", "no shape appears twice"),
    ),
    "on": (
        ("the things are {on}", "everything is {on}", "this is {on}"),
        ("the things are not {on}", "this is not {on}"),
    ),
}
# For the others: {value} is the answer.
_OPEN: dict[str, tuple[str, ...]] = {
    "colours-of": ("the {many0} are {value}", "all the {many0} are {value}"),
    "shape": ("{the0} is {value}", "{the0} has the shape of {value}"),
    "shape-at": ("there is {value} {is0}", "{value} is {is0}", "you can see {value} {is0}"),
    "neighbour": ("there is {value} {rel} {the0}", "{value} stands {rel} {the0}"),
    "place": ("{the0} is {value}", "{the0} stands {value}", "you can see {the0} {value}"),
    "empty": ("the {edge} {line} is empty", "nothing stands in the {edge} {line}"),
}
_COUNTS: dict[str, tuple[str, ...]] = {
    "0": ("there are no {many0}", "no {many0} can be seen"),
    "1": ("there is exactly one {one0}", "you can see exactly one {one0}"),
    "more": ("there are exactly {value} {many0}", "you can see exactly {value} {many0}"),
}


@dataclass(frozen=True)
class Claim:
    """The statement that a topic has a certain answer."""

    topic: Topic
    answer: str

    def holds(self, known: Mapping[Topic, str]) -> bool:
        """Whether it is true of a scene.

        Args:
            known: what can be asked of the scene, with the answers; the claim's topic is there.
        """
        return known[self.topic] == self.answer


def clause(claim: Claim, dice: Dice) -> str:
    """The claim in words, without a capital and a full stop."""
    kind = claim.topic.kind
    phrases = topic_phrases(claim.topic, dice)
    if kind in _CLOSED:
        return dice.pick(_CLOSED[kind][claim.answer == "no"]).format_map(phrases)
    if kind == "count":
        templates = _COUNTS.get(claim.answer, _COUNTS["more"])
    else:
        templates = _OPEN[kind]
    phrases["value"] = answer_phrase(claim.answer, dice)
    phrases["edge"] = claim.answer
    return dice.pick(templates).format_map(phrases)
