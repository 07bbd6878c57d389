"""Jobs spread over processes: results come back in the order of the jobs, part by part."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from evals.suite_mini.part import Job

_CHUNK = 50  # jobs a task: half a second of work
# Ctrl-C is for the parent process, which ends the pool.
_NO_INTERRUPTS = (signal.SIGINT, signal.SIG_IGN)


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
    work = [job for own in jobs for job in own]
    run = partial(_run, root, seed)
    if processes == 1 or len(work) <= _CHUNK:
        yield from _regrouped(map(run, work), jobs, on_progress)
        return
    # Spawned, not forked: the caller may have threads (torch has), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with _no_main():
        pool = context.Pool(processes, initializer=signal.signal, initargs=_NO_INTERRUPTS)
    with pool:
        yield from _regrouped(pool.imap(run, work, _CHUNK), jobs, on_progress)


def _run(root: Path, seed: int, job: Job) -> Any:
    return job.run(root, seed)


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
    finished: Iterator[Any],
    jobs: Sequence[Sequence[Job]],
    on_progress: Callable[[int, int], None] | None,
) -> Generator[list[Any], None, None]:
    """The results put together by part."""
    total, done = sum(map(len, jobs)), 0
    for own in jobs:
        results: list[Any] = []
        for result in islice(finished, len(own)):
            results.append(result)
            done += 1
            last_of_task = len(results) % _CHUNK == 0 or len(results) == len(own)
            if on_progress is not None and last_of_task:
                on_progress(done, total)
        yield results
