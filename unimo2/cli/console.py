"""What verbs share: where the data is, who speaks, tables and a bar."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from unimo2.training.launched import launched_rank

if TYPE_CHECKING:
    from rich.console import Console

# Where the data is, from the command line or the environment.


VARIABLE = "UNIMO2_DATA"


def find_data_root(given: Path | None, suite: str | None) -> Path | None:
    """The data root that a command line means.

    Args:
        given: --data-root, or None.
        suite: --suite, or None.

    Returns:
        What was given; without that the environment's, which is real data and so does not stand
        for the suite "mini"; None for the embedded suite's own place.
    """
    variable = os.environ.get(VARIABLE)
    if given is None and variable and suite != "mini":
        return Path(variable)
    return given


# What only the first of several launched processes does: speaking, and what follows training.


def is_first_process() -> bool:
    """Whether this process is the first one that a launcher started, or was started without one."""
    return launched_rank() == 0


def say(text: str, err: bool = False) -> None:
    """Print a line, once however many processes there are.

    Args:
        text: The line.
        err: On standard error.
    """
    if is_first_process():
        typer.echo(text, err=err)


_WIDTH = 120  # of tables in a file or a pipe


def output() -> Console:
    """Standard output; where it is no terminal, wide enough that no name in a table is broken."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def columns(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> Iterator[str]:
    """Rows whose cells line up, as plain text.

    Args:
        rows: The heading first, all of one length.
        numbers: Places of the columns that are set to the right.

    Yields:
        A line per row.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            f"{cell:>{width}}" if place in numbers else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


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
