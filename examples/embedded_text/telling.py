"""What is told of a scene: statements, with this or that left out, to be worded in any style."""

from __future__ import annotations

from dataclasses import replace

from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS, RELATIONS, Link, Mention, Statement, related
from evals.suite_mini.world import Scene, Thing

_SAY_COLOUR = 0.8
_SAY_SIZE = 0.5
_SAY_TEXTURE = 0.8
_SAY_PLAIN = 0.08
_SAY_PLACE = 0.5
_SAY_LINK = 0.6
_SAY_BACKGROUND = 0.5
_SAY_TOTAL = 0.4
_OMIT_THING = 0.2
_ATTRIBUTES = ("shape", "colour", "size", "texture")


def told(scene: Scene, dice: Dice) -> Statement:
    """A true statement about the scene: some of what there is to say.

    Mentions are told apart by what they say, so that a phrase speaks of one thing or number of
    things only. A link is between the first two mentions.
    """
    alike: dict[tuple[str, ...], list[Thing]] = {}
    for thing in scene.things:
        key = tuple(str(getattr(thing, name)) for name in _ATTRIBUTES)
        alike.setdefault(key, []).append(thing)
    groups = dice.shuffled(list(alike.values()))
    if len(groups) > 2 and dice.chance(_OMIT_THING):
        groups.pop()
    groups.sort(key=len)  # single things first: these can be linked
    mentions = [_mention(group, scene, dice) for group in groups]
    links: tuple[Link, ...] = ()
    if len(groups) > 1 and len(groups[1]) == 1 and dice.chance(_SAY_LINK):
        first, second = groups[0][0], groups[1][0]
        names = [name for name in RELATIONS if related(name, first, second)]
        links = (Link(dice.pick(names), 0, 1),) if names else ()
    if links:
        mentions[:2] = [replace(mention, region=None) for mention in mentions[:2]]
    return Statement(
        tuple(mentions),
        links,
        scene.background if dice.chance(_SAY_BACKGROUND) else None,
        len(scene.things) if dice.chance(_SAY_TOTAL) else None,
    )


def _mention(group: list[Thing], scene: Scene, dice: Dice) -> Mention:
    thing = group[0]
    full = Mention(thing.shape, thing.colour, thing.size, thing.texture, count=len(group))
    plain = thing.texture == "plain"
    short = replace(
        full,
        colour=full.colour if dice.chance(_SAY_COLOUR) else None,
        size=full.size if dice.chance(_SAY_SIZE) else None,
        texture=full.texture if dice.chance(_SAY_PLAIN if plain else _SAY_TEXTURE) else None,
    )
    if any(short.fits(other) for other in scene.things if other not in group):
        short = full
    if not dice.chance(_SAY_PLACE):
        return short
    names = [
        name for name, cells in REGIONS.items() if all(member.cell in cells for member in group)
    ]
    return replace(short, region=dice.pick(names)) if names else short


def are_apart(first: Mention, second: Mention) -> bool:
    """Whether no thing can be what both phrases describe."""
    return first.shape != second.shape or any(
        None not in (getattr(first, name), getattr(second, name))
        and getattr(first, name) != getattr(second, name)
        for name in _ATTRIBUTES[1:]
    )
