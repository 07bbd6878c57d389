"""GLUE fine-tuning of any transformers text encoder, beside UNIMO-2's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from unimo2.data.seeding import WEIGHTS, stream_seed
from unimo2.data.texts import TokenTable
from unimo2.errors import BadCheckpoint, UsageError
from unimo2.finetuning.classification import LabelledBatch, LabelledData, judge
from unimo2.finetuning.config import FinetuneRecipe, with_steps
from unimo2.finetuning.readers import read_glue
from unimo2.finetuning.task import FinetuningTask
from unimo2.finetuning.tasks import Prepared
from unimo2.text_encoders import longest


class EncoderObjective(nn.Module):
    """The loss of a model for sequence classification, by the same rules as our own heads."""

    def __init__(self, model: PreTrainedModel, label_smoothing: float = 0.0) -> None:
        """Wrap a model.

        Args:
            model: gives `logits` of [b, c].
            label_smoothing: share of the target that is spread over all classes.
        """
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Scalars "loss", "task", and "accuracy" in [0, 1] where there are classes."""
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids
        return judge(self.model(**inputs).logits.float(), batch.labels, self.label_smoothing)


def prepare_encoder(
    task: str, recipe: FinetuneRecipe, name_or_folder: str | Path, root: Path
) -> Prepared:
    """Read the data and load the encoder, with a new head where it has none.

    Args:
        task: "sst2", "mnli", "cola" or "stsb".
        recipe: its `model` table names no field of UNIMO-2's here and must be empty.
        name_or_folder: a folder, or a repository of the model hub.
        root: data root.

    Raises:
        BadCheckpoint: it cannot be loaded as a text encoder.
        UsageError: or one of its kinds (MissingData, BadData).
    """
    config = recipe.training
    if recipe.model:
        raise UsageError(
            f"model.{', model.'.join(recipe.model)}: fields of UNIMO-2, which {name_or_folder} is "
            f"not; use a recipe without them, for example --config {task}"
        )
    samples = read_glue(root, task)
    names: dict[str, Any] = {"num_labels": 1}
    if samples.labels:
        names = {
            "id2label": dict(enumerate(samples.labels)),
            "label2id": {label: number for number, label in enumerate(samples.labels)},
        }
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, 0, WEIGHTS))
            model, info = AutoModelForSequenceClassification.from_pretrained(
                name_or_folder,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # a head of other classes; the body is looked at below
                **names,
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadCheckpoint(
            f"{name_or_folder} cannot be loaded as a text encoder: {reason}; give a folder, or a "
            "repository of the hub that can be reached"
        ) from error
    misshapen = [str(key[0]) for key in info["mismatched_keys"]]
    _refuse_missing(model, [*info["missing_keys"], *misshapen], name_or_folder)
    limit = min(config.max_text_length, longest(model, tokenizer))
    texts = TokenTable(tokenizer, samples.texts, limit)
    data = LabelledData(config, samples.targets, len(samples.texts), texts)
    objective = EncoderObjective(model, config.label_smoothing)
    built = FinetuningTask(task, model, objective, data, tokenizer)
    dropped = None
    if misshapen:
        name = Path(name_or_folder).name
        dropped = f"the head of {name} has other classes and is dropped: {task} gets a new one"
    return Prepared(built, with_steps(config, data.samples), dropped=dropped)


def _refuse_missing(model: PreTrainedModel, missing: Iterable[str], source: str | Path) -> None:
    """Raise BadCheckpoint for weights of the encoder that a checkpoint lacks.

    A new head is what fine-tuning is for, and some checkpoints come without BERT's pooler;
    transformers would draw anything else at random, too, and go on.
    """
    body = f"{model.base_model_prefix}."
    lost = sorted(name for name in missing if name.startswith(body) and ".pooler." not in name)
    if lost:
        raise BadCheckpoint(
            f"{source} cannot be loaded as a text encoder: {len(lost)} of its weights are missing "
            f"or of another shape: {', '.join(lost[:3])}"
        )
