"""Silhouettes and textures as arithmetic on coordinates.

Only additions, products, comparisons and floors of float64 are used (no sine, no library
rasteriser), which IEEE 754 defines to the last bit: the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]  # [height, width] coordinates; the shape's radius is 1, v grows down
Mask = NDArray[np.bool_]  # [height, width]

# Five points of radius 0.98 and 0.42 in turn, the first one up.
_STAR = (
    (0.0, -0.98),
    (0.247, -0.34),
    (0.932, -0.303),
    (0.399, 0.13),
    (0.576, 0.793),
    (0.0, 0.42),
    (-0.576, 0.793),
    (-0.399, 0.13),
    (-0.932, -0.303),
    (-0.247, -0.34),
)
_PETALS = ((0.0, -0.6), (0.571, -0.185), (0.353, 0.485), (-0.353, 0.485), (-0.571, -0.185))


def disc(u: Plane, v: Plane, x: float, y: float, radius: float) -> Mask:
    """The points within a radius of (x, y)."""
    right, down = u - x, v - y
    right *= right
    down *= down
    right += down
    return np.asarray(right <= radius * radius)


def box(u: Plane, v: Plane, left: float, top: float, right: float, bottom: float) -> Mask:
    """The points of an upright rectangle."""
    return np.asarray((u >= left) & (u <= right) & (v >= top) & (v <= bottom))


def polygon(u: Plane, v: Plane, corners: Sequence[tuple[float, float]]) -> Mask:
    """Even-odd rule: a point is inside if a ray to the right crosses the border an odd time."""
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


def nothing(u: Plane, v: Plane) -> Mask:
    """No point at all."""
    return np.zeros(u.shape, dtype=bool)


def _circle(u: Plane, v: Plane) -> Mask:
    return disc(u, v, 0.0, 0.0, 0.95)


def _square(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.82, -0.82, 0.82, 0.82)


def _triangle(u: Plane, v: Plane) -> Mask:
    return polygon(u, v, ((0.0, -0.95), (0.98, 0.8), (-0.98, 0.8)))


def _star(u: Plane, v: Plane) -> Mask:
    return polygon(u, v, _STAR)


def _heart(u: Plane, v: Plane) -> Mask:
    # The curve (x^2 + y^2 - 1)^3 = x^2 y^3.
    x, y = 1.2 * u, 0.15 - 1.2 * v
    core = x * x + y * y - 1.0
    return np.asarray(core * core * core - x * x * y * y * y <= 0.0)


def _cross(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.3, -0.95, 0.3, 0.95) | box(u, v, -0.95, -0.3, 0.95, 0.3)


def _ring(u: Plane, v: Plane) -> Mask:
    return disc(u, v, 0.0, 0.0, 0.98) & ~disc(u, v, 0.0, 0.0, 0.46)


def _moon(u: Plane, v: Plane) -> Mask:
    return disc(u, v, 0.0, 0.0, 0.98) & ~disc(u, v, 0.56, -0.14, 0.78)


def _flower(u: Plane, v: Plane) -> Mask:
    petals = disc(u, v, 0.0, 0.0, 0.4)
    for x, y in _PETALS:
        petals |= disc(u, v, x, y, 0.38)
    return petals


def _flower_heart(u: Plane, v: Plane) -> Mask:
    return disc(u, v, 0.0, 0.0, 0.27)


def _house(u: Plane, v: Plane) -> Mask:
    roof = polygon(u, v, ((0.0, -0.98), (0.98, -0.1), (-0.98, -0.1)))
    return roof | box(u, v, -0.72, -0.12, 0.72, 0.92)


def _door(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.22, 0.3, 0.22, 0.92)


def _fish(u: Plane, v: Plane) -> Mask:
    body = np.asarray((u + 0.25) * (u + 0.25) / 0.52 + v * v / 0.3 <= 1.0)
    return body | polygon(u, v, ((0.25, 0.0), (0.98, -0.6), (0.98, 0.6)))


def _eye(u: Plane, v: Plane) -> Mask:
    return disc(u, v, -0.58, -0.12, 0.14)


def _tree(u: Plane, v: Plane) -> Mask:
    crown = disc(u, v, 0.0, -0.5, 0.5) | disc(u, v, -0.45, -0.05, 0.46)
    return crown | disc(u, v, 0.45, -0.05, 0.46) | _trunk(u, v)


def _trunk(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.17, 0.3, 0.17, 0.98)


SILHOUETTES: dict[str, Callable[[Plane, Plane], Mask]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "moon": _moon,
    "flower": _flower,
    "house": _house,
    "fish": _fish,
    "tree": _tree,
}
"""Everything that belongs to the shape."""

DETAILS: dict[str, Callable[[Plane, Plane], Mask]] = {
    **dict.fromkeys(SILHOUETTES, nothing),
    "flower": _flower_heart,
    "house": _door,
    "fish": _eye,
    "tree": _trunk,
}
"""The part that keeps a colour of its own whatever colour the shape has."""


def texture_mask(texture: str, u: Plane, v: Plane, period: float) -> Mask:
    """Where a texture shows its second colour.

    Args:
        texture: "plain", "striped" or "dotted".
        u: [height, width] coordinate across the stripes.
        v: [height, width] coordinate along them.
        period: of the pattern, in the units of u and v.

    Returns:
        Mask [height, width].
    """
    if texture == "plain":
        return nothing(u, v)
    across = u / period
    if texture == "striped":
        return np.asarray(across - np.floor(across) < 0.45)
    along = v / period
    # Every other row of dots is moved by half a period.
    across = across + 0.5 * np.floor(along)
    return disc(across - np.floor(across), along - np.floor(along), 0.5, 0.5, 0.32)
