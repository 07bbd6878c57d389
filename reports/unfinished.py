"""Unfinished runs: their progress, and whether a process works on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from evals.records import RECORD
from evals.records.workspace import IDENTITY
from unimo2.files import is_locked

# Files that a run keeps while it is unfinished: a file for the items from one place to another.
_PARTS = {"predictions": "items", "blocks": "captions"}
_PART = re.compile(r"(\d+)-(\d+)\.(?:json|npz)")


@dataclass(frozen=True)
class Unfinished:
    """A run without a record.

    Attributes:
        name: Its folder below the runs folder: suite, benchmark, model, time.
        done: Items that it is done with.
        unit: What they are, in the plural.
        going_on: A process of this machine works on it.
        last: UTC time when it last wrote something.
    """

    name: str
    done: int
    unit: str
    going_on: bool
    last: str

    def __str__(self) -> str:
        """What a reader should know."""
        state = "going on" if self.going_on else "interrupted; the same command resumes it"
        done = f"{self.done:,} {self.unit} done" if self.done else "nothing done yet"
        return f"{self.name}: {done}, last written {self.last} UTC, {state}"


def unfinished(runs: Path) -> list[Unfinished]:
    """The runs of a folder that have no record, by name."""
    folders = sorted(path.parent for path in runs.glob(f"*/*/*/*/{IDENTITY}"))
    return [_look(folder, runs) for folder in folders if not (folder / RECORD).is_file()]


def _look(folder: Path, runs: Path) -> Unfinished:
    done, unit, last = 0, "items", folder.stat().st_mtime
    for part, name in _PARTS.items():
        for path in (folder / part).glob("*"):
            found = _PART.fullmatch(path.name)
            if found:
                done, unit = done + int(found[2]) - int(found[1]), name
                last = max(last, path.stat().st_mtime)
    when = datetime.fromtimestamp(last, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return Unfinished(folder.relative_to(runs).as_posix(), done, unit, is_locked(folder), when)
