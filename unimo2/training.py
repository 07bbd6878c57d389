"""Pre-training on Hugging Face Accelerate: the loop, its checkpoints and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from unimo2.checkpoints import (
    TrainingState,
    discard_state,
    load_state,
    require_same_run,
    save_state,
)
from unimo2.configuration import Unimo2Config
from unimo2.corpora import DROPOUT, WEIGHTS, Corpora, Share, stream_seed
from unimo2.errors import TrainingFailed, UsageError
from unimo2.modeling import CONTRASTIVE_TEMPERATURE_RANGE, Unimo2Model
from unimo2.objectives import LossWeights, PairObjective
from unimo2.optimization import build_optimizer, choose_precision, learning_rate_at
from unimo2.processing import Unimo2Processor
from unimo2.recipes import PretrainConfig
from unimo2.training_log import Interval, LogFile, Progress

_PACKAGES = ("torch", "timm", "transformers", "accelerate", "tokenizers", "numpy")

OnProgress = Callable[[Progress], None]
Evaluate = Callable[[Unimo2Model, int], Mapping[str, float]]


@dataclass(frozen=True)
class TrainSummary:
    """What a finished run says about itself (also in train.json).

    Attributes:
        steps: optimiser steps done, over all starts of the run.
        seconds: training time over all starts, without reading data.
        samples_per_second: pairs a second over that time.
        precision: "fp32" or "bf16", as "auto" was settled.
        resumed_from: the step at which this start of the run began.
        losses: the last line of the log.
        model_folder: where `Unimo2Model.from_pretrained` finds the weights.
    """

    steps: int
    seconds: float
    samples_per_second: float
    precision: str
    resumed_from: int
    losses: Mapping[str, float | int | None]
    model_folder: Path


def make_accelerator(device: str = "auto") -> Accelerator:
    """The process's place among devices and processes.

    Number precision is not left to Accelerate: its choice is global to the process, ours belongs
    to a run and is stored in its checkpoint.

    Raises:
        UsageError: "cuda" is asked for and there is none, or the device is unknown.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device!r}: it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no CUDA device; use cpu or auto")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    # A loss with weight 0 leaves its head without a gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=[unused])


def pretrain(
    config: PretrainConfig,
    model_config: Unimo2Config,
    processor: Unimo2Processor,
    corpora: Corpora,
    output: Path,
    resume: str = "auto",
    device: str = "auto",
    on_progress: OnProgress | None = None,
    evaluate: Evaluate | None = None,
) -> TrainSummary:
    """Train a model from random weights and save it.

    Args:
        config: how to train.
        model_config: which model.
        processor: saved with the model.
        corpora: what to train on.
        output: folder for model/, checkpoint/, log.jsonl and train.json.
        resume: "auto" continues the run that the folder holds, if any; "never" starts over.
        device: "auto", "cpu" or "cuda".
        on_progress: called after every logged interval, on the main process.
        evaluate: called every `config.eval_every` steps with the model in evaluation mode and the
            step; what it returns is logged.

    Raises:
        BadCheckpoint: the folder's checkpoint is damaged or belongs to another run.
        TrainingFailed: a loss or gradient is no number, or the disk is full; the last checkpoint
            stays as it was.
        UsageError: a configuration that cannot run on this data or machine.
    """
    if resume not in ("auto", "never"):
        raise UsageError(f"--resume {resume!r}: it must be auto or never")
    accelerator = make_accelerator(device)
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    # Dropout and initial weights draw from PyTorch's global generators, which are re-seeded from
    # (seed, step) below; the caller's generators are put back afterwards.
    with torch.random.fork_rng(devices=cuda):
        run = _Run(config, model_config, processor, corpora, output, accelerator)
        run.restore(resume)
        run.train(on_progress, evaluate)
        return run.finish()


