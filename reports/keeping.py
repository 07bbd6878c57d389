"""What a site was made of, kept for the next one.

A site that follows a runs folder is written again and again, and most of it is as it was. Each part
is kept under everything that it depends on, so that nothing that changed is taken from before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from evals.records import Record
from reports.differences import Differences
from reports.examples import ExampleSources

Part = TypeVar("Part")


class Kept:
    """Parts of the site that was written last; one for each request.

    Attributes:
        sources: The data sets that were read.
        differences: Runs that were resampled.
    """

    def __init__(self, data_root: Path | None = None) -> None:
        """Know nothing yet."""
        self.sources = ExampleSources(data_root)
        self.differences = Differences()
        self._before: dict[Hashable, Any] = {}
        self._now: dict[Hashable, Any] = {}
        self._states: dict[Path, Hashable] = {}

    def get(self, key: Hashable, make: Callable[[], Part]) -> Part:
        """A part: as it was made before, or anew.

        Args:
            key: Everything that it depends on.
            make: Makes it.
        """
        if key not in self._now:
            self._now[key] = self._before[key] if key in self._before else make()
        made: Part = self._now[key]
        return made

    def state(self, record: Record) -> Hashable:
        """The state of a run's files, as they were when the site was begun."""
        folder = None if record.path is None else record.path.parent
        if folder is None:
            return None
        if folder not in self._states:
            self._states[folder] = state_of(folder)
        return self._states[folder]

    def turn(self) -> None:
        """The site is written: forget what only the one before it had."""
        self._before, self._now, self._states = self._now, {}, {}


def state_of(folder: Path) -> Hashable:
    """The names, sizes and times of the files in a folder: equal while nothing in it changes."""
    files = []
    for path in folder.iterdir():
        try:
            about = path.stat()
        except FileNotFoundError:  # a run puts its parts together
            continue
        files.append((path.name, about.st_size, about.st_mtime_ns))
    return (folder, *sorted(files))
