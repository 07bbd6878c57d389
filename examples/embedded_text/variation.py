"""Scenes that are nearly another one: what the second sentence of a pair may be about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evals.suite_mini.dice import Dice
from evals.suite_mini.world import (
    BACKGROUNDS,
    COLOURS,
    GRID,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
    split_of,
)

_FIELDS = ("shape", "colour", "colour", "size", "texture", "cell", "cell")
_VALUES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "texture": TEXTURES}
_SWAPPED = ("colour", "cell", "size", "shape")


def changed(scene: Scene, world: str, edits: int, dice: Dice) -> Scene:
    """The scene with a few properties changed, still of the same world."""
    while True:
        other = scene
        for _ in range(edits):
            other = dice.pick((_one_changed, _one_changed, _two_swapped, _background))(other, dice)
        if split_of(other) == world and other != scene:
            return other


def _one_changed(scene: Scene, dice: Dice) -> Scene:
    index = dice.below(len(scene.things))
    name = dice.pick(_FIELDS)
    if name == "cell":
        taken = {thing.cell for thing in scene.things}
        changes: dict[str, Any] = {
            "cell": dice.pick([cell for cell in range(GRID * GRID) if cell not in taken])
        }
    else:
        changes = {name: dice.pick(_VALUES[name])}
    return _with(scene, {index: replace(scene.things[index], **changes)})


def _two_swapped(scene: Scene, dice: Dice) -> Scene:
    first, second = dice.shuffled(range(len(scene.things)))[:2]
    name = dice.pick(_SWAPPED)
    one, other = scene.things[first], scene.things[second]
    return _with(
        scene,
        {
            first: replace(one, **{name: getattr(other, name)}),
            second: replace(other, **{name: getattr(one, name)}),
        },
    )


def _background(scene: Scene, dice: Dice) -> Scene:
    return Scene(dice.pick(BACKGROUNDS), scene.things)


def _with(scene: Scene, things: dict[int, Thing]) -> Scene:
    kept = [things.get(index, thing) for index, thing in enumerate(scene.things)]
    return Scene(scene.background, tuple(sorted(kept)))
