"""What a launcher (`accelerate launch`, `torchrun`) tells a process of itself, without torch."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """Number of this process among those that were launched; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def launched_processes() -> int:
    """How many processes were launched; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))
