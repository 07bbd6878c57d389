"""Process count and rank from a launcher (`accelerate launch`, `torchrun`), without torch."""

from __future__ import annotations

from unimo2.devices import launcher_number
from unimo2.errors import UsageError


def launched_rank() -> int:
    """Number of this process among those that were launched; 0 without a launcher.

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
    """Number of launched processes; 1 without a launcher.

    Raises:
        UsageError: The environment has no such number.
    """
    return launcher_number("WORLD_SIZE", 1)
