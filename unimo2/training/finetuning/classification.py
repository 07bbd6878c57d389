"""Tasks whose answer is a class or a number: VQA, SNLI-VE, ImageNet, GLUE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from unimo2.data.batches import LabelledBatch
from unimo2.data.images import AugmentedImages
from unimo2.data.sampler import Chosen
from unimo2.data.seeding import Shard
from unimo2.data.texts import TokenTable
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts, task_loss
from unimo2.training.dictionary_usage import dictionary_news, fuse_pooled
from unimo2.training.finetuning.config import FinetuneConfig
from unimo2.training.finetuning.samples import TaskData

TaskModel = Unimo2ForPairs | Unimo2ForImages | Unimo2ForTexts


class Classes:
    """A class of each sample."""

    def __init__(self, labels: Sequence[int]) -> None:
        self._labels = torch.tensor(labels)

    def of(self, rows: Tensor) -> Tensor:
        """Targets of some samples."""
        return self._labels[rows]

    def content(self) -> bytes:
        """For the fingerprint."""
        return self._labels.numpy().tobytes()


class Numbers(Classes):
    """A number of each sample (STS-B)."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._labels = torch.tensor(numbers, dtype=torch.float32)


class SoftTargets:
    """Several classes of each sample, each with a weight in [0, 1] (VQA), held sparse."""

    def __init__(self, targets: Sequence[Mapping[int, float]], classes: int) -> None:
        """Take for each sample the weight of its classes, perhaps of none."""
        self._classes = classes
        self._counts = torch.tensor([len(target) for target in targets])
        self._first = self._counts.cumsum(dim=0) - self._counts
        flat = [pair for target in targets for pair in target.items()]
        self._ids = torch.tensor([number for number, _ in flat], dtype=torch.int64)
        self._weights = torch.tensor([weight for _, weight in flat], dtype=torch.float32)

    def of(self, rows: Tensor) -> Tensor:
        """Targets of some samples, float32 [b, classes]."""
        counts = self._counts[rows]
        total = int(counts.sum())
        sample = torch.repeat_interleave(torch.arange(len(rows)), counts)
        within = torch.arange(total) - (counts.cumsum(dim=0) - counts)[sample]
        places = self._first[rows][sample] + within
        dense = torch.zeros(len(rows), self._classes)
        dense[sample, self._ids[places]] = self._weights[places]
        return dense

    def mean(self) -> Tensor:
        """The mean weight of each class over all samples, float32 [classes]."""
        sums = torch.zeros(self._classes).index_add_(0, self._ids, self._weights)
        return sums / max(1, len(self._counts))

    def content(self) -> bytes:
        """For the fingerprint."""
        parts = (self._counts, self._ids, self._weights)
        return b"".join(part.numpy().tobytes() for part in parts)


Targets = Classes | SoftTargets


class LabelledData(TaskData):
    """Samples with a target each, in batches."""

    def __init__(
        self,
        config: FinetuneConfig,
        targets: Targets,
        count: int,
        texts: TokenTable | None = None,
        images: AugmentedImages | None = None,
        image_of: Sequence[int] | None = None,
    ) -> None:
        """Put the columns together; `image_of` is None where images and samples are the same.

        Raises:
            UsageError: There are fewer samples than a batch holds.
        """
        super().__init__(config, torch.ones(count, dtype=torch.int64), texts, count)
        self._targets, self._texts, self._images = targets, texts, images
        self._image_of = torch.arange(count) if image_of is None else torch.tensor(image_of)

    def images_of(self, chosen: Chosen) -> Tensor:
        """Images of a step's samples."""
        return self._image_of[chosen.items]

    def batch(self, step: int, share: Shard) -> LabelledBatch:
        """A part of the batch of a step."""
        part = share.rows(self.items)
        rows = self.chosen(step).items[part]
        pixels = ids = mask = types = None
        if self._images is not None:
            pixels = self.pixels(self._images, step, part)
        if self._texts is not None:
            ids, mask = self._texts.pad(rows)
            types = self._texts.types(rows)
        return LabelledBatch(self._targets.of(rows), pixels, ids, mask, types)

    def describe(self) -> dict[str, Any]:
        """Counts and fingerprint."""
        digest = sha256(self._targets.content())
        digest.update(self._image_of.numpy().tobytes())
        described: dict[str, Any] = {"samples": self.samples}
        if self._images is not None:
            described["images"] = len(self._images)
            digest.update(self._images.digest().encode())
        if self._texts is not None:
            digest.update(self._texts.digest().encode())
        return {**described, "fingerprint": digest.hexdigest()}


class ClassificationObjective(nn.Module):
    """The loss of a task model, and how often it is right."""

    def __init__(
        self, model: TaskModel, grounding_weight: float = 0.0, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.grounding_weight, self.label_smoothing = grounding_weight, label_smoothing

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Compute the loss.

        Returns:
            Scalars "loss", "task" (the head's loss), "grounding" where it has a weight, "accuracy"
            in [0, 1] where there are classes; and what `dictionary_news` gives.
        """
        base = self.model.unimo2
        vision = text = None
        if batch.pixel_values is not None:
            vision = base.encode_image(batch.pixel_values)
        if batch.input_ids is not None:
            text = base.encode_text(batch.input_ids, batch.attention_mask)
        wanted = self.grounding_weight > 0
        out, grounding, rows = fuse_pooled(base, vision, text, batch.attention_mask, wanted)
        logits = self.model.classify(out).float()  # [b, c]
        result = judge(logits, batch.labels, self.label_smoothing)
        result |= dictionary_news(base, rows)
        if grounding is not None:
            result["grounding"] = grounding.detach()
            result["loss"] = result["loss"] + self.grounding_weight * grounding
        return result


def judge(logits: Tensor, labels: Tensor, label_smoothing: float) -> dict[str, Tensor]:
    """Loss and accuracy of logits, float32 [b, c], as `LabelledBatch.labels` says.

    "loss", "task" (the same, detached) and, but for numbers, "accuracy": the mean of what the first
    guesses are worth.
    """
    loss = task_loss(logits, labels, label_smoothing)
    result = {"loss": loss, "task": loss.detach()}
    if logits.shape[1] > 1:
        guess = logits.detach().argmax(dim=1)
        soft = labels.dim() == 2
        worth = labels.gather(1, guess[:, None]) if soft else (guess == labels).float()
        result["accuracy"] = worth.mean()
    return result
