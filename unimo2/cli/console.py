"""Shared by the verbs: the data root, and output from the first process only."""

from __future__ import annotations

import os
from pathlib import Path

from unimo2 import console
from unimo2.errors import UsageError
from unimo2.training.launched import launched_rank

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


# Work of the first of several launched processes only: printing, and what follows training.


def is_first_process() -> bool:
    """Whether this process is the first one that a launcher started, or was started without one."""
    try:
        return launched_rank() == 0
    except UsageError:  # is said where the number of processes matters
        return True


def say(text: str, err: bool = False) -> None:
    """Print a line, once however many processes there are.

    Args:
        text: The line.
        err: On standard error.
    """
    if is_first_process():
        console.say(text, err)
