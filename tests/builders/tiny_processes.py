"""Fine-tuning tasks of a few images, whose gradients one process and several compute."""

from __future__ import annotations

from pathlib import Path

import torch

from builders.tiny_tasks import write_model, write_root
from unimo2.training.finetuning.config import (
    FinetuneRecipe,
    default_config,
    load_finetune_recipe,
    override_finetune,
)
from unimo2.training.finetuning.tasks import FinetuningTask, prepare

# In batches of four; one caption of an image is much longer than the other.
TASKS = {
    "flickr": ("negatives=2", "negatives_from=corpus"),
    "coco": ("captions_per_image=1", "label_smoothing=0.1"),
    "snli_ve": ("grounding_weight=0.5",),
}
STEP = 1


def write(folder: Path) -> None:
    """Data and a model without dropout, to be read by all processes."""
    write_root(folder / "root")
    write_model(folder / "tiny", hidden_dropout=0.0)


def recipe(name: str) -> FinetuneRecipe:
    """A task's recipe, small."""
    found = load_finetune_recipe(f"mini-{name.replace('_', '-')}", default_config(name))
    return override_finetune(found, ["batch_size=4", *TASKS[name]])


def finetuning(name: str, folder: Path) -> FinetuningTask:
    """A task whose gradients depend on no dropout."""
    made = prepare(name, recipe(name), folder / "tiny", folder / "root").task
    for part in made.objective.modules():  # the head's own
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return made
