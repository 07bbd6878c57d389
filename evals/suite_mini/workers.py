"""Jobs spread over processes: results come back in the order of the jobs, part by part."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from evals.suite_mini.part import Job

_CHUNK = 50  # jobs a task: half a second of work


def results_by_part(
    root: Path,
    seed: int,
    jobs: Sequence[Sequence[Job]],
    processes: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Generator[list[Any], None, None]:
    """Run the jobs of all parts in one pool of processes.

    While the caller works on the results of one part, the pool goes on with the next ones.

    Args:
        root: folder of the suite.
        seed: of the suite.
        jobs: of each part.
        processes: how many; 1 runs everything in this process.
        on_progress: called with the number of jobs done so far and in all.

    Yields:
        For each part the results of its jobs, in their order.
    """
    chunks = [own[at : at + _CHUNK] for own in jobs for at in range(0, len(own), _CHUNK)]
    work = partial(_run_chunk, root, seed)
    if processes == 1 or len(chunks) < 2:
        yield from _regrouped(map(work, chunks), jobs, on_progress)
        return
    # Spawned, not forked: the caller may have threads (torch has), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with _no_main():
        pool = context.Pool(min(processes, len(chunks)), initializer=_leave_interrupts)
    with pool:
        yield from _regrouped(pool.imap(work, chunks), jobs, on_progress)


@contextmanager
def _no_main() -> Iterator[None]:
    """Let new processes not run the caller's script, which need not be guarded for that.

    They import what they need by its name, and nothing of it lies in the script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _regrouped(
    finished: Iterable[list[Any]],
    jobs: Sequence[Sequence[Job]],
    on_progress: Callable[[int, int], None] | None,
) -> Generator[list[Any], None, None]:
    """The chunks put together by part; no chunk holds jobs of two parts."""
    finished = iter(finished)
    total, done = sum(map(len, jobs)), 0
    for own in jobs:
        results: list[Any] = []
        for chunk in islice(finished, -(-len(own) // _CHUNK)):
            results += chunk
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, total)
        yield results


def _run_chunk(root: Path, seed: int, jobs: Sequence[Job]) -> list[Any]:
    return [job.run(root, seed) for job in jobs]


def _leave_interrupts() -> None:
    """Ctrl-C is for the parent process, which ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
