"""What each benchmark of a generated suite can give at best and by guessing, as lines of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEADINGS = ("benchmark", "metric", "ideal", "chance", "majority", "one modality alone")
_NUMBERS = (2, 3, 4)
_UNKNOWN = "-"


def levels_table(levels: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """The ceilings and floors of benchmarks, one line a metric below a line of headings.

    Args:
        levels: benchmark -> metric -> "ideal", "chance", "majority" (percent; None or absent where
            the metric has no such level) and "one_modality" (name of the reader -> percent), as
            `suite.json` has it under "levels".

    Returns:
        The lines; none without levels.
    """
    rows = [
        (benchmark, metric, *_cells(level))
        for benchmark, metrics in levels.items()
        for metric, level in metrics.items()
    ]
    return _aligned((_HEADINGS, *rows)) if rows else []


def _cells(level: Mapping[str, Any]) -> tuple[str, str, str, str]:
    readers = level.get("one_modality") or {}
    alone = ", ".join(f"{reader} {value:.1f}" for reader, value in readers.items())
    return (
        _number(level.get("ideal")),
        _number(level.get("chance")),
        _number(level.get("majority")),
        alone or _UNKNOWN,
    )


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            f"{cell:>{width}}" if column in _NUMBERS else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
