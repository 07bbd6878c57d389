"""Registry of data sets by name, and which of their files are in a data root."""

from __future__ import annotations

import os
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path

from evals.datasets import catalogue
from evals.datasets.entry import ROLES, DataSet, RequiredPath
from unimo2.errors import UsageError

_COUNTED = 200_000  # entries of a folder; counting the millions of a web corpus takes minutes


@cache
def catalogue_entries() -> tuple[DataSet, ...]:
    """The data sets that the modules of the catalogue define, file by file."""
    modules = (
        import_module(f"{catalogue.__name__}.{module.name}")
        for module in pkgutil.iter_modules(catalogue.__path__)
    )
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, DataSet)
    )


@cache
def all_data_sets() -> dict[str, DataSet]:
    """Every data set by name: benchmarks first, then the corpora by kind, each by name.

    Raises:
        ValueError: Two data sets of the catalogue have the same name, or one an unknown role.
    """
    found: dict[str, DataSet] = {}
    for entry in catalogue_entries():
        if entry.name in found or entry.role not in ROLES:
            raise ValueError(f"data set {entry.name!r} occurs twice, or has role {entry.role!r}")
        found[entry.name] = entry
    ordered = sorted(found.values(), key=lambda entry: (ROLES.index(entry.role), entry.name))
    return {entry.name: entry for entry in ordered}


def select(names: list[str] | None) -> list[DataSet]:
    """The data sets of these names (or benchmarks), spelled with "-" or "_"; all without names.

    Raises:
        UsageError: A name that no data set has.
    """
    known = all_data_sets()
    if not names:
        return list(known.values())
    by_benchmark = {entry.benchmark: entry for entry in known.values() if entry.benchmark}
    chosen: dict[str, DataSet] = {}
    for name in names:
        spelled = name.replace("-", "_")
        entry = known.get(spelled) or by_benchmark.get(spelled)
        if entry is None:
            raise UsageError(f"unknown data set {name!r}; known are {', '.join(known)}")
        chosen[entry.name] = entry
    return list(chosen.values())


@dataclass(frozen=True)
class Presence:
    """A required path: whether it is on disk, and its size."""

    path: str  # the alternative that is there, or the first one
    there: bool  # whether it is
    size: str  # in words: "36.7 MB", "31,783 entries"; "" if it is not there


def presence(place: RequiredPath, root: Path) -> Presence:
    """Look for a place in a data root, without reading any file."""
    for path in place.paths:
        full = root / path
        if path.endswith("/") and full.is_dir():
            return Presence(path, True, _entries(full))
        if "*" in path and (count := sum(1 for _ in root.glob(path))):
            return Presence(path, True, f"{count:,} {'file' if count == 1 else 'files'}")
        if not path.endswith("/") and full.is_file():
            return Presence(path, True, _size(full.stat().st_size))
    return Presence(place.paths[0], False, "")


def is_there(data_set: DataSet, root: Path) -> bool:
    """Whether any of the data set's own paths is in the data root."""
    return any(presence(place, root).there for place in data_set.places if place.needed)


def _entries(folder: Path) -> str:
    with os.scandir(folder) as entries:
        count = sum(1 for _ in islice(entries, _COUNTED + 1))
    if count > _COUNTED:
        return f"more than {_COUNTED:,} entries"
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _size(count: int) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"
