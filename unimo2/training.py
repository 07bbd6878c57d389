"""Pre-training as a task of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unimo2.configuration import Unimo2Config
from unimo2.corpora import Corpora
from unimo2.modeling import Unimo2Model
from unimo2.objectives import LossWeights, PairBatch, PairObjective
from unimo2.processing import Unimo2Processor
from unimo2.recipes import PretrainConfig
from unimo2.streams import WEIGHTS, Share, stream_seed
from unimo2.trainer import Evaluate, OnProgress, TrainSummary, save_model, train


class PretrainingTask:
    """A model with random weights, the losses of pre-training, and its corpora."""

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Unimo2Config,
        processor: Unimo2Processor,
        corpora: Corpora,
    ) -> None:
        """Build the model; its weights follow from the seed."""
        self.config, self.processor, self.corpora = config, processor, corpora
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, 0, WEIGHTS))
            self.model = Unimo2Model(model_config)
        weights = LossWeights(
            config.mlm_weight, config.itm_weight, config.contrastive_weight, config.grounding_weight
        )
        self.objective = PairObjective(self.model, weights, config.hard_share)

    def batch(self, step: int, share: Share) -> PairBatch:
        """A part of the batch of a step."""
        return self.corpora.pairs.batch(step, self.config, share)

    def identity(self) -> dict[str, Any]:
        """Model and corpora."""
        return {"model": self.model.config.to_diff_dict(), "corpora": self.corpora.describe()}

    def describe(self) -> dict[str, Any]:
        """Model and corpora."""
        return self.identity()

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model and its processor."""
        save_model(self.model, self.processor, folder, dtype)


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
    """Train a model from random weights and save it; see `unimo2.trainer.train`.

    Args:
        config: how to train.
        model_config: which model.
        processor: saved with the model.
        corpora: what to train on.
        output: folder for model/, checkpoint/, log.jsonl and train.json.
        resume: "auto" continues the run that the folder holds, if any; "never" starts over.
        device: "auto", "cpu" or "cuda".
        on_progress: called after every logged interval, on the main process.
        evaluate: called every `config.eval_every` steps; what it returns is logged.

    Raises:
        BadCheckpoint: the folder's checkpoint is damaged or belongs to another run.
        TrainingFailed: a loss or gradient is no number, or the disk is full.
        UsageError: a configuration that cannot run on this data or machine.
    """
    task = PretrainingTask(config, model_config, processor, corpora)
    return train(task, config, output, resume, device, on_progress, evaluate)
