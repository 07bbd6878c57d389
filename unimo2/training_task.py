"""What `unimo2.trainer.train` trains: the interface between the loop and a model with its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from unimo2.data.seeding import Share
from unimo2.training_log import Progress

OnProgress = Callable[[Progress], None]
Evaluate = Callable[[PreTrainedModel, int], Mapping[str, float]]


class TrainingBatch(Protocol):
    """What a step computes on."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Samples by kind ("pairs", "images", "texts" ...)."""
        ...

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on another device."""
        ...


class TrainingTask(Protocol):
    """What `train` trains: a model, its losses and its data.

    Attributes:
        model: what evaluations are given.
        objective: a module over the model; its forward takes a batch and returns scalars, of which
            "loss" is minimised and all are logged ("dictionary_counts" int64 [C] apart, from which
            the use of the dictionary is computed). All its parameters are trained and kept in the
            checkpoint.
    """

    @property
    def model(self) -> PreTrainedModel:
        """The model."""
        ...

    @property
    def objective(self) -> nn.Module:
        """The losses, with the model in them."""
        ...

    def batch(self, step: int, share: Share) -> TrainingBatch:
        """A part of the batch of a step, on the CPU; a function of its arguments alone."""
        ...

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with beside the configuration: nested plain values."""
        ...

    def describe(self) -> dict[str, Any]:
        """What train.json says about the task: plain values."""
        ...

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model with all that is needed to use it, all or nothing (see `save_model`)."""
        ...
