"""How fine-tuning looks at the development split: the wiring between the trainer and evals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unimo2.cli.console import say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from unimo2.formats.karpathy import KarpathyImage
    from unimo2.training.finetuning.tasks import Prepared

Evaluate = Callable[["PreTrainedModel", int], Mapping[str, float]]

# What must be there for a task's development split to be used.
_FILES = {
    "flickr": ("flickr30k/dataset_flickr30k.json",),
    "coco": ("coco/dataset_coco.json",),
    "vqa": (
        "vqa/v2_OpenEnded_mscoco_val2014_questions.json",
        "vqa/v2_mscoco_val2014_annotations.json",
    ),
    "snli_ve": ("snli_ve/snli_ve_dev.jsonl",),
    "sst2": ("glue/SST-2/dev.tsv",),
    "mnli": ("glue/MNLI/dev_matched.tsv",),
    "cola": ("glue/CoLA/dev.tsv",),
    "stsb": ("glue/STS-B/dev.tsv",),
}


def early_evaluation(prepared: Prepared, root: Path) -> Evaluate | None:
    """What the trainer is to call, for the metric `unimo2.training.finetuning.tasks.METRICS` names.

    Args:
        prepared: the task.
        root: data root.

    Returns:
        The callback; None where there is no development split, which is said.
    """
    from unimo2.training.finetuning.config import AnswerConfig

    config, task = prepared.config, prepared.task
    if prepared.held_out is not None:
        return _held_out(prepared.held_out)
    if prepared.development is not None:
        return _retrieval(prepared, prepared.development)
    reason = None
    if isinstance(config, AnswerConfig) and config.train_on != "train":
        reason = "val is trained on"
    elif task.name == "imagenet":
        reason = "no image is held out"
    else:
        missing = [name for name in _FILES[task.name] if not (root / name).is_file()]
        if missing:
            reason = f"{root / missing[0]} is not there"
        elif task.name in ("flickr", "coco") and not _has_val(root / _FILES[task.name][0]):
            reason = f"{root / _FILES[task.name][0]} has no image of the split val"
    if reason is not None:
        say(f"no development split ({reason}): the last weights are kept", err=True)
        return None
    if task.name == "flickr":
        return _retrieval(prepared, _validation(root)[: config.eval_limit or None])
    return (_captions if task.name == "coco" else _benchmark)(prepared, root)


def _has_val(path: Path) -> bool:
    """Whether a Karpathy file has images of the split val."""
    from unimo2.formats.karpathy import parse_karpathy

    return any(image.split == "val" for image in parse_karpathy(path, path.parent))


def _held_out(accuracy: Callable[[PreTrainedModel], float]) -> Evaluate:
    return lambda model, step: {"accuracy": accuracy(model)}


def _validation(root: Path) -> Sequence[KarpathyImage]:
    """Flickr30k's validation images."""
    from unimo2.formats.karpathy import read_karpathy

    folder = root / "flickr30k"
    return read_karpathy(folder / "dataset_flickr30k.json", folder / "flickr30k-images", ["val"])


def _retrieval(prepared: Prepared, images: Sequence[KarpathyImage]) -> Evaluate:
    """R@1 at the best weight of the contrastive score, which the model then keeps."""
    from evals.retrieval.weight import choose_weight
    from zoo import task_adapter
    from zoo.protocols import PairScorer

    task = prepared.task

    def evaluate(model: PreTrainedModel, step: int) -> Mapping[str, float]:
        adapter = task_adapter(task.name, model, task.processor, task.name, "")
        choice = choose_weight(cast(PairScorer, adapter), images, report=lambda progress: None)
        model.config.contrastive_weight = choice.weight
        return {"recall@1": choice.mean_recall_at_1, "contrastive_weight": choice.weight}

    return evaluate


def _captions(prepared: Prepared, root: Path) -> Evaluate:
    """CIDEr alone: the benchmark's other metrics would take longer than the training."""
    from evals.validation import cider_on
    from unimo2.training.finetuning.config import CaptionConfig
    from zoo import task_adapter
    from zoo.protocols import Captioner

    task, config = prepared.task, cast(CaptionConfig, prepared.config)
    tags = Path(config.object_tags) if config.object_tags else None
    measure = cider_on(root, "val", config.eval_limit or None, tags)

    def evaluate(model: PreTrainedModel, step: int) -> Mapping[str, float]:
        adapter = task_adapter(task.name, model, task.processor, task.name, "")
        return {"CIDEr": measure(cast(Captioner, adapter))}

    return evaluate


def _benchmark(prepared: Prepared, root: Path) -> Evaluate:
    """The benchmark's own protocol and metrics on its development split."""
    from evals.validation import measuring
    from unimo2.errors import UndefinedMetric
    from unimo2.training.finetuning.tasks import DEVELOPMENT, METRICS
    from zoo import task_adapter

    task, limit = prepared.task, prepared.config.eval_limit or None
    split = DEVELOPMENT[task.name]
    assert split is not None  # ImageNet's images are held out
    # Read now: what is wrong with the split is said before the training and not after an epoch.
    measure = measuring(task.name, root, split, limit)

    def evaluate(model: PreTrainedModel, step: int) -> Mapping[str, float]:
        adapter = task_adapter(task.name, model, task.processor, task.name, "")
        try:
            metrics: Mapping[str, Any] = measure(adapter)
        except UndefinedMetric:  # the same output for every item correlates with nothing
            return {METRICS[task.name]: 0.0}
        # Without the parts by type of question, class and the like.
        return {n: float(metric.value) for n, metric in metrics.items() if "[" not in n}

    return evaluate
