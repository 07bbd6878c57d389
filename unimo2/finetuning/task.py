"""What the trainer is given: a task model, its objective and its training data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedModel

from unimo2.data.seeding import Share
from unimo2.saving import save_model
from unimo2.training_task import TrainingBatch


class TrainingData(Protocol):
    """Training samples of a task."""

    @property
    def samples(self) -> int:
        """How many an epoch takes, in the unit of the batch size."""
        ...

    def batch(self, step: int, share: Share) -> TrainingBatch:
        """A part of the batch of a step, on the CPU; a function of (seed, step, share)."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Counts and fingerprint, for records: plain values."""
        ...


class FinetuningTask:
    """One task model with its losses and data, as `unimo2.trainer.train` takes it.

    Attributes:
        name: of the benchmark, "snli_ve".
        model: what is saved and evaluated.
        objective: the losses over the model.
        data: training samples.
        processor: saved beside the weights: a processor, or the tokenizer of a text encoder.
    """

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        objective: nn.Module,
        data: TrainingData,
        processor: Any,
    ) -> None:
        """Put the parts together and write the task's name into the model's configuration."""
        self.name, self.model, self.objective = name, model, objective
        self.data, self.processor = data, processor
        model.config.task = name

    def batch(self, step: int, share: Share) -> TrainingBatch:
        """A part of the batch of a step."""
        return self.data.batch(step, share)

    def identity(self) -> dict[str, Any]:
        """Task, model and data."""
        # Names of classes are part of the data's fingerprint, and would fill every message.
        model = self.model.config.to_diff_dict()
        shown = {k: v for k, v in model.items() if k not in ("id2label", "label2id")}
        return {"task": self.name, "model": shown, "data": dict(self.data.describe())}

    def describe(self) -> dict[str, Any]:
        """The same, for train.json."""
        return self.identity()

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model and its processor."""
        save_model(self.model, self.processor, folder, dtype)
