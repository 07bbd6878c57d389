"""Pre-training as a task of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unimo2.data.batches import MixedBatch
from unimo2.data.curriculum import Corpora
from unimo2.data.seeding import WEIGHTS, Share, stream_seed
from unimo2.joint_objective import JointObjective
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.modeling.towers import load_roberta, load_vit, start_from_towers
from unimo2.objectives import LossWeights
from unimo2.pretrain_config import PretrainConfig
from unimo2.processing import Unimo2Processor
from unimo2.saving import save_model, save_tensors
from unimo2.trainer import Evaluate, OnProgress, TrainSummary, train


class PretrainingTask:
    """A model with random weights, the losses of pre-training, and its corpora."""

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Unimo2Config,
        processor: Unimo2Processor,
        corpora: Corpora,
    ) -> None:
        """Build the model; its weights follow from the seed, or from the configuration's towers.

        Raises:
            UsageError: the towers are missing, or of other sizes than the model.
        """
        self.config, self.processor, self.corpora = config, processor, corpora
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, 0, WEIGHTS))
            whole = Unimo2ForPreTraining(model_config)
        self.model = whole.unimo2
        if config.vision_tower:
            weights_file = Path(config.vision_weights) if config.vision_weights else None
            vit = load_vit(config.vision_tower, weights_file)
            start_from_towers(self.model, vit, load_roberta(config.text_tower))
        self.objective = joint_objective(config, whole, with_images=corpora.images is not None)
        self._checked = 0  # parts of a batch for which both phases are known to be possible

    def batch(self, step: int, share: Share) -> MixedBatch:
        """A part of the batch of a step.

        Raises:
            UsageError: a batch of this phase, or of the one to come, cannot be made.
        """
        if self._checked != share.world:
            self.corpora.require(self.config, share)
            self._checked = share.world
        return self.corpora.batch(step, self.config, share)

    def identity(self) -> dict[str, Any]:
        """Model and corpora."""
        return {"model": self.model.config.to_diff_dict(), "corpora": self.corpora.describe()}

    def describe(self) -> dict[str, Any]:
        """Model and corpora."""
        return self.identity()

    def save(self, folder: Path, dtype: str) -> None:
        """Write the model and its processor, and beside them the projection of views, if trained.

        The projection (`vcl_projection.safetensors`) is needed to train on, not to use the model.
        """
        save_model(self.model, self.processor, folder, dtype)
        if self.objective.projection is not None:
            save_tensors(self.objective.projection, folder.parent / "vcl_projection.safetensors")


def joint_objective(
    config: PretrainConfig, model: Unimo2ForPreTraining, with_images: bool
) -> JointObjective:
    """The losses over a model as a configuration weighs them.

    Args:
        config: weights, shares and temperatures.
        model: what is trained.
        with_images: whether images alone are trained on, for which a projection is added.
    """
    weights = LossWeights(
        mlm=config.mlm_weight,
        itm=config.itm_weight,
        contrastive=config.contrastive_weight,
        grounding=config.grounding_weight,
        vcl=config.vcl_weight,
        text=config.text_weight,
    )
    return JointObjective(
        model,
        weights,
        config.hard_share,
        config.match_share,
        config.vcl_temperature,
        with_images=with_images,
        restart_unused=config.restart_unused,
        negatives_from=config.negatives_from,
        match_group=config.match_group,
    )


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
