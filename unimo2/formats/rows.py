"""Reading files line by line, and counting what is left out instead of leaving it out silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unimo2.errors import BadData, MissingData

BROKEN_ROW = "broken row"
DUPLICATE = "id that occurs twice"
MISSING_IMAGE = "image not on disk"
UNKNOWN_LABEL = "unknown label"


class DuplicateId(BadData):
    """An id or a file name that may occur once occurs again."""


class UnknownLabel(BadData):
    """A label that the data set does not have."""


class Skips:
    """What a reader left out: how often for which reason, and where first.

    A reader that is given one counts and goes on; without one it raises at the first fault.
    """

    def __init__(self) -> None:
        """Nothing was left out yet."""
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, place: str) -> None:
        """Count one item that is left out for `reason`; `place` says where it stands."""
        self._counts[reason] += 1
        self._first.setdefault(reason, place)

    @property
    def total(self) -> int:
        """Number of items left out."""
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Number of items by reason."""
        return dict(self._counts)

    def lines(self) -> list[str]:
        """One line a reason: `3 x broken row, first pairs.tsv:17: 1 column, expected 2`."""
        return [
            f"{count:,} x {reason}, first {self._first[reason]}"
            for reason, count in self._counts.items()
        ]


def numbered_lines(path: Path, broken: Skips | None = None) -> Iterator[tuple[int, str]]:
    r"""Stream a UTF-8 text file.

    Only "\n" ends a line (a caption may hold the other characters that Python's `splitlines` takes
    for line ends); a "\r" before it and a byte order mark at the file's start are taken off.

    Args:
        path: the file.
        broken: counts lines that are not UTF-8; None makes the first one an error.

    Yields:
        The line's number, from 1, and its text without the line end.

    Raises:
        MissingData: there is no such file.
        BadData: a line is not UTF-8 (only without `broken`).
    """
    for number, line in raw_lines(path):
        text = decoded(line, path, number, broken)
        if text is not None:
            yield number, text


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1; MissingData if there is no such file."""
    if not path.is_file():
        raise MissingData(f"file not found: {path}")
    with path.open("rb") as stream:
        yield from enumerate(stream, start=1)


def decoded(line: bytes, path: Path, number: int, broken: Skips | None = None) -> str | None:
    """The text of one line without its end; None if it is not UTF-8 and `broken` counted it."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        fault = f"{path}:{number}: not UTF-8 text (byte {error.start} of the line)"
        refuse(BROKEN_ROW, fault, broken)
        return None
    return text.rstrip("\n").removesuffix("\r")


def reason_for(fault: BadData) -> str:
    """Under which reason a fault is counted."""
    if isinstance(fault, DuplicateId):
        return DUPLICATE
    return UNKNOWN_LABEL if isinstance(fault, UnknownLabel) else BROKEN_ROW


def refuse(reason: str, place: str, skips: Skips | None) -> None:
    """Count an item that cannot be used, or raise BadData where it is not to be counted."""
    if skips is None:
        raise BadData(place)
    skips.add(reason, place)
