"""Index of a data root, kept in files that every process maps.

A listing of 14 million files takes minutes and is the same for all processes. The first of them makes
it, the others wait for it, and later starts take it as it is as long as nothing has changed: no folder
or shard that an image lies in, and no file of annotations. Processes of one machine share the memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimo2.files import cache_folder, locked, write_text
from unimo2.formats.parsing import Skips

Notice = Callable[[str], None]
_POINTER = "index.json"
# Entries of a corpus's own folder, and of folders beside its images, that are looked at one by one.
_FEW = 10_000
# Seconds within which a change may leave a file's time as it was.
_COARSE = 2.0


@dataclass(frozen=True)
class FileIndex:
    """Contents of an index: arrays by name, their metadata, and image and text locations."""

    columns: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]  # plain values
    homes: Sequence[str] = ()  # folders and shards
    folder: Path | None = None  # that it is kept in


def keep(
    what: Mapping[str, Any],
    folders: Sequence[Path],
    find: Callable[[Skips], FileIndex],
    lost: Skips,
    notice: Notice | None = None,
) -> FileIndex:
    """What `find` gives, from the files of an earlier start if they are still right.

    Args:
        what: All that the result depends on beside the content of the folders, plain values.
        folders: Folders of the corpora.
        find: Reads them, and counts what it leaves out.
        lost: Counts it, too, whoever has read.
        notice: Called before a reading that takes long.

    Returns:
        The arrays, mapped from files; those of `find` itself where no file can be written.
    """
    content = {**what, "folders": [os.path.abspath(folder) for folder in folders]}
    text = json.dumps(content, sort_keys=True)
    home = cache_folder() / "indexes" / hashlib.sha256(text.encode()).hexdigest()[:24]
    asked = time.time()
    try:
        with locked(home):
            if (kept := _kept(home, folders, asked)) is None:
                if notice is not None:
                    notice(
                        f"listing {', '.join(folder.name for folder in folders)} once; later starts "
                        f"take {home}"
                    )
                skips, started = Skips(), time.time()
                _write(home, folders, find(skips), skips, started)
                kept = _kept(home, folders, asked)
    except OSError as error:
        if notice is not None:
            notice(
                f"no index can be kept in {home} ({error}): every process lists the files itself"
            )
        return find(lost)
    assert kept is not None  # it was written a moment ago
    lost.include(kept.facts["skips"])
    return kept


def write_columns(folder: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Save arrays in a folder, a file each."""
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)


def read_columns(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays that `write_columns` saved, mapped."""
    return {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}


def _readers() -> str:
    """sha256 of the code that reads: another version may find something else in the same files."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in ("formats", "data"):
        for path in sorted((package / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(home: Path, folders: Sequence[Path], asked: float) -> FileIndex | None:
    """Index in the folder; None if there is none or the data changed since."""
    try:
        pointer = json.loads((home / _POINTER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    place = home / pointer["folder"]
    # A change while the files were being listed may not be seen in the times: then the index serves
    # those alone who asked for it before it was made.
    if not pointer["settled"] and pointer["made"] < asked:
        return None
    if pointer["readers"] != _readers():
        return None
    try:
        columns = read_columns(place)
    except (OSError, ValueError):
        return None
    if sorted(columns) != pointer["columns"]:
        return None
    if _times(folders, pointer["homes"]) != pointer["times"]:
        return None
    return FileIndex(columns, pointer["facts"], pointer["homes"], home)


def _write(
    home: Path, folders: Sequence[Path], found: FileIndex, skips: Skips, started: float
) -> None:
    """Keep what was found, and remove what was kept before."""
    old = [path for path in home.iterdir() if path.is_dir()]
    place = Path(tempfile.mkdtemp(prefix="columns-", dir=home))
    write_columns(place, found.columns)
    times = _times(folders, found.homes)
    made = time.time()
    pointer = {
        "folder": place.name,
        "columns": sorted(found.columns),
        "facts": {**found.facts, "skips": skips.plain()},
        "homes": list(found.homes),
        "readers": _readers(),
        "times": times,
        "settled": not any(started - _COARSE < when / 1e9 < made + _COARSE for when, _ in times),
        "made": made,
    }
    write_text(home / _POINTER, json.dumps(pointer))
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def _times(folders: Sequence[Path], homes: Iterable[str]) -> list[list[int]]:
    """When what was read last changed, and of files how large they are: [nanoseconds, bytes] each.

    Looked at are the corpora's folders with what lies in them, the files of folders there that hold
    no image (annotations), every folder and shard that holds one, and the folders above it.
    """
    known: set[str] = set()
    tops = set(map(os.path.abspath, folders))
    for home in map(os.path.abspath, homes):
        while home not in known and home not in tops and home != os.path.dirname(home):
            known.add(home)
            home = os.path.dirname(home)
    looked_at = dict.fromkeys(sorted(known | tops))
    for folder in sorted(tops):
        for path, is_folder in _entries(folder):
            looked_at[path] = None
            if is_folder and path not in known:
                looked_at |= dict.fromkeys(inner for inner, _ in _entries(path))
    return [_time(path) for path in looked_at]


def _entries(folder: str) -> list[tuple[str, bool]]:
    """Paths in a folder, and which are folders; none where there are many."""
    try:
        found: list[tuple[str, bool]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                found.append((entry.path, entry.is_dir()))
                if len(found) > _FEW:
                    return []
    except OSError:
        return []
    return sorted(found)


def _time(path: str) -> list[int]:
    try:
        status = os.stat(path)
    except OSError:
        return [0, -1]
    return [status.st_mtime_ns, 0 if os.path.isdir(path) else status.st_size]
