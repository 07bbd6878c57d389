"""The folder of one run, and the search for one that was interrupted.

`run.json` in it holds the run's identity: everything that its numbers depend on. A run that was
killed is taken up again only by a run of exactly the same identity; any other starts afresh.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from evals.records import RECORD
from unimo2.files import locked, write_text

IDENTITY = "run.json"
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")


@dataclass(frozen=True)
class Workspace:
    """An open run folder.

    Attributes:
        folder: Where the run writes.
        earlier: Unfinished runs that a new one differs from in its data alone, newest first.
    """

    folder: Path
    earlier: Sequence[Path] = ()


def home(output: Path, suite: str, benchmark: str, model: str, variant: str | None) -> Path:
    """The folder that holds all runs of a model on a benchmark.

    Args:
        output: The runs folder.
        suite: Of the data.
        benchmark: Its name.
        model: Its name; characters that no folder should have become "-".
        variant: What distinguishes these runs of the model, or None.

    Returns:
        `<output>/<suite>/<benchmark>/<model>[+<variant>]`.
    """
    name = _UNSAFE.sub("-", model)
    if variant is not None:
        name += "+" + _UNSAFE.sub("-", variant)
    return output / suite / benchmark / name


@contextmanager
def opened(runs: Path, identity: Mapping[str, object], fresh: bool) -> Iterator[Workspace]:
    """Open the interrupted run of this identity, or begin one.

    Args:
        runs: From `home`.
        identity: What the numbers depend on (protocol, data, weights ...), fit for JSON.
        fresh: Start over even if there is an interrupted run.

    Yields:
        The workspace; no other process gets it while this one is in it.
    """
    text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    earlier: list[Path] = []
    if not fresh:
        earlier = _unfinished(runs, lambda found: _but_data(found) == _but_data(text))
        for folder in _unfinished(runs, lambda found: found == text):
            with locked(folder, wait=False) as mine:
                # Another process may have finished it between the search and the lock.
                if mine and not (folder / RECORD).exists():
                    yield Workspace(folder)
                    return
    folder = _begin(runs)
    with locked(folder, wait=False):
        write_text(folder / IDENTITY, text)
        yield Workspace(folder, earlier)


def _unfinished(runs: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Unfinished runs whose identity is wanted, newest first."""
    return [
        path.parent
        for path in sorted(runs.glob(f"*/{IDENTITY}"), reverse=True)
        if not (path.parent / RECORD).exists() and wanted(path.read_text(encoding="utf-8"))
    ]


def _but_data(identity: str) -> Mapping[str, object] | None:
    """An identity without the data's; None if it cannot be read."""
    try:
        found = json.loads(identity)
    except ValueError:
        return None
    return {**found, "data": None} if isinstance(found, dict) else None


def _begin(runs: Path) -> Path:
    """A new folder whose name sorts by time."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = runs / f"{stamp}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True)
    return folder
