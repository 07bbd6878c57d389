"""Progress of a long run: a bar on a terminal, a line now and then in a file or a pipe.

Either way a long run says beforehand what it will cost.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

from evals.benchmark import Progress, Report

LONG_RUN_SECONDS = 60.0
_LINES = 20  # a stage, where there is no terminal
_LINE_SECONDS = 30.0  # at least between two of them: short runs print nothing
_MEASURE_SECONDS = 1.0  # pace is told after this long; the first calls of a model are slow


@contextmanager
def shown(console: Console, quiet: bool = False) -> Iterator[Report]:
    """Show progress while the block runs; where no terminal is, of long runs alone.

    Args:
        console: Where to draw, usually on stderr.
        quiet: Write nothing.

    Yields:
        What a run calls with its progress.
    """
    if quiet:
        yield lambda progress: None
        return
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Display(bars, console)


class _Watch(ABC):
    """Keeps the pace of every stage, and tells the cost of a long run once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._first: dict[str, tuple[int, float]] = {}
        self._cost_told = False

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if progress.estimated:
            self._tell_cost(progress)
            return
        begun, since = self._first.setdefault(progress.stage, (progress.done, now))
        elapsed = now - since
        pace = (progress.done - begun) / elapsed if elapsed > 0 else 0.0
        self.show(progress, f"{pace:,.0f} {progress.stage}/s" if pace else "", now)
        if elapsed >= _MEASURE_SECONDS:
            self._tell_cost(progress)

    @abstractmethod
    def show(self, progress: Progress, pace: str, now: float) -> None:
        """Draw."""

    def _tell_cost(self, progress: Progress) -> None:
        """Say what a long run will take, while there is still time to choose a shorter one."""
        left = progress.seconds_left
        if left is None or self._cost_told:
            return
        self._cost_told = True
        if left >= LONG_RUN_SECONDS:
            hint = f"; {progress.hint}" if progress.hint else ""
            self.console.print(
                f"{progress.total - progress.done:,} {progress.stage} are left, about "
                f"{duration(left)}; --limit measures a sample sooner, and an interrupted run "
                f"goes on where it stopped{hint}",
                highlight=False,
                soft_wrap=True,
            )


class _Display(_Watch):
    """Turns a run's progress into bars, one a stage."""

    def __init__(self, bars: Bars, console: Console) -> None:
        super().__init__(console)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def show(self, progress: Progress, pace: str, now: float) -> None:
        stage, left = progress.stage, progress.seconds_left
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None, pace="", left="")
        self._bars.update(
            self._tasks[stage],
            total=progress.total,
            completed=progress.done,
            pace=pace,
            left=f"{duration(left)} left" if left is not None else "",
        )


class _Lines(_Watch):
    """Prints a line every twentieth of a stage, or every half minute where that is longer."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._printed: dict[str, tuple[int, float]] = {}

    def show(self, progress: Progress, pace: str, now: float) -> None:
        part = _LINES * progress.done // max(1, progress.total)
        before, since = self._printed.setdefault(progress.stage, (part, now))
        if part == before or now - since < _LINE_SECONDS:
            return
        self._printed[progress.stage] = (part, now)
        left = progress.seconds_left
        parts = [
            f"{progress.done:,} of {progress.total:,} {progress.stage}",
            *([pace] if pace else []),
            *([f"{duration(left)} left"] if left is not None else []),
        ]
        self.console.print(", ".join(parts), highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
