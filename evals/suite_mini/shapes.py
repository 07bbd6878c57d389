"""Silhouettes and textures as arithmetic on coordinates.

Only additions, products, comparisons and floors of float64 are used (no sine, no library
rasteriser), which IEEE 754 defines to the last bit: the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]  # [height, width] coordinates; the shape's radius is 1, v grows down
Mask = NDArray[np.bool_]  # [height, width]
Region = Callable[[Plane, Plane], Mask]
"""The points of a plane that belong to it, from their coordinates u and v."""

_FAR = 9.0  # beyond every point of a shape
_TURN = 0.7071067811865476  # sine and cosine of 45 degrees


def disc(x: float, y: float, radius: float) -> Region:
    """The points within a radius of (x, y)."""

    def region(u: Plane, v: Plane) -> Mask:
        right, down = u - x, v - y
        right *= right
        down *= down
        right += down
        return np.asarray(right <= radius * radius)

    return region


def ellipse(x: float, y: float, width: float, height: float) -> Region:
    """The points around (x, y) with (u - x)^2 / width + (v - y)^2 / height <= 1."""

    def region(u: Plane, v: Plane) -> Mask:
        right, down = u - x, v - y
        return np.asarray(right * right / width + down * down / height <= 1.0)

    return region


def box(left: float, top: float, right: float, bottom: float) -> Region:
    """The points of an upright rectangle."""
    return lambda u, v: np.asarray((u >= left) & (u <= right) & (v >= top) & (v <= bottom))


def above(bottom: float) -> Region:
    """The points with v <= bottom."""
    return box(-_FAR, -_FAR, _FAR, bottom)


def polygon(*corners: tuple[float, float]) -> Region:
    """Even-odd rule: a point is inside if a ray to the right crosses the border an odd time."""

    def region(u: Plane, v: Plane) -> Mask:
        inside = np.zeros(u.shape, dtype=bool)
        x0, y0 = corners[-1]
        start_below = v < y0
        for x1, y1 in corners:
            end_below = v < y1
            if y0 != y1:
                crossing = v - y0
                crossing *= (x1 - x0) / (y1 - y0)
                crossing += x0
                inside ^= (start_below ^ end_below) & (u < crossing)
            x0, y0, start_below = x1, y1, end_below
        return inside

    return region


def union(*parts: Region) -> Region:
    """The points of any of the parts."""
    return lambda u, v: reduce(or_, (part(u, v) for part in parts))


def common(first: Region, second: Region) -> Region:
    """The points of both."""
    return lambda u, v: first(u, v) & second(u, v)


def without(whole: Region, *holes: Region) -> Region:
    """The points of the whole that lie in no hole."""
    return lambda u, v: whole(u, v) & ~union(*holes)(u, v)


def both_sides(part: Region) -> Region:
    """The part and its mirror image."""
    return lambda u, v: part(u, v) | part(-u, v)


def _aslant(part: Region) -> Region:
    """The part, turned by 45 degrees."""
    return lambda u, v: part((u + v) * _TURN, (v - u) * _TURN)


def _heart(u: Plane, v: Plane) -> Mask:
    """The curve (x^2 + y^2 - 1)^3 = x^2 y^3."""
    x, y = 1.2 * u, 0.15 - 1.2 * v
    core = x * x + y * y - 1.0
    return np.asarray(core * core * core - x * x * y * y * y <= 0.0)


# Five points of radius 0.98 and 0.42 in turn, the first one up.
_STAR_TIPS = ((0.0, -0.98), (0.932, -0.303), (0.576, 0.793), (-0.576, 0.793), (-0.932, -0.303))
_STAR_NOOKS = ((0.247, -0.34), (0.399, 0.13), (0.0, 0.42), (-0.399, 0.13), (-0.247, -0.34))
_STAR = [corner for pair in zip(_STAR_TIPS, _STAR_NOOKS, strict=True) for corner in pair]
_PETALS = ((0.0, -0.6), (0.571, -0.185), (0.353, 0.485), (-0.353, 0.485), (-0.571, -0.185))
_WING = union(disc(0.52, -0.4, 0.46), disc(0.44, 0.42, 0.38))
_WING_ROOTS = polygon((-0.5, -0.6), (0.0, 0.0), (0.5, -0.6), (0.5, 0.6), (-0.5, 0.6))

_BELL = ((-0.46, -0.42), (0.46, -0.42), (0.58, 0.2), (0.92, 0.56), (0.92, 0.68), (-0.92, 0.68))
_CROWN = ((-0.84, 0.78), (-0.98, -0.62), (-0.45, 0.06), (0.0, -0.92), (0.45, 0.06), (0.98, -0.62))

DETAILS: dict[str, Region] = {
    "flower": disc(0.0, 0.0, 0.27),
    "house": box(-0.22, 0.3, 0.22, 0.92),
    "fish": disc(-0.58, -0.12, 0.14),
    "tree": box(-0.17, 0.3, 0.17, 0.98),
    "bell": without(disc(0.0, 0.74, 0.22), above(0.6)),
    "boat": box(-0.1, -0.98, 0.1, 0.36),
    "butterfly": union(
        box(-0.1, -0.6, 0.1, 0.75),
        polygon((0.0, -0.4), (0.3, -0.98), (0.4, -0.9)),
        polygon((0.0, -0.4), (-0.3, -0.98), (-0.4, -0.9)),
    ),
    "car": both_sides(disc(0.52, 0.5, 0.28)),
    "cat": union(
        both_sides(disc(0.36, 0.0, 0.15)), polygon((-0.16, 0.28), (0.16, 0.28), (0.0, 0.46))
    ),
    "crown": box(-1.0, 0.42, 1.0, 0.6),
    "cup": box(-0.74, -0.66, 0.3, -0.46),
    "leaf": _aslant(box(-0.07, -0.72, 0.07, 1.1)),
    "mushroom": box(-0.3, 0.12, 0.3, 0.92),
    "umbrella": union(
        box(-0.08, -0.08, 0.09, 0.74),
        without(disc(-0.17, 0.72, 0.26), disc(-0.17, 0.72, 0.1), above(0.7)),
    ),
}
"""The part that keeps a colour of its own whatever colour the shape has, where there is one."""

SILHOUETTES: dict[str, Region] = {
    "circle": disc(0.0, 0.0, 0.95),
    "square": box(-0.82, -0.82, 0.82, 0.82),
    "triangle": polygon((0.0, -0.95), (0.98, 0.8), (-0.98, 0.8)),
    "star": polygon(*_STAR),
    "heart": _heart,
    "cross": union(box(-0.3, -0.95, 0.3, 0.95), box(-0.95, -0.3, 0.95, 0.3)),
    "ring": without(disc(0.0, 0.0, 0.98), disc(0.0, 0.0, 0.46)),
    "moon": without(disc(0.0, 0.0, 0.98), disc(0.56, -0.14, 0.78)),
    "flower": union(disc(0.0, 0.0, 0.4), *(disc(x, y, 0.38) for x, y in _PETALS)),
    "house": union(
        polygon((0.0, -0.98), (0.98, -0.1), (-0.98, -0.1)), box(-0.72, -0.12, 0.72, 0.92)
    ),
    "fish": union(ellipse(-0.25, 0.0, 0.52, 0.3), polygon((0.25, 0.0), (0.98, -0.6), (0.98, 0.6))),
    "tree": union(disc(0.0, -0.5, 0.5), both_sides(disc(0.45, -0.05, 0.46)), DETAILS["tree"]),
    # The rare shapes occur in no caption, only in the labelled images.
    "arrow": union(box(-0.95, -0.3, 0.1, 0.3), polygon((0.02, -0.78), (0.98, 0.0), (0.02, 0.78))),
    "bell": union(
        disc(0.0, -0.42, 0.46),
        polygon(*_BELL, (-0.92, 0.56), (-0.58, 0.2)),
        disc(0.0, -0.84, 0.14),
        DETAILS["bell"],
    ),
    "boat": union(
        polygon((-0.98, 0.36), (0.98, 0.36), (0.58, 0.92), (-0.58, 0.92)),  # hull
        polygon((0.1, -0.96), (0.88, 0.24), (0.1, 0.24)),  # sail
        polygon((-0.1, -0.72), (-0.1, 0.24), (-0.72, 0.24)),  # jib
        DETAILS["boat"],
    ),
    "butterfly": union(
        both_sides(_WING),
        without(_WING_ROOTS, above(-0.5), box(-_FAR, 0.5, _FAR, _FAR)),
        DETAILS["butterfly"],
    ),
    "car": union(
        box(-0.98, 0.0, 0.98, 0.5),
        polygon((-0.62, 0.02), (-0.36, -0.58), (0.36, -0.58), (0.7, 0.02)),
        DETAILS["car"],
    ),
    "cat": union(
        ellipse(0.0, 0.16, 0.81, 0.62),
        polygon((-0.82, -0.92), (-0.14, -0.56), (-0.82, 0.1)),
        polygon((0.82, -0.92), (0.14, -0.56), (0.82, 0.1)),
    ),
    "crown": polygon(*_CROWN, (0.84, 0.78)),
    "cup": union(
        box(-0.86, -0.66, 0.42, 0.8), without(disc(0.42, 0.08, 0.52), disc(0.42, 0.08, 0.28))
    ),
    "key": union(
        without(disc(-0.45, 0.0, 0.54), disc(-0.45, 0.0, 0.22)),
        box(-0.05, -0.22, 0.98, 0.22),
        box(0.32, 0.0, 0.56, 0.62),
        box(0.74, 0.0, 0.98, 0.62),
    ),
    "leaf": _aslant(
        union(common(disc(-0.46, -0.1, 1.02), disc(0.46, -0.1, 1.02)), box(-0.08, 0.5, 0.08, 1.1))
    ),
    "mushroom": union(common(ellipse(0.0, 0.12, 0.94, 1.1), above(0.12)), DETAILS["mushroom"]),
    "umbrella": union(
        without(
            common(disc(0.0, 0.02, 0.98), above(0.08)),
            *(disc(middle, 0.2, 0.3) for middle in (-0.66, 0.0, 0.66)),
        ),
        DETAILS["umbrella"],
    ),
}
"""Everything that belongs to the shape."""


def texture_mask(texture: str, u: Plane, v: Plane, period: float) -> Mask:
    """Where a texture shows its second colour.

    Args:
        texture: "striped" or "dotted".
        u: [height, width] coordinate across the stripes.
        v: [height, width] coordinate along them.
        period: Of the pattern, in the units of u and v.

    Returns:
        Mask [height, width].
    """
    across = u / period
    if texture == "striped":
        return np.asarray(across - np.floor(across) < 0.45)
    along = v / period
    # Every other row of dots is moved by half a period.
    across = across + 0.5 * np.floor(along)
    return disc(0.5, 0.5, 0.32)(across - np.floor(across), along - np.floor(along))
