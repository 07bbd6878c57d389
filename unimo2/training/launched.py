"""Process count and rank from a launcher (`accelerate launch`, `torchrun`), without torch."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """Number of this process among those that were launched; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def launched_processes() -> int:
    """Number of launched processes; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))
