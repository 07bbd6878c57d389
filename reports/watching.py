"""Watches a runs folder, and rewrites the site after each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from reports.keeping import Kept
from reports.selection import RUNS
from reports.site import Built, SiteRequest, build
from unimo2.files import expanded

EVERY = 2.0  # seconds between two looks at the folder
SHARE = 9  # times the processor time of a writing that it waits: a tenth of one core ...
LONGEST = 30.0  # ... but no longer than this
_LARGE = ("checkpoint", "model")  # of trainings, whose logs are what is shown


def watch(
    folder: Path,
    request: SiteRequest,
    built: Callable[[Built, float], None],
    pause: Callable[[float], None] | None = None,
) -> NoReturn:
    """Write a site, and again after each change, until the process is interrupted.

    Args:
        folder: As for `build`.
        request: As for `build`; data sets are read once.
        built: Called after each writing with the seconds that it took.
        pause: Waits so many seconds; sleeps if None.
    """
    kept, seen = Kept(request.data_root), None
    while True:
        now, wait = _state(request.runs or RUNS, expanded(folder)), EVERY
        if now != seen:
            start, used = time.perf_counter(), time.process_time()
            done = build(folder, request, kept=kept)
            built(done, time.perf_counter() - start)
            seen, wait = now, min(LONGEST, SHARE * (time.process_time() - used))
        (pause or _sleep)(max(EVERY, wait))


_sleep = time.sleep


def _state(runs: Path, site: Path) -> dict[str, int]:
    """When each file of a runs folder last changed, but for a site in it."""
    found = {}
    own = site.absolute()
    for path in runs.absolute().rglob("*"):
        if any(part in _LARGE for part in path.parts[-3:-1]) or path.is_relative_to(own):
            continue
        if path.name.startswith(f".{own.name}.partial-"):
            continue
        try:
            found[str(path)] = path.stat().st_mtime_ns
        except FileNotFoundError:  # a run puts its parts together
            continue
    return found
