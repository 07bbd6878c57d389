"""Where the data is, from the command line or the environment."""

from __future__ import annotations

import os
from pathlib import Path

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
