"""Pictures of one main thing, as the collections of labelled images hold them.

The main thing is as large as in the scenes with captions, or larger, and now and then a small
thing of no class keeps it company.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evals.suite_mini.classes import ThingClass, can_be_seen
from evals.suite_mini.dice import Dice
from evals.suite_mini.render import SIDE, Placement, place_in_cell, render_placed
from evals.suite_mini.world import (
    BACKGROUNDS,
    GRID,
    SHAPES,
    Scene,
    Thing,
    colours_on,
    draw_texture,
    split_by_hash,
    split_of,
)

_COMPANY_CHANCE = 0.35
_SMALL_CHANCE = 0.2
# Factors of a thing's usual radius. Where the size makes the class, sizes stay well apart.
_ZOOMS = {"small": (1.2, 1.6), "large": (1.0, 1.6)}
_SIZE_CLASS_ZOOMS = {"small": (0.9, 1.0), "large": (1.0, 1.3)}
_COMPANION_ZOOM = (0.85, 1.0)


@dataclass(frozen=True)
class Portrait:
    """A scene with a main thing."""

    scene: Scene
    main: Thing
    kind: ThingClass


def make_portrait(
    seed: int, key: tuple[str, str, int], kind: ThingClass, known: Sequence[ThingClass]
) -> Portrait:
    """A scene of a class; it depends on its arguments and on nothing else.

    Args:
        seed: of the whole suite.
        key: collection, world ("train", "val" or "test") and index; the scene is drawn until it
            falls into that world.
        kind: the class of the main thing.
        known: all classes of the collection; other things of the scene belong to none of them.

    Returns:
        A scene of one or two things. Exactly one of the known classes is true of it.
    """
    dice = Dice(seed, *key, "scene")
    accompanied = dice.chance(_COMPANY_CHANCE)
    while True:
        background = dice.pick(BACKGROUNDS)
        main = _main_thing(kind, background, dice)
        if main is None:
            continue
        things = [main]
        if accompanied:
            things.append(_companion(main, background, known, dice))
        scene = Scene(background, tuple(sorted(things)))
        if world_of(scene) == key[1]:
            return Portrait(scene, main, kind)


def world_of(scene: Scene) -> str:
    """The world that a scene belongs to: as with captions, but one thing alone has no family.

    A scene of one thing belongs to a world with all its properties and its cell.
    """
    return split_of(scene) if len(scene.things) > 1 else split_by_hash(scene.key())


def draw_portrait(
    portrait: Portrait, dice: Dice
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Draw a portrait.

    Returns:
        Pixels [48, 48, 3], RGB, and the box around the main thing: left, top, right, bottom in
        pixels.
    """
    main = portrait.main
    zooms = _ZOOMS if portrait.kind.kind.size is None else _SIZE_CLASS_ZOOMS
    place = _placed(main, zooms[main.size], dice)
    others = [
        (thing, _placed(thing, _COMPANION_ZOOM, dice))
        for thing in portrait.scene.things
        if thing is not main
    ]
    pixels = render_placed(portrait.scene.background, [*others, (main, place)], dice)
    box = (
        max(int(place.x - place.radius), 0),
        max(int(place.y - place.radius), 0),
        min(int(place.x + place.radius) + 1, SIDE),
        min(int(place.y + place.radius) + 1, SIDE),
    )
    return pixels, box


def _main_thing(kind: ThingClass, background: str, dice: Dice) -> Thing | None:
    """A thing of the class; None if its colour cannot be seen well there."""
    wanted = kind.kind
    colour = wanted.colour or dice.pick(colours_on(background))
    if not can_be_seen(colour, background):
        return None
    # The rare shapes have more detail than a small drawing can show.
    small = dice.chance(_SMALL_CHANCE) and kind.captioned
    return Thing(
        cell=dice.below(GRID * GRID),
        shape=wanted.shape,
        colour=colour,
        size=wanted.size or ("small" if small else "large"),
        texture=wanted.texture or draw_texture(dice),
    )


def _companion(main: Thing, background: str, known: Sequence[ThingClass], dice: Dice) -> Thing:
    """A small thing of no known class, in a cell that the main thing does not reach."""
    cells = [
        cell
        for cell in range(GRID * GRID)
        if max(abs(cell // GRID - main.row), abs(cell % GRID - main.column)) == 2
    ]
    # Nothing is two cells from the middle; there, corners are far enough.
    cells = cells or [0, 2, 6, 8]
    while True:
        thing = Thing(
            cell=dice.pick(cells),
            shape=dice.pick(SHAPES),
            colour=dice.pick(colours_on(background)),
            size="small",
            texture=draw_texture(dice),
        )
        if not any(other.kind.fits(thing) for other in known):
            return thing


def _placed(thing: Thing, zoom: tuple[float, float], dice: Dice) -> Placement:
    """About the thing's cell, larger by a factor, and whole inside the picture."""
    place = place_in_cell(thing, dice)
    radius = place.radius * dice.between(*zoom)
    x, y = (min(max(value, radius), SIDE - radius) for value in (place.x, place.y))
    return replace(place, x=x, y=y, radius=radius)
