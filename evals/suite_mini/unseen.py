"""Statements that no picture of the suite can decide: who made it, when, why, what comes next."""

from __future__ import annotations

from evals.suite_mini.dice import Dice

_WHO = (
    "a girl",
    "a boy",
    "an old man",
    "a teacher",
    "a painter",
    "a nurse",
    "two friends",
    "a tall woman",
    "somebody's aunt",
    "our neighbours",
    "a farmer",
    "a student",
)
_BEFORE = ("yesterday", "last week", "an hour ago", "in the morning", "in winter", "long ago")
_SOON = ("tomorrow", "soon", "next week", "in a moment", "before lunch", "later today")
_EVENTS = ("a birthday", "a school book", "a contest", "a poster", "a party", "a game", "a friend")
_ABOUT_THE_PICTURE = (
    "{who} made the picture",
    "{who} drew all this {before}",
    "the picture belongs to {who}",
    "this is the favourite picture of {who}",
    "the picture was made {before}",
    "the picture was made for {event}",
    "one more thing will be added {soon}",
    "{who} wanted to move one of the things {before}",
    "there was one more thing here {before}",
    "{who} wiped something away {before}",
    "everything looked different {before}",
    "a name is written on the back of the picture",
    "the picture will be sold {soon}",
    "music was playing when the picture was made",
    "{who} dreamed of this scene {before}",
    "someone out of sight was watching",
    "{who} counted the things {before}",
    "the picture won a prize {before}",
    "{who} hoped to see the picture {soon}",
    "everything will be painted over {soon}",
    "making the picture took an hour",
    "the picture was a present for {who}",
    "the picture made {who} happy",
    "one of the things will fall down {soon}",
)
_ABOUT_A_THING = (
    "{who} painted {before}",
    "is loved by {who}",
    "belongs to {who}",
    "was moved here {before}",
    "will be gone {soon}",
    "took an hour to draw",
    "is meant for {event}",
    "was bigger {before}",
    "had another color {before}",
)


def unseen_clause(dice: Dice) -> str:
    """As in: a girl drew all this yesterday."""
    return _filled(dice.pick(_ABOUT_THE_PICTURE), dice)


def unseen_attribute(dice: Dice) -> str:
    """What follows "which" about a thing, as in: belongs to two friends."""
    return _filled(dice.pick(_ABOUT_A_THING), dice)


def _filled(template: str, dice: Dice) -> str:
    return template.format(
        who=dice.pick(_WHO),
        before=dice.pick(_BEFORE),
        soon=dice.pick(_SOON),
        event=dice.pick(_EVENTS),
    )