class _Run:
    """One start of a training run."""

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Unimo2Config,
        processor: Unimo2Processor,
        corpora: Corpora,
        output: Path,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.processor, self.corpora = config, processor, corpora
        self.output, self.accelerator = output, accelerator
        self.share = Share(accelerator.process_index, accelerator.num_processes)
        torch.manual_seed(stream_seed(config.seed, 0, WEIGHTS))
        self.model = Unimo2Model(model_config)
        weights = LossWeights(
            config.mlm_weight, config.itm_weight, config.contrastive_weight, config.grounding_weight
        )
        objective = PairObjective(self.model, weights, config.hard_share)
        optimizer = build_optimizer(self.model, config)
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)
        self.step = self.resumed_from = 0
        self.seconds_before = 0.0
        self.precision: str = ""
        self.last: dict[str, float | int | None] = {}
        self.identity = _identity(config, model_config, corpora)

    def restore(self, resume: str) -> None:
        """Take up the run that the output folder holds, or clear the way for a new one."""
        folder = self.output / "checkpoint"
        if resume == "never" and self.accelerator.is_main_process:
            discard_state(folder)
        self.accelerator.wait_for_everyone()
        state = load_state(folder)
        if state is None:
            rows = self.config.batch_size * (self.model.config.patch_grid**2 + 1)
            self.precision = choose_precision(
                self.config.precision, self.accelerator.device, rows, self.model.config.hidden_size
            )
        else:
            require_same_run(state.identity, self.identity, folder)
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.step = self.resumed_from = state.step
            self.seconds_before, self.precision = state.seconds, state.precision
        if self.accelerator.is_main_process:
            self.output.mkdir(parents=True, exist_ok=True)
            self.log = LogFile(self.output / "log.jsonl", keep_until=self.step)

    def train(self, on_progress: OnProgress | None, evaluate: Evaluate | None) -> None:
        """Take the remaining steps."""
        config = self.config
        self.model.train()
        self.started = interval_started = time.perf_counter()
        interval = Interval()
        while self.step < config.steps:
            result, norm = self._optimise()
            self.step += 1
            interval.add(result, norm)
            last = self.step == config.steps
            if self.step % config.log_every == 0 or last:
                now = time.perf_counter()
                speed = interval.steps * config.batch_size / (now - interval_started)
                self._report(interval, speed, on_progress)
                interval, interval_started = Interval(), now
            if evaluate and config.eval_every and self.step % config.eval_every == 0:
                self._evaluate(evaluate)
            if self.step % config.checkpoint_every == 0 or last:
                self._checkpoint()

    def _optimise(self) -> tuple[dict[str, Tensor], Tensor]:
        """One optimiser step; nothing is changed if a loss or the gradient is no number."""
        config, device = self.config, self.accelerator.device
        torch.manual_seed(stream_seed(config.seed, self.step, DROPOUT) + self.share.rank)
        batch = self.corpora.pairs.batch(self.step, config, self.share).to(device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, config) * group["share"]
        half = self.precision == "bf16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            result = self.objective(batch)
        self._require_number(result["loss"], "loss", result)
        self.optimizer.zero_grad()
        self.accelerator.backward(result["loss"])
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), config.clip_norm)
        self._require_number(norm, "gradient norm", result)
        self.optimizer.step()
        return result, norm

    def _require_number(self, value: Tensor, name: str, result: Mapping[str, Tensor]) -> None:
        if bool(torch.isfinite(value)):
            return
        parts = ", ".join(f"{k} {float(v.detach()):.4g}" for k, v in result.items() if v.dim() == 0)
        kept = self.step // self.config.checkpoint_every * self.config.checkpoint_every
        kept = max(kept, self.resumed_from)
        where = f"the checkpoint of step {kept} is intact" if kept else "no checkpoint yet"
        raise TrainingFailed(
            f"the {name} is {float(value.detach())} at step {self.step + 1} ({parts}); {where}; "
            "a lower learning_rate or precision=fp32 may help"
        )

    @property
    def seconds(self) -> float:
        """Training time so far, over all starts of the run."""
        return self.seconds_before + time.perf_counter() - self.started

    def _report(self, interval: Interval, speed: float, on_progress: OnProgress | None) -> None:
        """Write the interval's line and tell the listener."""
        done = self.step - self.resumed_from
        elapsed = self.seconds - self.seconds_before
        remaining = elapsed / done * (self.config.steps - self.step)
        model = self.model
        self.last = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "samples_per_second": round(speed, 1),
            "learning_rate": learning_rate_at(self.step - 1, self.config),
            **interval.values(),
            "contrastive_temperature": float(
                model.contrastive_temperature.detach().clamp(*CONTRASTIVE_TEMPERATURE_RANGE)
            ),
        }
        if model.dictionary is not None and not model.dictionary.nearest:
            self.last["grounding_temperature"] = float(model.dictionary.temperature.detach())
        if self.accelerator.is_main_process:
            self.log.write(self.last)
            if on_progress:
                on_progress(Progress(self.step, self.config.steps, remaining, self.last))

    def _evaluate(self, evaluate: Evaluate) -> None:
        self.model.train(False)
        with torch.no_grad():
            values = evaluate(self.model, self.step)
        self.model.train()
        if self.accelerator.is_main_process:
            self.log.write({"step": self.step, **{f"eval/{k}": v for k, v in values.items()}})

    def _checkpoint(self) -> None:
        """Store the state; the other processes wait until it is there."""
        if self.accelerator.is_main_process:
            save_state(
                self.output / "checkpoint",
                TrainingState(
                    step=self.step,
                    seconds=self.seconds,
                    precision=self.precision,
                    identity=self.identity,
                    model=self.model.state_dict(),
                    optimizer=self.optimizer.state_dict(),
                ),
            )
        self.accelerator.wait_for_everyone()

    def finish(self) -> TrainSummary:
        """Save the model, its processor and train.json."""
        seconds = self.seconds
        folder = self.output / "model"
        summary = TrainSummary(
            steps=self.step,
            seconds=round(seconds, 2),
            samples_per_second=round(self.step * self.config.batch_size / max(seconds, 1e-9), 1),
            precision=self.precision,
            resumed_from=self.resumed_from,
            losses=self.last,
            model_folder=folder,
        )
        if self.accelerator.is_main_process:
            self.model.train(False)
            _save_model(self.model, self.processor, folder, self.config.save_dtype)
            _write_json(self.output / "train.json", self._document(summary))
        self.accelerator.wait_for_everyone()
        return summary

    def _document(self, summary: TrainSummary) -> dict[str, Any]:
        """The content of train.json: enough to repeat the run."""
        return {
            "command": " ".join(sys.argv),
            "config": asdict(self.config),
            "model": self.identity["model"],
            "corpora": self.corpora.describe(),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": summary.steps,
            "seconds": summary.seconds,
            "samples_per_second": summary.samples_per_second,
            "precision": summary.precision,
            "losses": dict(summary.losses),
            "device": str(self.accelerator.device),
            "processes": self.share.world,
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in _PACKAGES},
        }


def _identity(
    config: PretrainConfig, model_config: Unimo2Config, corpora: Corpora
) -> dict[str, Any]:
    """What a checkpoint must agree with to be continued, as plain values."""
    model = model_config.to_diff_dict()
    values = {"training": config.identity(), "model": model, "corpora": corpora.describe()}
    return dict(json.loads(json.dumps(values)))


def _save_model(
    model: Unimo2Model, processor: Unimo2Processor, folder: Path, save_dtype: str
) -> None:
    """Write the weights (safetensors) and the processor, all or nothing.

    Raises:
        TrainingFailed: the folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    dtype = getattr(torch, save_dtype)
    weights = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    try:
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial, state_dict=weights)
        processor.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except OSError as error:
        raise TrainingFailed(f"the model cannot be written to {folder}: {error}") from error


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
