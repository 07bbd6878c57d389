"""The backgrounds of the mini world, drawn with integers only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evals.suite_mini.dice import Dice

Canvas = NDArray[np.uint32]  # [side, side] packed colours
Colour = tuple[int, int, int]

_BASES: dict[str, Colour] = {
    "paper": (246, 246, 240),
    "night": (22, 24, 58),
    "sea": (140, 200, 232),
    "meadow": (158, 212, 122),
    "sand": (236, 216, 168),
    "bricks": (196, 136, 116),
    "planks": (204, 168, 122),
    "tiles": (168, 168, 173),
}
_BASE_JITTER = 7
_SPECKS: tuple[Colour, ...] = ((255, 255, 235), (170, 176, 205))


def draw_background(name: str, side: int, dice: Dice) -> Canvas:
    """A fresh canvas.

    Args:
        name: one of `world.BACKGROUNDS`.
        side: width and height in (supersampled) pixels; a multiple of 48.
        dice: for its shade and for where its details lie.

    Returns:
        Canvas [side, side].
    """
    base = jittered(_BASES[name], _BASE_JITTER, dice)
    canvas = np.full((side, side), packed(base), dtype=np.uint32)
    _PAINTERS[name](canvas, base, side // 48, dice)
    return canvas


def jittered(colour: Colour, spread: int, dice: Dice) -> Colour:
    """The colour with each channel moved by at most `spread` levels."""
    red, green, blue = (
        min(255, max(0, level + dice.below(2 * spread + 1) - spread)) for level in colour
    )
    return red, green, blue


def packed(colour: Colour) -> int:
    """Red, green and blue in one number, eight bits each, red the lowest."""
    return colour[0] | colour[1] << 8 | colour[2] << 16


def _shifted(colour: Colour, levels: int) -> int:
    red, green, blue = (min(255, max(0, level + levels)) for level in colour)
    return packed((red, green, blue))


def _paper(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Ruled: a thin bluish line every 8 pixels."""
    start = dice.below(8 * pixel)
    for top in range(start, len(canvas), 8 * pixel):
        canvas[top : top + pixel] = packed((176, 196, 226))


def _night(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Dark, with two dozen specks of light."""
    for _ in range(24):
        y, x = dice.below(len(canvas) - pixel), dice.below(len(canvas) - pixel)
        canvas[y : y + pixel, x : x + pixel] = packed(dice.pick(_SPECKS))


def _sea(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Zigzag waves."""
    rows = np.arange(len(canvas)) + dice.below(10 * pixel)
    columns = np.arange(len(canvas)) + dice.below(12 * pixel)
    crest = np.abs(columns % (12 * pixel) - 6 * pixel) // 2
    wave = (rows[:, None] + crest[None, :]) % (10 * pixel) < 2 * pixel
    canvas[wave] = _shifted(base, -38)


def _meadow(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Blades of grass."""
    for _ in range(70):
        y, x = dice.below(len(canvas) - 3 * pixel), dice.below(len(canvas) - pixel)
        canvas[y : y + 3 * pixel, x : x + pixel] = _shifted(base, dice.pick((-46, -30)))


def _sand(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Grains."""
    for _ in range(90):
        y, x = dice.below(len(canvas) - pixel), dice.below(len(canvas) - pixel)
        canvas[y : y + pixel, x : x + pixel] = _shifted(base, dice.pick((-50, -34, 16)))


def _bricks(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Courses of 6 pixels, joints of one."""
    course = 6 * pixel
    start = dice.below(course)
    mortar = _shifted(base, 44)
    for number, top in enumerate(range(start - course, len(canvas), course)):
        canvas[max(top, 0) : max(top + pixel, 0)] = mortar
        for left in range((number % 2) * course, len(canvas), 2 * course):
            canvas[max(top, 0) : max(top + course, 0), left : left + pixel] = mortar


def _planks(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """Upright boards of 8 pixels, each a little different."""
    board = 8 * pixel
    start = dice.below(board)
    for left in range(start - board, len(canvas), board):
        canvas[:, max(left, 0) : max(left + board, 0)] = _shifted(base, dice.below(25) - 12)
        canvas[:, max(left, 0) : max(left + pixel, 0)] = _shifted(base, -70)


def _tiles(canvas: Canvas, base: Colour, pixel: int, dice: Dice) -> None:
    """A grid of light joints, 12 pixels apart."""
    joint = _shifted(base, 40)
    for start in range(dice.below(12 * pixel), len(canvas), 12 * pixel):
        canvas[start : start + pixel] = joint
        canvas[:, start : start + pixel] = joint


_PAINTERS: dict[str, Callable[[Canvas, Colour, int, Dice], None]] = {
    "paper": _paper,
    "night": _night,
    "sea": _sea,
    "meadow": _meadow,
    "sand": _sand,
    "bricks": _bricks,
    "planks": _planks,
    "tiles": _tiles,
}
