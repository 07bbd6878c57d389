"""The training loop on Hugging Face Accelerate: `train` runs any `TrainingTask`.

Everything random in a step is a function of (seed, step), so that a run that was killed and started
again ends with the same weights, bit by bit on one CPU process.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from transformers import PreTrainedModel

from unimo2.data.batches import Batch
from unimo2.data.seeding import DROPOUT, Shard, stream_seed
from unimo2.errors import TrainingFailed, UsageError
from unimo2.training import LOG, SUMMARY, checkpoints
from unimo2.training.config import LoopConfig
from unimo2.training.dictionary_usage import collapse_warning
from unimo2.training.distributed import Trackers, make_accelerator
from unimo2.training.logging import Evaluated, LogFile, LogInterval, TrainingProgress
from unimo2.training.optimization import build_optimizer, choose_precision, learning_rate_at

OnProgress = Callable[[TrainingProgress], None]
Evaluate = Callable[[PreTrainedModel, int], Mapping[str, float]]


class TrainingTask:
    """A task for `train`: a model, its losses and its data."""

    model: PreTrainedModel  # what evaluations are given, and is saved
    processor: Any  # saved beside the model; None for none
    # A module over the model; its forward takes a batch and returns scalars, of which "loss" is
    # minimised and all are logged ("dictionary_counts" int64 [C] apart, from which the use of the
    # dictionary is computed). All its parameters are trained and kept in the checkpoint.
    objective: nn.Module

    def batch(self, step: int, share: Shard) -> Batch:
        """A part of the batch of a step, on the CPU; a function of its arguments alone."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Values that must match a checkpoint's, besides the configuration: nested plain values."""
        raise NotImplementedError

    def notes(self) -> dict[str, Any]:
        """Contents of train.json besides the identity: plain values."""
        return {}

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model with all that is needed to use it, all or nothing."""
        checkpoints.save_model(self.model, self.processor, folder, dtype)


_PACKAGES = ("torch", "timm", "transformers", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True)
class TrainSummary:
    """Summary of a finished run (also in train.json)."""

    steps: int  # optimiser steps done, over all starts of the run
    seconds: float  # training time over all starts, without reading data
    samples_per_second: float  # samples of all kinds a second over that time
    samples: Mapping[str, int]  # how many samples of each kind were trained on
    precision: str  # "fp32" or "bf16", as "auto" was settled
    resumed_from: int  # the step at which this start of the run began
    losses: Mapping[str, float | int | None]  # the last line of losses in the log
    model_folder: Path  # where `from_pretrained` finds the weights
    # the evaluation whose weights these are; None where nothing selects (the last then)
    best: checkpoints.Best | None = None


def report(
    summary: TrainSummary,
    config: LoopConfig,
    task: TrainingTask,
    changes: Sequence[str],
    accelerator: Accelerator,
) -> dict[str, Any]:
    """The content of train.json, plain values: enough to repeat the run."""
    kept = {k: v for k, v in asdict(summary).items() if k not in ("resumed_from", "model_folder")}
    return {
        "command": " ".join(sys.argv),
        "config": asdict(config),
        **({"changes": list(changes)} if changes else {}),
        **task.identity(),
        **task.notes(),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        **kept,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def feed(
    task: TrainingTask, first: int, steps: int, parts: list[Shard], ahead: int
) -> Iterator[tuple[Shard, Batch]]:
    """The parts of all batches from the step `first` to before `steps`, in order.

    A thread prepares `ahead` of them; with 0 each is prepared when it is asked for.
    """
    wanted = ((step, part) for step in range(first, steps) for part in parts)
    if not ahead:
        for step, part in wanted:
            yield part, task.batch(step, part)
        return
    pool = ThreadPoolExecutor(max_workers=1)
    waiting: deque[tuple[Shard, Future[Batch]]] = deque()
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


# Rows of the matrix product by which precision "auto" is settled: the tokens of a mini batch.
_TIMED_ROWS = 2048
RESUME = ("auto", "changed", "never")


def train(
    task: TrainingTask,
    config: LoopConfig,
    output: Path,
    resume: str = "auto",
    device: str = "auto",
    on_progress: OnProgress | None = None,
    evaluate: Evaluate | None = None,
    select: str | None = None,
) -> TrainSummary:
    """Train a task's model and save it.

    Args:
        task: model, losses, data.
        config: how; its `identity` is part of what a checkpoint must agree with.
        output: folder for model/, checkpoint/, log.jsonl and train.json.
        resume: "auto" continues the run that the folder holds, if any; "changed" does so with
            other values of `config`, which then count from that step on; "never" starts over.
        device: "auto", "cpu" or "cuda".
        on_progress: called after every logged interval and every evaluation that selects, on the
            main process.
        evaluate: called every `config.eval_every` steps (and with `select` after the last one) on
            every process, with the model in evaluation mode and the steps done; what it returns is
            logged.
        select: name of a value of `evaluate`: output/model then holds the weights with the highest
            such value (of equal ones the earliest), not the last.

    Raises:
        BadCheckpoint: the folder's checkpoint is damaged or belongs to another run.
        TrainingFailed: a loss or gradient is not finite, or the disk is full; the last checkpoint
            stays as it was.
        UsageError: a configuration that cannot run on this data or machine.
    """
    require_resume(resume)
    if select is not None and evaluate is None:
        raise UsageError(f"select={select!r} needs an evaluation")
    accelerator = make_accelerator(device, config.trackers, output)
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    # Dropout draws from PyTorch's global generators, which are re-seeded from (seed, step) below;
    # the caller's generators are put back afterwards.
    with torch.random.fork_rng(devices=cuda):
        run = _Run(task, config, output, accelerator, evaluate, select)
        try:
            run.restore(resume)
            run.train(on_progress)
            return run.finish()
        except OSError as error:  # of the log, of trackers, of an evaluation's temporary files
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TrainingFailed(f"step {run.step}: {error} ({output}); {run.kept()}") from error
        finally:
            run.trackers.close()


def require_resume(word: str) -> None:
    """Raise UsageError for a word that `train` does not know."""
    if word not in RESUME:
        raise UsageError(f"--resume {word!r}: expected {', '.join(RESUME[:-1])} or {RESUME[-1]}")


class _Run:
    """One start of a training run."""

    def __init__(
        self,
        task: TrainingTask,
        config: LoopConfig,
        output: Path,
        accelerator: Accelerator,
        evaluate: Evaluate | None,
        select: str | None,
    ) -> None:
        self.task, self.config, self.output = task, config, output
        self.accelerator, self.evaluate, self.select = accelerator, evaluate, select
        self.share = Shard(accelerator.process_index, accelerator.num_processes)
        self.bare = task.objective  # without the wrapper that several processes need
        if config.gradient_checkpointing:
            task.model.gradient_checkpointing_enable()
        optimizer = build_optimizer(self.bare, config)
        self.objective, self.optimizer = accelerator.prepare(self.bare, optimizer)
        self.trackers = Trackers(accelerator, asdict(config))
        self.step = self.resumed_from = self.saved_at = 0
        self.seconds_before = 0.0
        self.samples: Counter[str] = Counter()
        self.precision: str = ""
        self.best: checkpoints.Best | None = None
        self.changes: list[str] = []
        self.last: dict[str, float | int | None] = {}
        self.warning: str | None = None
        self.evaluated: Evaluated | None = None
        identity = {"training": config.identity(), **task.identity(), "select": select}
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def restore(self, resume: str) -> None:
        """Take up the run that the output folder holds, or clear the way for a new one."""
        folder = self.output / "checkpoint"
        if resume == "never" and self.accelerator.is_main_process:
            checkpoints.discard_state(folder)
        self.accelerator.wait_for_everyone()
        state = checkpoints.load_state(folder)
        self._require_one_state(None if state is None else state.step)
        if state is None:
            self.precision = self._settled_precision(folder)
        else:
            self._take_up(state, folder, resume)
        if self.accelerator.is_main_process:
            self.output.mkdir(parents=True, exist_ok=True)
            self.log = LogFile(self.output / LOG, keep_until=self.step)
            self.last = self.log.losses

    def _require_one_state(self, step: int | None) -> None:
        """Stop all processes together, unless each has found what the first one has."""
        mine = -1 if step is None else step
        first = self._agreed(mine)
        same = torch.tensor(float(mine == first), device=self.accelerator.device)
        if self.share.world > 1 and self.accelerator.reduce(same, "mean") != 1:
            raise UsageError(
                f"the processes find different checkpoints in {self.output} (here "
                f"{'none' if step is None else f'step {step}'}): --output must be a folder that all "
                "machines share"
            )

    def _settled_precision(self, folder: Path) -> str:
        """The number precision of a new run; "auto" as it was settled before a kill, if it was."""
        config, device = self.config, self.accelerator.device
        kept = (
            checkpoints.kept_precision(folder, device.type) if config.precision == "auto" else None
        )
        width = int(self.task.model.config.get_text_config().hidden_size)
        found = kept or choose_precision(config.precision, device, _TIMED_ROWS, width)
        found = self._agreed(found)
        if self.accelerator.is_main_process and config.precision == "auto" and kept is None:
            checkpoints.keep_precision(folder, device.type, found)
        return found

    def _take_up(self, state: checkpoints.TrainingState, folder: Path, resume: str) -> None:
        changes = checkpoints.require_same_run(
            state.identity, self.identity, folder, resume == "changed"
        )
        self.changes = [*state.changes, *(f"step {state.step}: {words}" for words in changes)]
        self.bare.load_state_dict(state.model)
        own = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state.optimizer)
        for group, values in zip(self.optimizer.param_groups, own, strict=True):
            group.update(values)  # the state holds those of the configuration before
        self.step = self.resumed_from = self.saved_at = state.step
        self.seconds_before, self.precision = state.seconds, state.precision
        if any(words.startswith("training.precision ") for words in changes):
            self.precision = self._settled_precision(folder)
        self.samples = Counter(state.samples)
        self.best = None if state.best is None else checkpoints.Best(**state.best)

    def _agreed(self, value: Any) -> Any:
        """The main process's value, on every process."""
        if self.share.world == 1:
            return value
        return broadcast_object_list([value])[0]

    def train(self, on_progress: OnProgress | None) -> None:
        """Take the remaining steps."""
        config = self.config
        self.objective.train()
        self.started = interval_started = time.perf_counter()
        interval = LogInterval()
        parts = self.share.split(config.accumulate)
        batches = feed(self.task, self.step, config.steps, parts, config.prefetch)
        while self.step < config.steps:
            self._optimise(list(islice(batches, len(parts))), interval)
            self.step += 1
            last = self.step == config.steps
            if self.step % config.log_every == 0 or last:
                now = time.perf_counter()
                self._report(interval, now - interval_started)
                self._tell(on_progress)
                interval, interval_started = LogInterval(), now
            due = config.eval_every and self.step % config.eval_every == 0
            if self.evaluate and (due or (last and self.select)):
                before = time.perf_counter()
                self._evaluate(self.evaluate)
                interval_started += time.perf_counter() - before  # no part of the speed
                if self.select:
                    self._tell(on_progress)
            if self.step % config.checkpoint_every == 0 or last:
                self._checkpoint()

    def _optimise(self, parts: Sequence[tuple[Shard, Batch]], interval: LogInterval) -> None:
        """One optimiser step; nothing is changed if a loss or the gradient is not finite."""
        config, device = self.config, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, config) * group["share"]
        self.optimizer.zero_grad()
        half = self.precision == "bf16"
        for number, (part, cpu_batch) in enumerate(parts, start=1):
            torch.manual_seed(stream_seed(config.seed, self.step, DROPOUT) + part.rank)
            batch = cpu_batch.to(device)
            alone = number < len(parts)  # gradients of processes meet in the last part
            with self.accelerator.no_sync(self.objective) if alone else nullcontext():
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                    result: dict[str, Tensor] = self.objective(batch)
                self._require_number(result["loss"], "loss", result)
                self.accelerator.backward(result["loss"] / len(parts))
            counts = {kind: n * self.share.world for kind, n in batch.counts.items()}
            interval.add(result, counts)
            self.samples.update(counts)
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), config.clip_norm)
        self._require_number(norm, "gradient norm", result)
        self.optimizer.step()
        interval.end_step(norm)

    def _require_number(self, value: Tensor, name: str, result: Mapping[str, Tensor]) -> None:
        healthy = torch.isfinite(value.detach())
        if self.share.world > 1:  # all stop together; one alone would leave the others waiting
            healthy = self.accelerator.reduce(healthy.float(), "mean") == 1
        if bool(healthy):
            return
        parts = ", ".join(f"{k} {float(v.detach()):.4g}" for k, v in result.items() if v.dim() == 0)
        raise TrainingFailed(
            f"the {name} is {float(value.detach())} at step {self.step + 1} ({parts}); "
            f"{self.kept()}; a lower learning_rate or precision=fp32 may help"
            + (" (with --resume changed from there)" if self.saved_at else "")
        )

    def kept(self) -> str:
        """The checkpoint from which a failed run can be resumed, for messages."""
        if not self.saved_at:
            return "no checkpoint yet"
        return f"the checkpoint of step {self.saved_at} is intact"

    @property
    def seconds(self) -> float:
        """Training time so far, over all starts of the run."""
        return self.seconds_before + time.perf_counter() - self.started

    def _tell(self, on_progress: OnProgress | None) -> None:
        if on_progress is None or not self.accelerator.is_main_process:
            return
        elapsed = self.seconds - self.seconds_before
        left = elapsed / (self.step - self.resumed_from) * (self.config.steps - self.step)
        steps = self.config.steps
        on_progress(
            TrainingProgress(self.step, steps, left, self.last, self.warning, self.evaluated)
        )

    def _report(self, interval: LogInterval, seconds: float) -> None:
        interval.gather(self.accelerator)
        self.last = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "samples_per_second": round(sum(interval.samples.values()) / seconds, 1),
            "learning_rate": learning_rate_at(self.step - 1, self.config),
            **interval.values(),
            **{f"samples/{kind}": number for kind, number in interval.samples.items()},
        }
        self.warning = warning = collapse_warning(
            self.last,
            self.config.dictionary_floor,
            int(getattr(self.task.model.config, "dictionary_size", 0)),
            int(getattr(self.task.model.config, "grounded_tokens", 0)),
        )
        if self.accelerator.is_main_process:
            self.log.write(self.last if warning is None else {**self.last, "warning": warning})
            self.trackers.log(self.last, self.step)

    def _evaluate(self, evaluate: Evaluate) -> None:
        """Evaluate, log, and keep the weights if they are the best so far."""
        self.objective.train(False)
        # On a GPU a development split in float32 would take longer than the training in between.
        kind = self.accelerator.device.type
        half = self.precision == "bf16" and kind == "cuda"
        with torch.no_grad(), torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            values = self._agreed(dict(evaluate(self.task.model, self.step)))
        self.objective.train()
        if self.accelerator.is_main_process:
            named = {f"eval/{name}": value for name, value in values.items()}
            self.log.write({"step": self.step, **named})
            self.trackers.log(named, self.step)
        if self.select is None:
            return
        if self.select not in values:
            known = ", ".join(values)
            raise UsageError(f"the evaluation gives no {self.select!r}; it gives {known}")
        value = float(values[self.select])
        if self.best is None or value > self.best.value:
            self.best = checkpoints.Best(self.step, self.select, value)
            self._save()
        self.evaluated = Evaluated(self.step, self.select, value, self.best.value)

    def _checkpoint(self) -> None:
        """Store the state; the other processes wait until it is there."""
        if self.accelerator.is_main_process:
            checkpoints.save_state(
                self.output / "checkpoint",
                checkpoints.TrainingState(
                    step=self.step,
                    seconds=self.seconds,
                    precision=self.precision,
                    identity=self.identity,
                    model=self.bare.state_dict(),
                    optimizer=self.optimizer.state_dict(),
                    samples=dict(self.samples),
                    best=None if self.best is None else asdict(self.best),
                    changes=self.changes,
                ),
            )
        self.accelerator.wait_for_everyone()
        self.saved_at = self.step

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            self.task.save(self.output / "model", self.config.save_dtype)
        self.accelerator.wait_for_everyone()

    def finish(self) -> TrainSummary:
        """Save the model, unless the best was saved before, and train.json."""
        seconds = self.seconds
        self.objective.train(False)
        if self.best is None:
            self._save()
        summary = TrainSummary(
            steps=self.step,
            seconds=round(seconds, 2),
            samples_per_second=round(sum(self.samples.values()) / max(seconds, 1e-9), 1),
            samples=dict(self.samples),
            precision=self.precision,
            resumed_from=self.resumed_from,
            losses=self.last,
            model_folder=self.output / "model",
            best=self.best,
        )
        if self.accelerator.is_main_process:
            document = report(summary, self.config, self.task, self.changes, self.accelerator)
            checkpoints.write_json(self.output / SUMMARY, document)
        self.accelerator.wait_for_everyone()
        return summary
