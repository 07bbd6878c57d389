"""What a phrase tells about a thing, and the phrases for it: "the small striped star at the top"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS
from evals.suite_mini.world import Scene, Thing

CELLS = tuple(name for name, cells in REGIONS.items() if len(cells) == 1)
"""The names of the nine cells, in the order of their numbers."""
EDGES = tuple(name for name, cells in REGIONS.items() if len(cells) > 1)
"""The names of the four edges: top, bottom, left, right."""
ATTRIBUTES = ("shape", "colour", "size", "texture", "region")

_AFTER_NOUN_CHANCE = 0.3
_THING_NOUNS = (("thing", "things"), ("object", "objects"), ("figure", "figures"))


@dataclass(frozen=True)
class Look:
    """Some of a thing's properties; what is None is left open."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    texture: str | None = None
    region: str | None = None
    """One of `meaning.REGIONS`."""

    def fits(self, thing: Thing) -> bool:
        """Whether the thing is such a one, and stands there."""
        return (
            self.shape in (None, thing.shape)
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and self.texture in (None, thing.texture)
            and (self.region is None or thing.cell in REGIONS[self.region])
        )

    def among(self, scene: Scene) -> list[Thing]:
        """The things of the scene that fit."""
        return [thing for thing in scene.things if self.fits(thing)]

    def form(self) -> tuple[str, ...]:
        """The names of the properties that are given."""
        return tuple(name for name in ATTRIBUTES if getattr(self, name) is not None)


def look_of(thing: Thing, form: Sequence[str]) -> Look:
    """The look of a thing that gives the named properties; its region is its cell."""
    values = {
        "shape": thing.shape,
        "colour": thing.colour,
        "size": thing.size,
        "texture": thing.texture,
        "region": CELLS[thing.cell],
    }
    return Look(**{name: values[name] for name in form})


def referents(scene: Scene, forms: Sequence[Sequence[str]]) -> Iterator[tuple[Look, Thing]]:
    """All looks of these forms that one thing of the scene has and no other.

    Args:
        scene: where to look.
        forms: names of properties, for example ("size", "shape").

    Yields:
        The look and the thing that it points out.
    """
    for form in forms:
        for thing in scene.things:
            look = look_of(thing, form)
            if sum(map(look.fits, scene.things)) == 1:
                yield look, thing


def noun_phrase(look: Look, dice: Dice, plural: bool) -> str:
    """As in: small striped red star in the middle; with "thing" where the shape is open."""
    nouns = _THING_NOUNS if look.shape is None else lexicon.NOUNS[look.shape]
    before: list[str] = []
    after: list[str] = []
    if look.size is not None:
        before.append(dice.pick(lexicon.SIZE_WORDS[look.size]))
    if look.texture is not None:
        adjectives, phrases = lexicon.TEXTURE_WORDS[look.texture]
        # "How many things in one colour" would ask for something else.
        if look.texture != "plain" and dice.chance(_AFTER_NOUN_CHANCE):
            after.append(dice.pick(phrases))
        else:
            before.append(dice.pick(adjectives))
    if look.colour is not None:
        before.append(dice.pick(lexicon.COLOUR_WORDS[look.colour]))
    if look.region is not None:
        after.append(dice.pick(lexicon.PLACE_WORDS[look.region]))
    return " ".join([*before, dice.pick(nouns)[plural], *after])


def adjective(look: Look, dice: Dice) -> str:
    """The one property of a look as a predicate: "scarlet", "tiny", "striped", "at the top"."""
    if look.colour is not None:
        return dice.pick(lexicon.COLOUR_WORDS[look.colour])
    if look.size is not None:
        return dice.pick(lexicon.SIZE_WORDS[look.size])
    if look.texture is not None:
        return dice.pick(lexicon.TEXTURE_WORDS[look.texture][0])
    if look.region is not None:
        return dice.pick(lexicon.PLACE_WORDS[look.region])
    raise ValueError("a look with no property but a shape is no predicate")


def with_article(phrase: str) -> str:
    """As in: an orange star."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
