"""A batch that is spread over processes: gathering it, and means over all of it.

Every process computes the losses of its own rows against the rows of all. Gradients of processes are
averaged (by DistributedDataParallel), so that a loss is right if the mean over processes of what each
returns is the loss of the whole batch. With one process everything here is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType, GradientAccumulationPlugin
from torch import Tensor, distributed
from torch.nn import functional

from unimo2.devices import total
from unimo2.errors import UsageError
from unimo2.modeling.grounding import Grounding
from unimo2.modeling.padding import IGNORED


def world_size() -> int:
    """Number of processes that train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    """All processes' rows; backward sums what every process has for one's own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """[b, ...] to [processes * b, ...]."""
        ctx.rows = len(rows)
        return gather_constant(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of one's own rows, over the losses of all processes."""
        summed = gradients[0].contiguous()
        distributed.all_reduce(summed)
        return summed[rank() * ctx.rows :][: ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """Rows [b, ...] of all processes, of one shape, in their order, with gradients: [B, ...]."""
    return rows if world_size() == 1 else _Gather.apply(rows)


def gather_narrow(rows: Tensor) -> Tensor:
    """As `gather`; under autocast rows travel in its type, which halves what is sent and held.

    The next product takes them in that type anyway. Without autocast, and in one process, they stay
    as they are.
    """
    kind = rows.device.type
    if world_size() > 1 and torch.is_autocast_enabled(kind):
        rows = rows.to(torch.get_autocast_dtype(kind))
    return gather(rows)


def gather_constant(rows: Tensor) -> Tensor:
    """As `gather`, without gradients."""
    if world_size() == 1:
        return rows.detach()
    rows = rows.detach().contiguous()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    distributed.all_gather(parts, rows)
    return torch.cat(parts)


def widest(width: int, device: torch.device) -> int:
    """The largest of a number over processes."""
    if world_size() == 1:
        return width
    value = torch.tensor(width, device=device)
    distributed.all_reduce(value, distributed.ReduceOp.MAX)
    return int(value)


def of_main(value: Tensor) -> Tensor:
    """The main process's values, on every process; written into `value`."""
    if world_size() > 1:
        distributed.broadcast(value, src=0)
    return value


def balanced(grounding: Grounding, tokens: Tensor) -> Tensor:
    """A grounding loss whose mean over processes is that of all tokens together.

    `tokens` is how many count on this process.
    """
    assert grounding.loss is not None, "computed without a loss"
    if world_size() == 1 or grounding.token_loss is None:
        return grounding.loss
    tokens = tokens.float()
    surplus = tokens * world_size() / total(tokens) - 1.0
    return grounding.loss + surplus * grounding.token_loss


def mean_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy over the rows of all processes that have a label (not -100).

    Its mean over processes is the mean over all rows; logits are [rows, classes].
    """
    count = total((labels != IGNORED).sum())
    losses = functional.cross_entropy(
        logits, labels, ignore_index=IGNORED, reduction="sum", label_smoothing=label_smoothing
    )
    return losses * (world_size() / count.clamp_min(1))


# What trackers call the run's project.
_PROJECT = "unimo2"
# Kinds of launch in which every process holds the whole model.
_KINDS = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def require_place(device: str, trackers: Sequence[str]) -> None:
    """Refuse a device or a tracker that is not there, before data is read for it.

    Raises:
        UsageError: A device that is unknown or not there, or a tracker that is not installed.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device!r}: expected auto, cpu or cuda")
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
    """The process's place among devices and processes, with trackers that write in `output`.

    Number precision is not left to Accelerate: its choice is global to the process, ours belongs
    to a run and is stored in its checkpoint.

    Raises:
        UsageError: As `require_place`; or the launcher shards the model.
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
    """Trackers that a run reports to besides its own log; none by default.

    Raises:
        UsageError: A tracker does not start, such as one that needs a login.
    """

    def __init__(self, accelerator: Accelerator, settings: Mapping[str, object]) -> None:
        self._accelerator = accelerator
        if not accelerator.log_with:
            return
        plain = {
            name: value if isinstance(value, int | float | str | bool) else str(value)
            for name, value in settings.items()
        }
        # Weights & Biases would write where the process was started.
        folder = accelerator.project_dir
        more = {} if folder is None else {"wandb": {"dir": folder}}
        if folder is not None and accelerator.is_main_process:
            Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            accelerator.init_trackers(_PROJECT, config=plain, init_kwargs=more)
        except OSError:
            raise
        except Exception as error:  # each tracker has exceptions of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            names = ", ".join(str(getattr(one, "value", one)) for one in accelerator.log_with)
            raise UsageError(
                f"expected a tracker that starts, got {names}: {reason}; mend that, or leave it out: "
                "--set trackers=[]"
            ) from error

    def log(self, values: Mapping[str, float | int | str | None], step: int) -> None:
        """Report numbers of a step."""
        if self._accelerator.log_with:
            numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
            self._accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Finish what the trackers have not written yet; the process group stays."""
        for tracker in self._accelerator.trackers:
            tracker.finish()
