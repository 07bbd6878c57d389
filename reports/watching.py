"""Watches a runs folder, and rewrites the site after each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from reports.examples import ExampleSources
from reports.selection import RUNS
from reports.site import Built, SiteRequest, build

EVERY = 2.0  # seconds between two looks at the folder
_LARGE = ("checkpoint", "model")  # of trainings, whose logs are what is shown


def watch(
    folder: Path,
    request: SiteRequest,
    built: Callable[[Built], None],
    pause: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Write a site, and again after each change, until the process is interrupted.

    Args:
        folder: As for `build`.
        request: As for `build`; data sets are read once.
        built: Called after each writing.
        pause: Waits so many seconds.
    """
    sources, seen = ExampleSources(request.data_root), None
    while True:
        now = _state(request.runs or RUNS)
        if now != seen:
            built(build(folder, request, sources=sources))
            seen = now
        pause(EVERY)


def _state(runs: Path) -> dict[str, int]:
    """When each file of a runs folder last changed."""
    found = {}
    for path in runs.rglob("*"):
        if not any(part in _LARGE for part in path.parts[-3:-1]):
            try:
                found[str(path)] = path.stat().st_mtime_ns
            except FileNotFoundError:  # a run puts its parts together
                continue
    return found
