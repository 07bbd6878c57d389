"""Progress of a long run on a terminal: a bar, the pace, the time left, the cost beforehand."""

from __future__ import annotations

import time
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
_MEASURE_SECONDS = 1.0  # pace is told after this long; the first calls of a model are slow


@contextmanager
def shown(console: Console, quiet: bool = False) -> Iterator[Report]:
    """Show progress while the block runs; nothing is written if the console is no terminal.

    Args:
        console: Where to draw, usually on stderr.
        quiet: Write nothing on a terminal either.

    Yields:
        What a run calls with its progress.
    """
    if quiet or not console.is_terminal:
        yield lambda progress: None
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


class _Display:
    """Turns a run's progress into bars, one a stage."""

    def __init__(self, bars: Bars, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._first: dict[str, tuple[int, float]] = {}
        self._cost_told = False

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        stage = progress.stage
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None, pace="", left="")
            self._first[stage] = (progress.done, now)
        begun, since = self._first[stage]
        elapsed = now - since
        pace = (progress.done - begun) / elapsed if elapsed > 0 else 0.0
        left = progress.seconds_left
        self._bars.update(
            self._tasks[stage],
            total=progress.total,
            completed=progress.done,
            pace=f"{pace:,.0f} {stage}/s" if pace else "",
            left=f"{duration(left)} left" if left is not None else "",
        )
        if left is not None and elapsed >= _MEASURE_SECONDS and not self._cost_told:
            self._cost_told = True
            self._tell_cost(progress, left)

    def _tell_cost(self, progress: Progress, left: float) -> None:
        """Say what a long run will take, while there is still time to choose a shorter one."""
        if left >= LONG_RUN_SECONDS:
            hint = f"; {progress.hint}" if progress.hint else ""
            self._console.print(
                f"{progress.total - progress.done:,} {progress.stage} are left, about "
                f"{duration(left)}; --limit measures a sample sooner, and an interrupted run "
                f"goes on where it stopped{hint}",
                highlight=False,
            )


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
