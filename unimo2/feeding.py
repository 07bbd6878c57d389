"""Batches for the loop, prepared while the step before computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from unimo2.data.seeding import Share
from unimo2.training_task import TrainingBatch, TrainingTask


def feed(
    task: TrainingTask, first: int, steps: int, parts: list[Share], ahead: int
) -> Iterator[tuple[Share, TrainingBatch]]:
    """The parts of all batches, in order.

    Args:
        task: makes them; a batch is a function of step and share alone.
        first: the first step.
        steps: the step before which to stop.
        parts: of each step.
        ahead: parts that a thread prepares ahead; 0 prepares each when it is asked for.

    Yields:
        Each part's share and its batch, on the CPU.
    """
    wanted = ((step, part) for step in range(first, steps) for part in parts)
    if not ahead:
        for step, part in wanted:
            yield part, task.batch(step, part)
        return
    pool = ThreadPoolExecutor(max_workers=1)
    waiting: deque[tuple[Share, Future[TrainingBatch]]] = deque()
    try:
        while True:
            for step, part in islice(wanted, ahead + 1 - len(waiting)):
                waiting.append((part, pool.submit(task.batch, step, part)))
            if not waiting:
                return
            part, batch = waiting.popleft()
            yield part, batch.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
