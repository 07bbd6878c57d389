"""Devices and dtypes by the names that users type, and the number of cores."""

from __future__ import annotations

import os

import torch

from unimo2.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_device(name: str) -> torch.device:
    """The device of that name, if this machine has it.

    Args:
        name: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ...

    Returns:
        The device.

    Raises:
        UsageError: This machine has no such device.
    """
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
    return DTYPES[name]


def own_cores() -> int:
    """Cores that this process may use: its share, where a launcher started several on a machine."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
