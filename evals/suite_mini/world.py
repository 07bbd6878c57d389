"""The mini world: what a scene is made of, how one is drawn, and which split it belongs to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice

SHAPES = tuple(lexicon.NOUNS)
COLOURS = tuple(lexicon.COLOUR_WORDS)
SIZES = tuple(lexicon.SIZE_WORDS)
TEXTURES = tuple(lexicon.TEXTURE_WORDS)
BACKGROUNDS = tuple(lexicon.BACKGROUND_NAMES)
SPLITS = ("train", "val", "test")

GRID = 3
"""Objects stand in the cells of a 3 x 3 grid, numbered row by row from the top left."""

# Colours that would be hard to see on the background.
_CLASHES: dict[str, tuple[str, ...]] = {
    "paper": ("white",),
    "night": ("black",),
    "meadow": ("green",),
    "sand": ("yellow",),
    "bricks": ("pink", "orange"),
    "planks": ("orange",),
}

_OBJECT_COUNTS = (2, 3, 4)
_OBJECT_COUNT_WEIGHTS = (35, 40, 25)
_TEXTURE_WEIGHTS = (56, 22, 22)
_TWIN_CHANCE = 0.3
"""How often an object repeats another one, so that there is something to count."""
_SIBLING_CHANCE = 0.3
"""How often a scene rearranges its neighbour's parts: the same words, put together differently."""


@dataclass(frozen=True, order=True)
class Thing:
    """One object of a scene."""

    cell: int
    shape: str
    colour: str
    size: str
    texture: str

    @property
    def row(self) -> int:
        """0 at the top."""
        return self.cell // GRID

    @property
    def column(self) -> int:
        """0 at the left."""
        return self.cell % GRID


@dataclass(frozen=True)
class Scene:
    """A scene graph: 2 to 4 things, ordered by cell, before a background."""

    background: str
    things: tuple[Thing, ...]

    def key(self) -> str:
        """A text that is equal for equal scenes only."""
        parts = [
            f"{thing.cell}:{thing.size}:{thing.texture}:{thing.colour}:{thing.shape}"
            for thing in self.things
        ]
        return "|".join([self.background, *parts])

    @cached_property
    def alike(self) -> list[tuple[Thing, ...]]:
        """The things, those together that are alike in everything but their cell."""
        groups: dict[tuple[str, str, str, str], list[Thing]] = {}
        for thing in self.things:
            key = (thing.shape, thing.colour, thing.size, thing.texture)
            groups.setdefault(key, []).append(thing)
        return [tuple(members) for members in groups.values()]

    def family(self) -> str:
        """What all rearrangements of a scene share: background, shapes, colours."""
        shapes = ",".join(sorted(thing.shape for thing in self.things))
        colours = ",".join(sorted(thing.colour for thing in self.things))
        return f"{self.background}|{shapes}|{colours}"


def split_of(scene: Scene) -> str:
    """The world that a scene belongs to, by a hash of its family.

    Whole families fall into one split, so no scene of a test split, nor any rearrangement of it,
    occurs in training, in whichever data set and with whichever seed.
    """
    return split_by_hash(scene.family())


def split_by_hash(key: str) -> str:
    """Eight tenths of all keys are of "train", one each of "val" and "test"."""
    tenth = hashlib.sha256(key.encode()).digest()[0] % 10
    return "train" if tenth < 8 else SPLITS[tenth - 7]


def make_scene(seed: int, collection: str, split: str, index: int) -> Scene:
    """Scene number `index` of a collection; it depends on its arguments and on nothing else.

    Args:
        seed: of the whole suite.
        collection: name of the data set, for example "flickr30k".
        split: "train", "val" or "test"; the scene is drawn until it falls into that world.
        index: from 0. An odd one may be a rearrangement of the scene before it.

    Returns:
        The scene.
    """
    if index % 2:
        dice = Dice(seed, collection, split, index, "sibling")
        if dice.chance(_SIBLING_CHANCE):
            sibling = _rearranged(make_scene(seed, collection, split, index - 1), dice)
            if sibling is not None:
                return sibling
    dice = Dice(seed, collection, split, index, "scene")
    while True:
        scene = _draw_scene(dice)
        if split_of(scene) == split:
            return scene


def colours_on(background: str) -> list[str]:
    """The colours that can be seen well on a background."""
    return [colour for colour in COLOURS if colour not in _CLASHES.get(background, ())]


def draw_texture(dice: Dice) -> str:
    """A texture, as often as things have it."""
    return TEXTURES[dice.weighted(_TEXTURE_WEIGHTS)]


def _draw_scene(dice: Dice) -> Scene:
    background = dice.pick(BACKGROUNDS)
    colours = colours_on(background)
    count = _OBJECT_COUNTS[dice.weighted(_OBJECT_COUNT_WEIGHTS)]
    cells = dice.shuffled(range(GRID * GRID))[:count]
    things: list[Thing] = []
    for cell in cells:
        if things and dice.chance(_TWIN_CHANCE):
            things.append(replace(things[0], cell=cell))
            continue
        things.append(
            Thing(
                cell=cell,
                shape=dice.pick(SHAPES),
                colour=dice.pick(colours),
                size=dice.pick(SIZES),
                texture=draw_texture(dice),
            )
        )
    return Scene(background, tuple(sorted(things)))


def _rearranged(scene: Scene, dice: Dice) -> Scene | None:
    """The scene with one property exchanged between two of its things; None if all are alike."""
    pairs = [
        (first, second)
        for first in range(len(scene.things))
        for second in range(first)
        if scene.things[first].shape != scene.things[second].shape
        or scene.things[first].colour != scene.things[second].colour
    ]
    if not pairs:
        return None
    first, second = (scene.things[index] for index in dice.pick(pairs))
    fields = ["cell"]
    if first.shape != second.shape and first.colour != second.colour:
        fields.append("colour")
    if first.size != second.size:
        fields.append("size")
    if first.texture != second.texture:
        fields.append("texture")
    field = dice.pick(fields)
    exchanged = {
        first: replace(first, **{field: getattr(second, field)}),
        second: replace(second, **{field: getattr(first, field)}),
    }
    return Scene(
        scene.background, tuple(sorted(exchanged.get(thing, thing) for thing in scene.things))
    )
