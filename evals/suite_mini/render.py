"""Scenes to pixels: drawn four times too large and averaged down, in several styles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.suite_mini.dice import Dice
from evals.suite_mini.shapes import DETAILS, SILHOUETTES, Mask, Plane, texture_mask
from evals.suite_mini.world import GRID, Scene, Thing

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


Axis = NDArray[np.floating[Any]]  # [1, width] or [height, 1]

SIDE = 48
"""Width and height of a picture in pixels."""
SUPERSAMPLING = 4
STYLES = ("flat", "contour", "sticker", "shaded")
"""Bare, with a dark edge, with a light edge, lit from one side."""

_PAINTS: dict[str, Colour] = {
    "red": (214, 32, 38),
    "orange": (246, 134, 22),
    "yellow": (250, 218, 30),
    "green": (24, 142, 56),
    "blue": (38, 82, 222),
    "purple": (126, 42, 162),
    "pink": (250, 142, 192),
    "black": (26, 26, 28),
    "white": (252, 252, 252),
    "brown": (118, 72, 34),
    "turquoise": (28, 190, 178),
}
_DETAIL_PAINTS: dict[str, Colour] = {
    "flower": (250, 226, 120),
    "house": (92, 58, 40),
    "fish": (10, 10, 10),
    "tree": (112, 74, 40),
    "bell": (84, 66, 30),
    "boat": (92, 58, 40),
    "butterfly": (132, 94, 58),
    "car": (40, 40, 46),
    "cat": (16, 18, 16),
    "crown": (255, 240, 170),
    "cup": (74, 42, 24),
    "leaf": (232, 236, 190),
    "mushroom": (240, 224, 190),
    "umbrella": (72, 52, 40),
}
_DARK, _LIGHT = (30, 30, 34), (250, 250, 250)
_PAINT_JITTER = 12
_RADII = {"small": (5.1, 5.8), "large": (7.4, 8.4)}  # pixels
_OFFSETS = {"small": 2.0, "large": 0.6}  # pixels by which a thing may leave its cell's centre
_PERIODS = {"small": 0.62, "large": 0.56}  # radii
_RIMS = {"small": 2, "large": 2}  # supersampled pixels
_TILT = 0.12  # tangent of half the largest angle: about 14 degrees
_SLANTS = (0.0, 1.0, 0.414)  # of stripes: along, across, and aslant, as tangents of half angles


@dataclass(frozen=True)
class Placement:
    """Where a thing is drawn, and how large; in pixels from the top left corner."""

    x: float
    y: float
    radius: float


def render(scene: Scene, dice: Dice) -> NDArray[np.uint8]:
    """Draw a scene; the dice decide what it leaves open: style, exact place, size, angle, shade.

    Returns:
        Pixels [48, 48, 3], RGB.
    """
    # One after the other: a thing's place is chosen when the thing is drawn.
    placed = ((thing, place_in_cell(thing, dice)) for thing in scene.things)
    return render_placed(scene.background, placed, dice)


def render_placed(
    background: str, placed: Iterable[tuple[Thing, Placement]], dice: Dice
) -> NDArray[np.uint8]:
    """Draw things where they are put; a later one covers an earlier one.

    Args:
        background: One of `world.BACKGROUNDS`.
        placed: The things, each with its place. Their cells and sizes have no influence on where
            they are, only on how a texture is drawn.
        dice: For style, angle and shade.

    Returns:
        Pixels [48, 48, 3], RGB.
    """
    canvas = draw_background(background, SIDE * SUPERSAMPLING, dice)
    style = dice.pick(STYLES)
    for thing, place in placed:
        _draw_thing(canvas, thing, place, style, dice)
    return _averaged(canvas)


def place_in_cell(thing: Thing, dice: Dice) -> Placement:
    """A place near the centre of the thing's cell, with a radius of its size."""
    cell = SIDE / GRID
    reach = _OFFSETS[thing.size]
    x = (thing.column + 0.5) * cell + dice.between(-reach, reach)
    y = (thing.row + 0.5) * cell + dice.between(-reach, reach)
    return Placement(x, y, dice.between(*_RADII[thing.size]))


def _averaged(canvas: Canvas) -> NDArray[np.uint8]:
    """Means over squares of supersampled pixels, rounded: integers only, so exact.

    Sums of 16 levels take 12 bits, so red and blue are added up in the halves of one number.
    """
    pixels = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    for channel, levels in ((0, canvas & 0xFF00FF), (1, canvas >> 8 & 0xFF)):
        rows = levels.reshape(SIDE, SUPERSAMPLING, -1).sum(axis=1, dtype=np.uint32)
        sums = rows.reshape(SIDE, SIDE, SUPERSAMPLING).sum(axis=2, dtype=np.uint32)
        means = (sums + 0x80008) >> 4
        pixels[..., channel] = means & 0xFF
        if channel == 0:
            pixels[..., 2] = means >> 16
    return pixels


