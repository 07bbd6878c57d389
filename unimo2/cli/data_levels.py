"""Ceilings and floors of a generated suite's benchmarks, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = ("benchmark", "metric", "ideal", "chance", "majority", "one modality alone")
_NUMBERS = (2, 3, 4)

Levels = Mapping[str, Mapping[str, Any]]
"""By metric: "ideal", "chance", "majority" (numbers, or None) and "one_modality" (by name)."""


def level_table(levels: Mapping[str, Levels]) -> Iterator[str]:
    """The levels of all benchmarks.

    Args:
        levels: by benchmark, as in `suite.json`.

    Yields:
        The lines of a table; none without levels.
    """
    rows = [
        (benchmark, metric, *_numbers(level), _one_modality(level) or "-")
        for benchmark, metrics in levels.items()
        for metric, level in metrics.items()
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows) if rows else ():
        yield "  ".join(
            f"{cell:>{width}}" if place in _NUMBERS else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _numbers(level: Mapping[str, Any]) -> list[str]:
    values = (level.get(name) for name in ("ideal", "chance", "majority"))
    return ["-" if value is None else f"{value:.1f}" for value in values]


def _one_modality(level: Mapping[str, Any]) -> str:
    alone = level.get("one_modality", {})
    return ", ".join(f"{reader} {value:.1f}" for reader, value in alone.items())
