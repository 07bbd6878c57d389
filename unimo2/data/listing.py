"""Corpora listed by several processes at once: 4 million pairs, 16 million images, 8 million texts.

That keeps one core busy for minutes. A part is a corpus; this process's share of the cores is used.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from unimo2.data.index import Index, TextFiles
from unimo2.data.kept_index import FileIndex, Notice, keep, read_columns, write_columns
from unimo2.devices import end_with, ended_on_error, own_cores
from unimo2.errors import UsageError
from unimo2.formats.parsing import Skips


class Wanted(NamedTuple):
    """An index of some corpora."""

    what: Mapping[str, Any]  # see `keep`
    folders: Sequence[Path]
    # List a corpus each, and count what they leave out; are sent to other processes.
    parts: Sequence[Callable[[Skips], Index | TextFiles]]  # one of `TextFiles` stands alone
    repeated: bool = False  # as for `Index`


def keep_all(wanted: Sequence[Wanted], lost: Skips, notice: Notice | None) -> list[FileIndex]:
    """As `keep` for each of several indexes; those that are to be made are made at the same time.

    Parts are begun in their order: with few cores the longest should be among the first.

    Raises:
        UsageError: A process that listed was killed; or what a part raises.
    """
    skips = [Skips() for _ in wanted]
    parts = sum(len(one.parts) for one in wanted)
    with ThreadPoolExecutor() as threads, _workers(parts) as pool:
        begun = [Event() for _ in wanted]

        def kept(number: int) -> FileIndex:
            one = wanted[number]

            def listed(lost: Skips) -> FileIndex:
                for earlier in begun[:number]:
                    earlier.wait()
                return _listed(one, pool, lost, begun[number].set)

            try:
                return keep(one.what, one.folders, listed, skips[number], notice)
            finally:
                begun[number].set()

        found = list((threads.map if pool else map)(kept, range(len(wanted))))
    for left_out in skips:
        lost.include(left_out.plain())
    return found


@contextmanager
def _workers(parts: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that start with the first part, as copies of this one; None where it has one core.

    They end with the context, in the middle of a part if need be.
    """
    count = min(own_cores(), parts)
    if count == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield None
        return
    context = multiprocessing.get_context("fork")
    try:
        workers = ProcessPoolExecutor(count, context, end_with, (os.getpid(),))
    except (OSError, ImportError, NotImplementedError):  # no semaphores, as without /dev/shm
        yield None
        return
    with workers as pool, ended_on_error():
        yield pool


def _listed(
    wanted: Wanted, pool: ProcessPoolExecutor | None, lost: Skips, begun: Callable[[], object]
) -> FileIndex:
    """Contents of an index of all parts, in their order; calls `begun` once processes have them."""
    if pool is None:
        with _no_cycles():
            whole = wanted.parts[0](lost)
            for part in wanted.parts[1:]:
                more = part(lost)
                assert isinstance(whole, Index) and isinstance(more, Index)
                whole.include(more)
            return whole.found()
    with tempfile.TemporaryDirectory(prefix="unimo2-listing-") as home:
        folders = [Path(home, str(number)) for number in range(len(wanted.parts))]
        try:
            going = pool.map(_write, wanted.parts, folders)
            begun()
            done = list(going)
        except BrokenProcessPool:
            raise UsageError(
                "a process that listed a corpus was killed, perhaps for want of memory: allow it "
                "fewer cores, as with 'taskset -c 0'"
            ) from None
        found = []
        for folder, (facts, homes, skips) in zip(folders, done, strict=True):
            lost.include(skips)
            found.append(FileIndex(read_columns(folder), facts, homes))
        if len(found) == 1:
            return found[0]
        index = Index((), wanted.repeated)
        for one in found:
            index.include(Index.of(one, wanted.repeated))
        return index.found()


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Without Python's search for cycles, which takes half of the time among millions of records."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def _write(
    part: Callable[[Skips], Index | TextFiles], folder: Path
) -> tuple[Mapping[str, Any], Sequence[str], dict[str, list[Any]]]:
    """List a corpus and save it: arrays of a gigabyte are not sent to another process."""
    skips = Skips()
    with _no_cycles():
        found = part(skips).found()
    folder.mkdir()
    write_columns(folder, found.columns)
    return found.facts, found.homes, skips.plain()
