"""Millions of short strings without millions of objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np


class Strings:
    """Strings in one piece of memory: their bytes, and where each ends."""

    def __init__(self) -> None:
        """Begin with none."""
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def add(self, text: str) -> None:
        """Append one."""
        self._bytes += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        """Their number."""
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        """The string of that number, from 0."""
        start, end = self._ends[number], self._ends[number + 1]
        return self._bytes[start:end].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """All of them, in order."""
        return (self[number] for number in range(len(self)))

    def lengths(self) -> np.ndarray:
        """Bytes of each, int64 [strings]."""
        return np.diff(np.frombuffer(self._ends, dtype=np.int64))
