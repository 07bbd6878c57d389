"""Validation in training: a benchmark's metrics of a model in memory, without a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import prediction
from evals.datasets import suites
from evals.distributed import Team
from evals.registry import get_benchmark, require_one
from evals.runner import make_request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evals.metrics.ranking import Metric
    from unimo2.training.finetuning.tasks import FinetuningRun
    from zoo.protocols import Model

Evaluate = Callable[["PreTrainedModel", int], Mapping[str, float]]


def measure(
    benchmark: str,
    model: Model,
    root: Path,
    split: str,
    limit: int | None = None,
    batch_size: int | None = None,
) -> dict[str, Metric]:
    """Measure as `unimo2 eval` does: the same reader, the same protocol, the same metrics.

    Args:
        benchmark: Its name, for example "snli_ve".
        model: An adapter, for example of `zoo.task_adapter`.
        root: The data root.
        split: Of the data.
        limit: Only the first items of the split.
        batch_size: Instead of the model's own.

    Returns:
        The metrics of the benchmark's record.

    Raises:
        IncompatibleModel: The model lacks what the benchmark needs.
        UsageError: Or one of its kinds, for data that cannot be read.
    """
    given = {"data_root": root, "split": split, "limit": limit, "batch_size": batch_size}
    request, found = make_request(benchmark, model.name, given), get_benchmark(benchmark)
    require_one(found.alternatives(request), model)
    with prediction.batch_size(model, batch_size):
        return found.measuring(suites.resolve(None, root), request)(model)


def validator(
    prepared: FinetuningRun, root: Path, team: Team
) -> tuple[Evaluate | None, str | None]:
    """How fine-tuning looks at its development split.

    Args:
        prepared: The task.
        root: The data root.
        team: The processes, each of which computes its part.

    Returns:
        What the trainer calls, whose numbers have the benchmark's `selects_by`; or None, and why
        there is no development split.

    Raises:
        UsageError: Or one of its kinds, for a split that cannot be read: it is read now, so that this
            is reported before the training and not after an epoch.
    """
    from evals.retrieval.weight import weighing
    from unimo2.training.finetuning.config import AnswerConfig, CaptionConfig

    config, task = prepared.config, prepared.task
    benchmark = get_benchmark(task.name)
    if prepared.held_out is not None:
        accuracy = prepared.held_out
        return lambda model, step: {benchmark.selects_by: accuracy(model)}, None
    if prepared.development is not None:
        return _evaluation(prepared, weighing(prepared.development, team)), None
    if isinstance(config, AnswerConfig) and config.train_on != "train":
        return None, "val is trained on"
    if benchmark.dev_split is None:
        return None, "no image is held out"
    reason = benchmark.absence(root, benchmark.dev_split)
    if reason is not None:
        return None, reason
    given: dict[str, Any] = {"data_root": root, "split": benchmark.dev_split}
    given["limit"] = config.eval_limit or None
    if isinstance(config, CaptionConfig):
        given["object_tags"] = config.object_tags or None
    request = make_request(benchmark.name, task.name, given)
    validating = benchmark.validating(suites.resolve(None, root), request, team)
    return _evaluation(prepared, validating), None


def _evaluation(prepared: FinetuningRun, measure: Callable[[Any], Mapping[str, float]]) -> Evaluate:
    """Validation callback of the trainer: evaluates the model in memory through an adapter."""
    from unimo2.errors import UndefinedMetric
    from zoo import task_adapter

    task = prepared.task

    def evaluate(model: PreTrainedModel, step: int) -> Mapping[str, float]:
        adapter = task_adapter(task.name, model, task.processor, task.name, "")
        try:
            found = measure(adapter)
        except UndefinedMetric:  # the same output for every item correlates with nothing
            return {get_benchmark(task.name).selects_by: 0.0}
        if "contrastive_weight" in found:  # the best one; the model keeps it
            model.config.contrastive_weight = found["contrastive_weight"]
        return found

    return evaluate
