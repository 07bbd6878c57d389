"""How the C library keeps memory that tensors on the CPU gave back."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 512 * 2**20
_LARGEST_BYTES = 32 * 2**20  # the most that glibc takes on 64-bit machines


def reuse_freed_memory() -> bool:
    """Let freed tensors of up to 32 MiB be used again instead of going back to the system.

    By default glibc returns them, and every activation of the next layer is new memory whose pages
    the kernel clears first: measured at a fifth of the time of scoring pairs with the mini model.
    It is a setting of the whole process, so that only a program may choose it, not a library. At
    most 512 MiB are kept.

    Returns:
        Whether it was done: with glibc alone, which is on Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
