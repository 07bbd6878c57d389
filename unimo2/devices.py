"""Devices and dtypes by the names that users type; cores and processes of this machine.

The names are known before torch is imported.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unimo2.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda", "cuda:[0-9]", "cuda:[0-9][0-9]", "mps")
"""Names of devices, with the wildcards of file names."""
DTYPES = ("float32", "bfloat16", "float16")


def find_device(name: str) -> torch.device:
    """The device of that name, if this machine has it.

    Args:
        name: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ...

    Returns:
        The device.

    Raises:
        UsageError: This machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used on this machine: {reason}") from None
    return device


def find_dtype(name: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        UsageError: It is none that models compute in.
    """
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: choose one of {', '.join(DTYPES)}")
    import torch

    found: torch.dtype = getattr(torch, name)
    return found


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def own_cores() -> int:
    """This process's share of the cores, where a launcher started several on a machine."""
    return max(1, cores() // launcher_number("LOCAL_WORLD_SIZE", 1))


def launcher_number(name: str, least: int) -> int:
    """A whole number that a launcher puts into the environment; `least` where it is not there.

    Raises:
        UsageError: It is anything else.
    """
    value = os.environ.get(name) or str(least)
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        raise UsageError(
            f"the environment has {name}={value}; expected a whole number from {least}, as torchrun "
            f"and 'accelerate launch' set it: 'unset {name}' to run one process"
        )
    return int(value)


def launched_rank() -> int:
    """Number of this process among those of `accelerate launch` or `torchrun`; 0 without them.

    Raises:
        UsageError: The environment has no such number.
    """
    count = launched_processes()
    # Without their count it is not a launcher's: other programs set RANK, too.
    rank = launcher_number("RANK", 0) if count > 1 else 0
    if rank >= count:
        raise UsageError(
            f"the environment has RANK={rank} and WORLD_SIZE={count}; expected a rank below the "
            "number of processes: unset both to run one process"
        )
    return rank


def launched_processes() -> int:
    """Number of launched processes; 1 without a launcher; UsageError as of `launched_rank`."""
    return launcher_number("WORLD_SIZE", 1)


def is_first_process() -> bool:
    """Whether this process is the first that a launcher started, or was started without one."""
    try:
        return launched_rank() == 0
    except UsageError:  # is said where the number of processes matters
        return True


def end_with(parent: int) -> None:
    """Begin a worker process: leave interruptions to its parent, and end when that does, however."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def ended_on_error() -> Iterator[None]:
    """End the worker processes that were started within, in the middle of their work, on an error."""
    import multiprocessing

    others = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise


def total(value: Tensor) -> Tensor:
    """The sum of a value over the processes that train together, without gradients."""
    from torch import distributed

    value = value.detach().clone()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
    return value
