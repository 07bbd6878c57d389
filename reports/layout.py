"""What a table is before it is rendered: a title, a frame of texts, and notes."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table whose every cell is text, ready to be rendered in any format.

    Attributes:
        title: one line above the table.
        frame: index are the row labels, or (group, label) where rows stand in groups; columns are
            names, or tuples of names from the outermost head inwards.
        notes: lines beneath the table.
    """

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def heads(self) -> list[str]:
        """The column heads as single lines, the row labels' head first."""
        return [str(self.frame.index.names[-1] or ""), *map(_flat, self.frame.columns)]

    def groups(self) -> list[tuple[str, list[list[str]]]]:
        """Rows as lists of cells, label first, under their group's name ("" for none)."""
        groups: list[tuple[str, list[list[str]]]] = []
        for key, cells in zip(self.frame.index, self.frame.to_numpy(), strict=True):
            group, label = key if isinstance(key, tuple) else ("", key)
            if not groups or groups[-1][0] != group:
                groups.append((str(group), []))
            groups[-1][1].append([str(label), *map(str, cells)])
        return groups


def _flat(column: object) -> str:
    parts = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if part != "")
