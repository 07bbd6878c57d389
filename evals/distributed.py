"""Several processes that share the units of one run: `accelerate launch` or `torchrun`.

Units are what is kept on disk one by one (chunks of items, blocks of captions). Each process works on
its own and keeps them in the one run folder, which all of them must see; then the first process puts
everything together. Which units there are does not depend on the number of processes, so the numbers
do not either, and a run may resume with another number.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from unimo2.devices import launched_processes, launched_rank, launcher_number
from unimo2.errors import UsageError

Value = TypeVar("Value")

# Processes wait for the slowest one, however long a run is.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class ProcessGroup:
    """The part of the units that one process works on; by default, of a process that runs alone.

    Attributes:
        index: Of the process, from 0.
        count: Of processes.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process collects the results."""
        return self.index == 0

    def takes(self, unit: int) -> bool:
        """Whether this process owns a unit, given its index in the run."""
        return unit % self.count == self.index

    def wait(self) -> None:
        """Wait until all processes are here."""

    def tell(self, value: Value) -> Value:
        """The value that the first process has, in all of them."""
        return value


ALL = ProcessGroup()


class LaunchedShare(ProcessGroup):
    """The share of a process among several that a launcher has started."""

    def wait(self) -> None:
        """Wait until all processes are here."""
        import torch.distributed

        torch.distributed.barrier()

    def tell(self, value: Value) -> Value:
        """The value that the first process has, in all of them."""
        import torch.distributed

        content = [value]
        torch.distributed.broadcast_object_list(content, src=0)
        return content[0]


@dataclass(frozen=True)
class Team:
    """Processes that look at a development split together while they train; also a single one.

    Attributes:
        share: Share of this process.
        folder: That all of them see; None for this machine's temporary one.
    """

    share: ProcessGroup = ALL
    folder: Path | None = None

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder for what each of them finishes; it is gone afterwards."""
        place = None
        if self.share.first:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix="early-", dir=self.folder))
        place = cast(Path, self.share.tell(place))
        try:
            yield place
        finally:
            if self.share.first:
                shutil.rmtree(place, ignore_errors=True)

    def told(self, compute: Callable[[], Value]) -> Value:
        """What the first process makes of all parts, in all of them; its error, too.

        Raises:
            UsageError: What `compute` raises, in every process.
        """
        self.share.wait()
        found: Value | UsageError | None = None
        if self.share.first:
            try:
                found = compute()
            except UsageError as error:
                found = error
        found = self.share.tell(found)
        if isinstance(found, UsageError):
            raise found
        return cast(Value, found)


def training_team(folder: Path) -> Team:
    """The processes of a training run, whose loop connects them; `folder` is its output."""
    index, count = launched_rank(), launched_processes()
    return Team(ALL if count < 2 else LaunchedShare(index, count), folder)


def launched() -> ProcessGroup:
    """This process's share, from what `accelerate launch` and `torchrun` put into the environment.

    Returns:
        `ALL` for a process that was started alone.
    """
    index, count = launched_rank(), launched_processes()
    if count < 2:
        return ALL
    import torch.distributed

    if not torch.distributed.is_initialized():
        # Gloo, because only plans and paths are exchanged; results go through the run folder.
        torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
        atexit.register(torch.distributed.destroy_process_group)
    return LaunchedShare(index, count)


def own_device(device: str, share: ProcessGroup) -> str:
    """The GPU of one of several processes on a machine, where "auto" leaves the choice.

    Args:
        device: As the user typed it.
        share: The process's.

    Returns:
        The device's name.
    """
    import torch

    if device != "auto" or share.count == 1 or not torch.cuda.is_available():
        return device
    return f"cuda:{launcher_number('LOCAL_RANK', 0) % torch.cuda.device_count()}"
