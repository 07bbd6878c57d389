"""What a phrase tells about a thing, and the phrases for it: "the small striped star at the top"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

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


class Look(NamedTuple):
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
        return _form(self)


@cache
def _form(look: Look) -> tuple[str, ...]:
    return tuple(name for name in ATTRIBUTES if getattr(look, name) is not None)


@cache
def _values(form: tuple[str, ...]) -> Callable[[Thing], Any]:
    """What gives a thing's named properties; its region is its cell."""
    return attrgetter(*("cell" if name == "region" else name for name in form))


@cache
def _look(form: tuple[str, ...], values: Any) -> Look:
    """The look with these properties."""
    named = dict(zip(form, values if len(form) > 1 else (values,), strict=True))
    if "region" in named:
        named["region"] = CELLS[named["region"]]
    return Look(**named)


def referents(scene: Scene, forms: Sequence[tuple[str, ...]]) -> Iterator[tuple[Look, Thing]]:
    """All looks of these forms (names of properties) that one thing of the scene has and no other."""
    for form in forms:
        found = [_values(form)(thing) for thing in scene.things]
        for thing, values in zip(scene.things, found, strict=True):
            if found.count(values) == 1:
                yield _look(form, values), thing


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
    words = (
        lexicon.COLOUR_WORDS.get(look.colour or ""),
        lexicon.SIZE_WORDS.get(look.size or ""),
        lexicon.TEXTURE_WORDS[look.texture][0] if look.texture else None,
        lexicon.PLACE_WORDS.get(look.region or ""),
    )
    return dice.pick(next(filter(None, words)))
