"""Phrases about parts of a scene, as people wrote them for the regions of Visual Genome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.language import ANNOTATORS
from evals.suite_mini.meaning import RELATIONS, Link, Mention, Statement, related
from evals.suite_mini.render import SIDE
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import GRID, Scene, Thing

_SAY_COLOUR, _SAY_SIZE, _SAY_TEXTURE, _SAY_PLAIN = 0.85, 0.4, 0.6, 0.06
_SECOND_PHRASE = 0.4
_PREDICATE = 0.25
_RELATED_PAIRS = 2
_MARGIN = 1
"""Pixels by which a large thing may leave its cell."""

Box = tuple[int, int, int, int]
"""x, y of the left upper corner, width, height, in pixels."""


@dataclass(frozen=True)
class RegionPhrase:
    """What one person wrote about a part of a picture."""

    text: str
    statement: Statement
    """What the phrase says; "exactly one" is never meant."""
    box: Box


def region_phrases(scene: Scene, dice: Dice) -> list[RegionPhrase]:
    """Phrases about every thing, a few pairs of things, and what is behind them.

    Args:
        scene: what is looked at.
        dice: for who writes, in which words, and what is left out.

    Returns:
        Five to eleven phrases in random order, each true of the scene.
    """
    phrases = [_about_thing(thing, dice) for thing in scene.things]
    phrases += [_about_thing(thing, dice) for thing in scene.things if dice.chance(_SECOND_PHRASE)]
    pairs = [(one, other) for one in scene.things for other in scene.things if one is not other]
    phrases += [_about_pair(*pair, dice) for pair in dice.shuffled(pairs)[:_RELATED_PAIRS]]
    phrases.append(_about_background(scene, dice))
    return dice.shuffled(phrases)


def _about_thing(thing: Thing, dice: Dice) -> RegionPhrase:
    """As in: a small red star with stripes; or: the star is red."""
    speaker = _somebody(dice)
    box = _box([thing])
    if dice.chance(_PREDICATE):
        noun, _ = speaker.say(lexicon.NOUNS[thing.shape])
        colour = speaker.say(lexicon.COLOUR_WORDS[thing.colour])
        statement = Statement((Mention(thing.shape, thing.colour),))
        return RegionPhrase(f"the {noun} is {colour}", statement, box)
    mention = _mention(thing, dice)
    say = speaker.thing if dice.chance(0.5) else speaker.bare_thing
    return RegionPhrase(say(mention), Statement((mention,)), box)


def _about_pair(first: Thing, second: Thing, dice: Dice) -> RegionPhrase:
    """As in: red star to the left of a house."""
    speaker = _somebody(dice)
    mentions = _mention(first, dice), _mention(second, dice)
    name = dice.pick([name for name in RELATIONS if related(name, first, second)])
    say = speaker.thing if dice.chance(0.5) else speaker.bare_thing
    text = f"{say(mentions[0])} {speaker.relation(name)} {speaker.thing(mentions[1])}"
    return RegionPhrase(text, Statement(mentions, (Link(name, 0, 1),)), _box([first, second]))


def _about_background(scene: Scene, dice: Dice) -> RegionPhrase:
    """As in: grass; the whole picture is its box."""
    name = _somebody(dice).say(lexicon.BACKGROUND_NAMES[scene.background])
    text = f"{name} in the background" if dice.chance(0.5) else name
    return RegionPhrase(text, Statement((), (), scene.background), (0, 0, SIDE, SIDE))


def _somebody(dice: Dice) -> Speaker:
    return Speaker(dice.below(len(ANNOTATORS)), dice)


def _mention(thing: Thing, dice: Dice) -> Mention:
    plain = thing.texture == "plain"
    return Mention(
        thing.shape,
        thing.colour if dice.chance(_SAY_COLOUR) else None,
        thing.size if dice.chance(_SAY_SIZE) else None,
        thing.texture if dice.chance(_SAY_PLAIN if plain else _SAY_TEXTURE) else None,
    )


def _box(things: Sequence[Thing]) -> Box:
    """The rectangle around the cells of some things, with the margin that they may need."""
    cell = SIDE // GRID
    left = max(min(thing.column for thing in things) * cell - _MARGIN, 0)
    top = max(min(thing.row for thing in things) * cell - _MARGIN, 0)
    right = min((max(thing.column for thing in things) + 1) * cell + _MARGIN, SIDE)
    bottom = min((max(thing.row for thing in things) + 1) * cell + _MARGIN, SIDE)
    return left, top, right - left, bottom - top
