"""Batch size of evaluation: the user's, or the fastest one found on this machine.

Where the user names no size, the first units of a run (captions with their images, chunks of items)
are done with the model's own estimate, twice and four times as much, and half of it in turn, and the
rest with the fastest. Nothing is done twice: results of these units are the run's like all others,
because no text is padded, so that the result of an item does not depend on what shares its call. What
was found is kept in the run folder, which belongs to one machine, model, dtype and data set.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unimo2.files import write_text

FILE = "batch_size.json"
GIVEN, ESTIMATED, TIMED = "given", "estimated", "timed"
_ROUNDS = 3  # medians of three leave out the first call of a size, which is slow
_WORTH = 4  # a run needs this many times the units that are timed
_COST = 0.02  # of the run: the search ends when slower sizes have cost more
_BETTER = 0.97  # of the estimate's time; less is noise, and not worth other calls than usual


@dataclass(frozen=True)
class BatchSize:
    """A run's batch size and where it comes from; the content of `batch_size.json`.

    Attributes:
        size: Items or pairs in one call.
        source: "given" by the user, "estimated" by the model, or "timed".
        seconds: For an item, by size; of a timed one.
        timed: How many units were: "13 captions"; empty where none.
    """

    size: int
    source: str
    seconds: Mapping[int, float] = field(default_factory=dict)
    timed: str = ""

    def notes(self) -> list[str]:
        """Note for the record about a timed size."""
        if self.source != TIMED:
            return []
        best = self.seconds[self.size]
        others = ", ".join(
            f"{seconds / best:.2f} ({size})"
            for size, seconds in sorted(self.seconds.items())
            if size != self.size
        )
        return [
            f"batch size {self.size}, found by timing the run's first {self.timed}; other sizes took, "
            f"of its time for an item, {others}"
        ]


def begin(folder: Path, size: int, source: str) -> None:
    """Note a run's batch size, unless an earlier session of the run has.

    Args:
        folder: The run folder.
        size: What the run begins with.
        source: GIVEN for a size that stays, ESTIMATED for one that a long run may replace.
    """
    if read(folder) is None:
        _write(folder, BatchSize(size, source))


def read(folder: Path) -> BatchSize | None:
    """A run's batch size; None for a run that keeps none, or a damaged file."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        seconds = {int(size): float(value) for size, value in content["seconds"].items()}
        found = BatchSize(int(content["size"]), content["source"], seconds, content["timed"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = found.size > 0 and (found.source != TIMED or found.size in seconds)
    return found if whole else None


def _write(folder: Path, found: BatchSize) -> None:
    content = {
        "size": found.size,
        "source": found.source,
        "seconds": {str(size): value for size, value in found.seconds.items()},
        "timed": found.timed,
    }
    write_text(folder / FILE, json.dumps(content, indent=2) + "\n")


@dataclass(frozen=True)
class Workload:
    """How much work there is to time sizes on.

    Attributes:
        unit: What results are kept of one by one, in the plural: "captions".
        units: That are left to this process.
        items: Of the whole run.
        most: Items of a unit: larger calls there are none.
    """

    unit: str
    units: int
    items: int
    most: int


Keep = Callable[[BatchSize], None]


def _forget(found: BatchSize) -> None:
    """Discard the result of a search."""


class Search:
    """Says how large the calls of a run's next unit are.

    Attributes:
        own: What the run begins with, and what stays for work that is not timed.
    """

    def __init__(
        self,
        size: int,
        found: int | None = None,
        others: tuple[int, ...] = (),
        extent: Workload | None = None,
        keep: Keep = _forget,
    ) -> None:
        """Begin with a size.

        Args:
            size: The model's estimate, or the user's choice.
            found: What an earlier session found; None if there is none.
            others: Sizes to be timed beside the estimate; none for a size that stays.
            extent: Of the work, by which the cost of the search is judged.
            keep: Called with what was found.
        """
        self.own = size
        self._found = found or size
        self._extent, self._keep = extent, keep
        self._most: int | None = None
        # The first unit warms up machine and model; its time does not count.
        self._turns = [size, *(size, *others) * _ROUNDS] if others else []
        self._units = 0
        self._timed: dict[int, list[float]] = {}
        self._spent = [0.0, 0.0]  # seconds and items of the units that were timed

    @classmethod
    def of_run(cls, folder: Path, size: int, extent: Workload, keeps: bool = True) -> Search:
        """What is left to find in a run.

        Args:
            folder: The run folder; without `batch_size.json` nothing is timed.
            size: The model's estimate, or the user's choice.
            extent: Of the work that is left.
            keeps: Whether this process, of several, notes in the folder what it finds.

        Returns:
            The search; over already for a small run, and for one that resumes.
        """
        known = read(folder)
        if known is None or known.source != ESTIMATED:
            return cls(size, None if known is None else known.size)
        others = _others(size, extent.most)
        needed = _WORTH * (1 + _ROUNDS * (1 + len(others)))
        if not others or extent.units < needed:
            return cls(size)
        return cls(size, None, others, extent, partial(_write, folder) if keeps else _forget)

    @property
    def size(self) -> int:
        """Of the next unit's calls."""
        wanted = self._turns[0] if self._turns else self._found
        return wanted if self._most is None else min(wanted, self._most)

    @property
    def largest(self) -> int:
        """The largest size that will be asked for."""
        return max([*self._turns, self.size])

    def limit(self, most: int) -> None:
        """There is no memory for more than `most` items."""
        if self._most is not None and self._most <= most:
            return
        self._most = most
        self._timed = {size: times for size, times in self._timed.items() if size <= most}
        if self._turns:
            self._turns = [size for size in self._turns if size <= most]
            if not self._turns:
                self._end()

    def note(self, size: int, items: int, seconds: float) -> None:
        """A unit is done.

        Args:
            size: Size of its calls, as `size` was.
            items: Of the unit.
            seconds: What they took.
        """
        if not self._turns or not items:
            return
        self._units += 1
        if size == self._turns[0]:
            self._turns.pop(0)
        if self._units == 1:
            return
        self._timed.setdefault(size, []).append(seconds / items)
        self._spent = [self._spent[0] + seconds, self._spent[1] + items]
        if not self._turns or self._costs_too_much():
            self._end()

    def _costs_too_much(self) -> bool:
        best = min(map(statistics.median, self._timed.values()))
        lost = self._spent[0] - best * self._spent[1]
        return self._extent is not None and lost > _COST * best * self._extent.items

    def _end(self) -> None:
        """Choose, and keep what was found."""
        self._turns = []
        if not self._timed:
            return
        medians = {size: statistics.median(times) for size, times in self._timed.items()}
        fastest = min(medians, key=lambda size: medians[size])
        own = medians.get(self.own)
        usual = own is not None and medians[fastest] > _BETTER * own
        self._found = self.own if usual else fastest
        unit = "units" if self._extent is None else self._extent.unit
        self._keep(BatchSize(self._found, TIMED, medians, f"{self._units} {unit}"))


def _others(size: int, most: int) -> tuple[int, ...]:
    """Sizes beside the estimate whose calls differ where a unit has `most` items."""
    calls = {0: 0, min(size, most): size}
    for other in (2 * size, 4 * size, size // 2):
        calls.setdefault(min(other, most), other)
    return tuple(other for other in calls.values() if other not in (0, size))
