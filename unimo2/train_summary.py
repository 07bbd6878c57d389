"""What a finished training says about itself, and train.json."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from unimo2.checkpoints import Best
from unimo2.loop_config import LoopConfig
from unimo2.training_task import TrainingTask

_PACKAGES = ("torch", "timm", "transformers", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True)
class TrainSummary:
    """What a finished run says about itself (also in train.json).

    Attributes:
        steps: optimiser steps done, over all starts of the run.
        seconds: training time over all starts, without reading data.
        samples_per_second: samples of all kinds a second over that time.
        samples: how many samples of each kind were trained on.
        precision: "fp32" or "bf16", as "auto" was settled.
        resumed_from: the step at which this start of the run began.
        losses: the last line of losses in the log.
        model_folder: where `from_pretrained` finds the weights.
        best: the evaluation whose weights these are; None where nothing selects (the last then).
    """

    steps: int
    seconds: float
    samples_per_second: float
    samples: Mapping[str, int]
    precision: str
    resumed_from: int
    losses: Mapping[str, float | int | None]
    model_folder: Path
    best: Best | None = None


def report(
    summary: TrainSummary,
    config: LoopConfig,
    task: TrainingTask,
    changes: Sequence[str],
    accelerator: Accelerator,
) -> dict[str, Any]:
    """The content of train.json: enough to repeat the run.

    Args:
        summary: of the run.
        config: as it was at the end.
        task: what was trained.
        changes: of the configuration on the way, in words.
        accelerator: where it ran.

    Returns:
        Plain values for JSON.
    """
    kept = {k: v for k, v in asdict(summary).items() if k not in ("resumed_from", "model_folder")}
    return {
        "command": " ".join(sys.argv),
        "config": asdict(config),
        **({"changes": list(changes)} if changes else {}),
        **task.describe(),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        **kept,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