def _draw_thing(canvas: Canvas, thing: Thing, place: Placement, style: str, dice: Dice) -> None:
    rows, columns, across, down = _local_plane(place.x, place.y, place.radius)
    tilt = dice.between(-_TILT, _TILT)
    # Mirrored: fish swim and moons open both ways.
    u, v = _turned(across, down, tilt, mirrored=dice.chance(0.5))
    body = SILHOUETTES[thing.shape](u, v)
    paint = jittered(_PAINTS[thing.colour], _PAINT_JITTER, dice)
    slant = dice.pick(_SLANTS) + dice.between(-0.05, 0.05)
    colours = np.full(body.shape, packed(paint), dtype=np.uint32)
    if thing.texture != "plain":
        stripes_u, stripes_v = _turned(across, down, slant)
        second = texture_mask(thing.texture, stripes_u + 8.0, stripes_v + 8.0, _period(thing))
        # A texture keeps away from the edge, so that the silhouette stays whole.
        second &= _eroded(body, _RIMS[thing.size])
        np.copyto(colours, np.uint32(packed(_second_paint(paint, thing.size))), where=second)
    if thing.shape in _DETAIL_PAINTS:
        detail = DETAILS[thing.shape](u, v)
        np.copyto(colours, np.uint32(packed(_DETAIL_PAINTS[thing.shape])), where=detail)
    if style == "shaded":
        colours = _lit(colours, across, down)
    # A contour would leave too little of a texture on a small thing.
    if style in ("contour", "sticker") and (thing.size == "large" or thing.texture == "plain"):
        edge = body & ~_eroded(body, SUPERSAMPLING * 3 // 4)
        dark = (style == "contour") != (_brightness(paint) < 900)
        np.copyto(colours, np.uint32(packed(_DARK if dark else _LIGHT)), where=edge)
    np.copyto(canvas[rows, columns], colours, where=body)


def _period(thing: Thing) -> float:
    """Texture period in radii: 4 to 6 pixels, so that it outlives the averaging down."""
    return _PERIODS[thing.size] * (1.2 if thing.texture == "dotted" else 1.0)


def _local_plane(x: float, y: float, radius: float) -> tuple[slice, slice, Axis, Axis]:
    """The part of the canvas around a point, with coordinates in radii from it along its axes."""
    scale, side = SUPERSAMPLING, SIDE * SUPERSAMPLING
    reach = int(radius * scale) + 2
    top, left = max(int(y * scale) - reach, 0), max(int(x * scale) - reach, 0)
    bottom, right = min(int(y * scale) + reach, side), min(int(x * scale) + reach, side)
    down = (np.arange(top, bottom, dtype=np.float64) + 0.5 - y * scale) / (radius * scale)
    across = (np.arange(left, right, dtype=np.float64) + 0.5 - x * scale) / (radius * scale)
    return slice(top, bottom), slice(left, right), across[None, :], down[:, None]


def _turned(
    across: Axis, down: Axis, half_tangent: float, mirrored: bool = False
) -> tuple[Plane, Plane]:
    """Coordinates turned by an angle; its sine and cosine come from tan(angle / 2), exactly."""
    square = half_tangent * half_tangent
    cosine, sine = (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)
    u, v = across * cosine + down * sine, down * cosine - across * sine
    return (-u if mirrored else u), v


def _brightness(paint: Colour) -> int:
    return 3 * paint[0] + 6 * paint[1] + paint[2]


def _second_paint(paint: Colour, size: str) -> Colour:
    """The other colour of a texture: white on dark paint, a dark shade of light paint.

    On a small thing it is mixed with the paint, so that the paint's colour stays the main one.
    """
    if _brightness(paint) < 1300:
        other: tuple[int, ...] = (246, 246, 246)
    else:
        other = tuple(level * 3 // 10 for level in paint)
    if size == "small":
        other = tuple((level + 4 * second) // 5 for level, second in zip(paint, other, strict=True))
    return other[0], other[1], other[2]


def _lit(colours: Canvas, across: Axis, down: Axis) -> Canvas:
    """Brighter at the upper left, darker at the lower right."""
    light = np.clip(1.0 - 0.22 * (across + down), 0.65, 1.3)
    lit = np.zeros_like(colours)
    for shift in (0, 8, 16):
        levels = np.floor((colours >> shift & 0xFF) * light)
        lit |= np.minimum(levels, 255.0).astype(np.uint32) << shift
    return lit


def _eroded(mask: Mask, steps: int) -> Mask:
    """The mask without its border of that many (supersampled) pixels."""
    inner = mask.copy()
    inner[:steps] = inner[-steps:] = False
    inner[:, :steps] = inner[:, -steps:] = False
    inner[steps:] &= mask[:-steps]
    inner[:-steps] &= mask[steps:]
    inner[:, steps:] &= mask[:, :-steps]
    inner[:, :-steps] &= mask[:, steps:]
    return inner
