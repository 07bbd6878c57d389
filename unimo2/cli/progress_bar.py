"""A bar that shows how far a count is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Shows how far the work is."""

    def __call__(self, done: int, total: int | None) -> None:
        """Show `done` of `total`; None if nobody knows how much there is."""


@contextmanager
def progress_bar(label: str) -> Iterator[Advance]:
    """A bar on stderr, gone when the work is done; nothing where stderr is no terminal.

    Args:
        label: what is being done.

    Yields:
        A function that takes how much is done and how much there is (None if nobody knows).
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield advance
