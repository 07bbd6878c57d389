"""The process's place among devices and processes, and the trackers that a run reports to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType, GradientAccumulationPlugin

from unimo2.errors import UsageError

# What trackers call the run's project.
_PROJECT = "unimo2"
# Kinds of launch in which every process holds the whole model.
_KINDS = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def require_place(device: str, trackers: Sequence[str]) -> None:
    """Refuse a device or a tracker that is not there, before data is read for it.

    Raises:
        UsageError: "cuda" is asked for and there is none, the device is unknown, or a tracker is
            not installed.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device!r}: it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no CUDA device; use cpu or auto")
    installed = [str(tracker.value) for tracker in get_available_trackers()]
    for name in trackers:
        if name not in installed:
            known = ", ".join(installed) or "none"
            raise UsageError(
                f"tracker {name!r} is unknown or not installed (pip install {name}; or leave it out: "
                f"--set trackers=[]); there is: {known}"
            )


def make_accelerator(
    device: str = "auto", trackers: Sequence[str] = (), output: Path | None = None
) -> Accelerator:
    """The process's place among devices and processes.

    Number precision is not left to Accelerate: its choice is global to the process, ours belongs
    to a run and is stored in its checkpoint.

    Args:
        device: "auto", "cpu" or "cuda".
        trackers: "tensorboard", "wandb" and others that Accelerate knows and that are installed.
        output: folder in which trackers write.

    Raises:
        UsageError: "cuda" is asked for and there is none, the device is unknown, or a tracker is
            not installed.
    """
    require_place(device, trackers)
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    # A loss with weight 0 leaves its head without a gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision="no",
        # Not a number: a launcher's option would go before it, and divide every gradient again.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[unused],
        log_with=list(trackers) or None,
        project_dir=None if output is None else str(output / "trackers"),
    )
    if accelerator.distributed_type not in _KINDS:
        raise UsageError(
            f"the launcher is set up for {accelerator.distributed_type.value}: checkpoints hold whole "
            "models, so use plain data parallelism (MULTI_GPU or MULTI_CPU), with accumulate and "
            "gradient_checkpointing where memory is short"
        )
    return accelerator


class Trackers:
    """What a run reports to beside its own log; nothing where no tracker was asked for."""

    def __init__(self, accelerator: Accelerator, settings: Mapping[str, object]) -> None:
        """Open the accelerator's trackers, on the main process.

        Args:
            accelerator: from `make_accelerator`.
            settings: of the run; lists are written as texts.
        """
        self._accelerator = accelerator
        if accelerator.log_with:
            plain = {
                name: value if isinstance(value, int | float | str | bool) else str(value)
                for name, value in settings.items()
            }
            accelerator.init_trackers(_PROJECT, config=plain)

    def log(self, values: Mapping[str, float | int | str | None], step: int) -> None:
        """Report numbers of a step."""
        if self._accelerator.log_with:
            numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
            self._accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Finish what the trackers have not written yet; the process group stays."""
        for tracker in self._accelerator.trackers:
            tracker.finish()
