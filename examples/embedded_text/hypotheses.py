"""Claims about a description, drawn at random, and put into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS, RELATIONS, Mention, Statement
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import BACKGROUNDS, COLOURS, SHAPES, SIZES, TEXTURES
from examples.embedded_text.claims import (
    Attribute,
    Background,
    Both,
    Claim,
    Count,
    Exists,
    Larger,
    Not,
    Place,
    Relation,
    SameColour,
)
from examples.embedded_text.narrator import NUMBER_WORDS, definite, indefinite
from examples.embedded_text.telling import are_apart

_VALUES = {"colour": COLOURS, "size": SIZES, "texture": TEXTURES}
_NEGATABLE = ("attribute", "place", "relation", "same colour", "exists", "background")


def propose(statement: Statement, kind: str, dice: Dice) -> Claim | None:
    """A claim of this kind, which may be true, false or open; None if there can be none.

    Args:
        statement: of the description.
        kind: one of `KINDS`.
        dice: chooses.
    """
    plain = kind.removeprefix("not ")
    claim = _PROPOSERS[plain](statement, dice)
    return claim if claim is None or plain == kind else Not(claim)


def name_of(statement: Statement, index: int) -> Mention | None:
    """The shortest phrase for one mention that fits no other; None if there is none."""
    mention = statement.mentions[index]
    others = [other for place, other in enumerate(statement.mentions) if place != index]
    short = Mention(mention.shape, count=mention.count)
    for name in (
        short,
        replace(short, colour=mention.colour),
        replace(short, size=mention.size),
        replace(short, texture=mention.texture),
    ):
        if all(are_apart(name, other) for other in others):
            return name
    return None


def _namable(statement: Statement, dice: Dice, single: bool) -> list[int]:
    return dice.shuffled(
        [
            index
            for index, mention in enumerate(statement.mentions)
            if name_of(statement, index) is not None and (mention.count == 1 or not single)
        ]
    )


def _attribute(statement: Statement, dice: Dice) -> Claim | None:
    for index in _namable(statement, dice, single=False):
        name = dice.pick(("colour", "colour", "size", "texture"))
        own = getattr(statement.mentions[index], name)
        used = name_of(statement, index)
        if used is None or getattr(used, name) is not None:
            continue  # "the red star is red" says nothing
        value = own if own is not None and dice.chance(0.5) else dice.pick(_VALUES[name])
        return Attribute(index, name, value)
    return None


def _place(statement: Statement, dice: Dice) -> Claim | None:
    indices = _namable(statement, dice, single=False)
    return Place(indices[0], dice.pick(tuple(REGIONS))) if indices else None


def _relation(statement: Statement, dice: Dice) -> Claim | None:
    indices = _namable(statement, dice, single=True)
    if len(indices) < 2:
        return None
    return Relation(indices[0], dice.pick(RELATIONS), indices[1])


def _same_colour(statement: Statement, dice: Dice) -> Claim | None:
    indices = _namable(statement, dice, single=False)
    names = [name_of(statement, index) for index in indices[:2]]
    if len(indices) < 2 or any(name is None or name.colour is not None for name in names):
        return None
    return SameColour(indices[0], indices[1])


def _larger(statement: Statement, dice: Dice) -> Claim | None:
    indices = _namable(statement, dice, single=True)
    names = [name_of(statement, index) for index in indices[:2]]
    if len(indices) < 2 or any(name is None or name.size is not None for name in names):
        return None
    return Larger(indices[0], indices[1])


def _exists(statement: Statement, dice: Dice) -> Claim | None:
    if dice.chance(0.5):
        # Some of what a mention says.
        mention = dice.pick(statement.mentions)
        kept = [name for name in ("colour", "size", "texture") if not dice.chance(0.6)]
        words: dict[str, Any] = {name: getattr(mention, name) for name in kept}
        pattern = Mention(mention.shape, **words)
    else:
        pattern = Mention(dice.pick(SHAPES))
        if dice.chance(0.5):
            pattern = replace(pattern, colour=dice.pick(COLOURS))
        if dice.chance(0.2):
            pattern = replace(pattern, size=dice.pick(SIZES))
    return Exists(pattern)


def _count(statement: Statement, dice: Dice) -> Claim | None:
    kind = dice.pick(("exactly", "at least", "fewer than"))
    return Count(kind, 2 + dice.below(4))


def _background(statement: Statement, dice: Dice) -> Claim | None:
    if statement.background is not None and dice.chance(0.4):
        return Background(statement.background)
    return Background(dice.pick(BACKGROUNDS))


_PROPOSERS: dict[str, Callable[[Statement, Dice], Claim | None]] = {
    "attribute": _attribute,
    "place": _place,
    "relation": _relation,
    "same colour": _same_colour,
    "larger": _larger,
    "exists": _exists,
    "count": _count,
    "background": _background,
}


_COMMON = ("attribute", "attribute", "place", "relation", "exists", "background")
KINDS = (*_PROPOSERS, *_COMMON, *(f"not {kind}" for kind in _NEGATABLE))
"""What can be claimed, each as often as it is listed."""


def said(claim: Claim, statement: Statement, speaker: Speaker) -> str:
    """The claim in words, without capital and full stop."""
    if isinstance(claim, Both):
        joint = speaker.dice.pick((" and ", ", and ", ", while "))
        return (
            said(claim.first, statement, speaker) + joint + said(claim.second, statement, speaker)
        )
    if isinstance(claim, Not):
        return _said(claim.claim, statement, speaker, " not")
    return _said(claim, statement, speaker, "")


def _said(claim: Claim, statement: Statement, speaker: Speaker, negation: str) -> str:
    if isinstance(claim, Attribute):
        subject, be = _subject(claim.mention, statement, speaker)
        if claim.name == "texture":
            words = speaker.say(lexicon.TEXTURE_WORDS[claim.value][0])
        else:
            table = lexicon.COLOUR_WORDS if claim.name == "colour" else lexicon.SIZE_WORDS
            words = speaker.say(table[claim.value])
        return f"{subject} {be}{negation} {words}"
    if isinstance(claim, Place):
        subject, be = _subject(claim.mention, statement, speaker)
        return f"{subject} {be}{negation} {speaker.place(claim.region)}"
    if isinstance(claim, Relation):
        first, be = _subject(claim.first, statement, speaker)
        second, _ = _subject(claim.second, statement, speaker)
        return f"{first} {be}{negation} {speaker.relation(claim.name)} {second}"
    if isinstance(claim, SameColour):
        first, _ = _subject(claim.first, statement, speaker)
        second, _ = _subject(claim.second, statement, speaker)
        if negation:
            return f"{first} and {second} {speaker.say(('do not have the same colour', 'differ in colour'))}"
        return f"{first} and {second} {speaker.say(('have the same colour', 'share one colour'))}"
    if isinstance(claim, Larger):
        first, be = _subject(claim.first, statement, speaker)
        second, _ = _subject(claim.second, statement, speaker)
        if speaker.dice.chance(0.4):
            return f"{second} {be} {speaker.say(('smaller than', 'not as big as'))} {first}"
        return f"{first} {be} {speaker.say(('bigger than', 'larger than'))} {second}"
    return _said_of_scene(claim, speaker, negation)


def _said_of_scene(claim: Claim, speaker: Speaker, negation: str) -> str:
    if isinstance(claim, Exists):
        phrase = speaker.bare_thing(claim.pattern)
        if negation:
            return speaker.say((f"there is no {phrase}", f"no {phrase} is to be seen"))
        return speaker.say(
            (f"there is {indefinite(phrase)}", f"{indefinite(phrase)} is to be seen")
        )
    if isinstance(claim, Count):
        things = speaker.say(lexicon.THINGS)
        return f"there are {claim.kind} {NUMBER_WORDS[claim.number]} {things}"
    if isinstance(claim, Background):
        where = speaker.say(lexicon.BACKGROUND_PHRASES[claim.name])
        return f"{speaker.say(('all this is', 'the whole scene is'))}{negation} {where}"
    raise TypeError(f"no words for {claim!r}")


def _subject(index: int, statement: Statement, speaker: Speaker) -> tuple[str, str]:
    """As in: "the red star", "is"."""
    name = name_of(statement, index)
    if name is None:
        raise ValueError("nothing tells this mention from the others")
    if name.count == 1:
        return definite(speaker.thing(name)), "is"
    plural = speaker.bare_thing(name).split(" ", 1)[1]  # without the number
    return f"the {plural}", "are"
