"""Shapes that no caption names: they occur in the labelled images alone.

Arithmetic on coordinates as in `shapes`, so that the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

from evals.suite_mini.shapes import Mask, Plane, box, disc, nothing, polygon

_ARROW_HEAD = ((0.02, -0.78), (0.98, 0.0), (0.02, 0.78))
_BELL = (
    (-0.46, -0.42),
    (0.46, -0.42),
    (0.58, 0.2),
    (0.92, 0.56),
    (0.92, 0.68),
    (-0.92, 0.68),
    (-0.92, 0.56),
    (-0.58, 0.2),
)
_CABIN = ((-0.62, 0.02), (-0.36, -0.58), (0.36, -0.58), (0.7, 0.02))
_CROWN = (
    (-0.84, 0.78),
    (-0.98, -0.62),
    (-0.45, 0.06),
    (0.0, -0.92),
    (0.45, 0.06),
    (0.98, -0.62),
    (0.84, 0.78),
)
_HULL = ((-0.98, 0.36), (0.98, 0.36), (0.58, 0.92), (-0.58, 0.92))
_SAIL = ((0.1, -0.96), (0.88, 0.24), (0.1, 0.24))
_JIB = ((-0.1, -0.72), (-0.1, 0.24), (-0.72, 0.24))
_EARS = (
    ((-0.82, -0.92), (-0.14, -0.56), (-0.82, 0.1)),
    ((0.82, -0.92), (0.14, -0.56), (0.82, 0.1)),
)
_TURN = 0.7071067811865476  # sine and cosine of 45 degrees


def _arrow(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.95, -0.3, 0.1, 0.3) | polygon(u, v, _ARROW_HEAD)


def _bell(u: Plane, v: Plane) -> Mask:
    dome = disc(u, v, 0.0, -0.42, 0.46) | polygon(u, v, _BELL)
    return dome | disc(u, v, 0.0, -0.84, 0.14) | _clapper(u, v)


def _clapper(u: Plane, v: Plane) -> Mask:
    return disc(u, v, 0.0, 0.74, 0.22) & (v > 0.6)


def _boat(u: Plane, v: Plane) -> Mask:
    return polygon(u, v, _HULL) | polygon(u, v, _SAIL) | polygon(u, v, _JIB) | _mast(u, v)


def _mast(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.1, -0.98, 0.1, 0.36)


def _butterfly(u: Plane, v: Plane) -> Mask:
    upper = disc(u, v, -0.52, -0.4, 0.46) | disc(u, v, 0.52, -0.4, 0.46)
    lower = disc(u, v, -0.44, 0.42, 0.38) | disc(u, v, 0.44, 0.42, 0.38)
    inner = polygon(u, v, ((-0.5, -0.6), (0.0, 0.0), (0.5, -0.6), (0.5, 0.6), (-0.5, 0.6)))
    return upper | lower | (inner & (abs(v) < 0.5)) | _insect(u, v)


def _insect(u: Plane, v: Plane) -> Mask:
    feelers = polygon(u, v, ((0.0, -0.4), (0.3, -0.98), (0.4, -0.9)))
    feelers |= polygon(u, v, ((0.0, -0.4), (-0.3, -0.98), (-0.4, -0.9)))
    return box(u, v, -0.1, -0.6, 0.1, 0.75) | feelers


def _car(u: Plane, v: Plane) -> Mask:
    body = box(u, v, -0.98, 0.0, 0.98, 0.5) | polygon(u, v, _CABIN)
    return body | _wheels(u, v)


def _wheels(u: Plane, v: Plane) -> Mask:
    return disc(u, v, -0.52, 0.5, 0.28) | disc(u, v, 0.52, 0.5, 0.28)


def _cat(u: Plane, v: Plane) -> Mask:
    head = (u * u) / 0.81 + (v - 0.16) * (v - 0.16) / 0.62 <= 1.0
    return head | polygon(u, v, _EARS[0]) | polygon(u, v, _EARS[1])


def _cat_face(u: Plane, v: Plane) -> Mask:
    eyes = disc(u, v, -0.36, 0.0, 0.15) | disc(u, v, 0.36, 0.0, 0.15)
    return eyes | polygon(u, v, ((-0.16, 0.28), (0.16, 0.28), (0.0, 0.46)))


def _crown(u: Plane, v: Plane) -> Mask:
    return polygon(u, v, _CROWN)


def _crown_band(u: Plane, v: Plane) -> Mask:
    return box(u, v, -1.0, 0.42, 1.0, 0.6)


def _cup(u: Plane, v: Plane) -> Mask:
    handle = disc(u, v, 0.42, 0.08, 0.52) & ~disc(u, v, 0.42, 0.08, 0.28)
    return box(u, v, -0.86, -0.66, 0.42, 0.8) | handle


def _drink(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.74, -0.66, 0.3, -0.46)


def _key(u: Plane, v: Plane) -> Mask:
    bow = disc(u, v, -0.45, 0.0, 0.54) & ~disc(u, v, -0.45, 0.0, 0.22)
    teeth = box(u, v, 0.32, 0.0, 0.56, 0.62) | box(u, v, 0.74, 0.0, 0.98, 0.62)
    return bow | box(u, v, -0.05, -0.22, 0.98, 0.22) | teeth


def _leaf(u: Plane, v: Plane) -> Mask:
    across, along = (u + v) * _TURN, (v - u) * _TURN
    blade = disc(across, along, -0.46, -0.1, 1.02) & disc(across, along, 0.46, -0.1, 1.02)
    return blade | box(across, along, -0.08, 0.5, 0.08, 1.1)


def _vein(u: Plane, v: Plane) -> Mask:
    across, along = (u + v) * _TURN, (v - u) * _TURN
    return box(across, along, -0.07, -0.72, 0.07, 1.1)


def _mushroom(u: Plane, v: Plane) -> Mask:
    cap = ((u * u) / 0.94 + (v - 0.12) * (v - 0.12) / 1.1 <= 1.0) & (v <= 0.12)
    return cap | _stem(u, v)


def _stem(u: Plane, v: Plane) -> Mask:
    return box(u, v, -0.3, 0.12, 0.3, 0.92)


def _umbrella(u: Plane, v: Plane) -> Mask:
    canopy = disc(u, v, 0.0, 0.02, 0.98) & (v <= 0.08)
    for middle in (-0.66, 0.0, 0.66):
        canopy = canopy & ~disc(u, v, middle, 0.2, 0.3)
    return canopy | _stick(u, v)


def _stick(u: Plane, v: Plane) -> Mask:
    hook = disc(u, v, -0.17, 0.72, 0.26) & ~disc(u, v, -0.17, 0.72, 0.1) & (v > 0.7)
    return box(u, v, -0.08, -0.08, 0.09, 0.74) | hook


RARE_SILHOUETTES: dict[str, Callable[[Plane, Plane], Mask]] = {
    "arrow": _arrow,
    "bell": _bell,
    "boat": _boat,
    "butterfly": _butterfly,
    "car": _car,
    "cat": _cat,
    "crown": _crown,
    "cup": _cup,
    "key": _key,
    "leaf": _leaf,
    "mushroom": _mushroom,
    "umbrella": _umbrella,
}
"""Everything that belongs to the shape."""

RARE_DETAILS: dict[str, Callable[[Plane, Plane], Mask]] = {
    **dict.fromkeys(RARE_SILHOUETTES, nothing),
    "bell": _clapper,
    "boat": _mast,
    "butterfly": _insect,
    "car": _wheels,
    "cat": _cat_face,
    "crown": _crown_band,
    "cup": _drink,
    "leaf": _vein,
    "mushroom": _stem,
    "umbrella": _stick,
}
"""The part that keeps a colour of its own whatever colour the shape has."""
