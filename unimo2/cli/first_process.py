"""What only the first of several launched processes does: speaking, and what follows training."""

from __future__ import annotations

import typer

from unimo2.training.launched import launched_rank


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
