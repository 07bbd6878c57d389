"""Task models: UNIMO-2 with one more head (paper, section 3.3).

Each loads from a pre-trained checkpoint (the head is then new) or from its own. The number of
classes and their names are `config.num_labels` and `config.id2label`, as everywhere in transformers.

Shapes: b batch, s image side, n text tokens, D width, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils.generic import ModelOutput

from unimo2.errors import UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.fusion import join_pooled, joined_width
from unimo2.modeling.model import Unimo2Model, Unimo2Output, Unimo2PreTrainedModel

# Dropout before the linear classifier (released code, MNLI).
_HEAD_DROPOUT = 0.1


@dataclass
class TaskOutput(ModelOutput):
    """Output of a task model."""

    loss: Tensor | None = None  # scalar, given labels; the grounding loss is not part of it
    logits: Tensor | None = None  # [b, c]
    grounding_loss: Tensor | None = None  # scalar, equation 3


class Unimo2ForPreTraining(Unimo2PreTrainedModel):
    """The pre-trained model with the projection of visual contrastive learning (section 3.2)."""

    _optional_parts = ("vcl_projection.",)

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.unimo2 = Unimo2Model(config)
        self.vcl_projection = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.post_init()

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Normalised features of images for the contrastive loss of their views.

        Args:
            pixel_values: [b, 3, s, s].

        Returns:
            [b, D], of length 1.
        """
        pooled = self.unimo2(pixel_values=pixel_values).pooled_image
        return F.normalize(self.vcl_projection(pooled).float(), dim=-1)


class _TaskModel(Unimo2PreTrainedModel):
    """The pre-trained model with a head, which a pre-trained checkpoint lacks."""

    _optional_parts = ("head.",)
    head: nn.Module

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__(config)
        self.unimo2 = Unimo2Model(config)
        if not config.num_labels:
            raise UsageError("Unimo2Config: num_labels must be a positive integer")
        self.head = self._make_head(config, config.num_labels)
        self.post_init()

    def _make_head(self, config: Unimo2Config, classes: int) -> nn.Module:
        return nn.Linear(config.hidden_size, classes)


class Unimo2ForPairs(_TaskModel):
    """Image and sentence to a class: SNLI-VE; VQA with soft targets over its answers."""

    head: nn.Sequential

    def _make_head(self, config: Unimo2Config, classes: int) -> nn.Module:
        """Two layers over both pooled outputs (`head_input`)."""
        width, how = config.hidden_size, config.pair_head_input
        read = 2 * joined_width("both", width) if how == "towers" else joined_width(how, width)
        return nn.Sequential(
            nn.Linear(read, 2 * width),
            nn.GELU(),
            nn.LayerNorm(2 * width, eps=config.layer_norm_eps),
            nn.Dropout(config.hidden_dropout),
            nn.Linear(2 * width, classes),
        )

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> TaskOutput:
        """Classify pairs.

        Args:
            pixel_values: [b, 3, s, s].
            input_ids: [b, n].
            attention_mask: [b, n].
            labels: [b] class numbers, or [b, c] soft targets in [0, 1] (VQA: min(times given / 3,
                1)), for which the loss is the binary cross entropy summed over the classes.

        Returns:
            Logits, and the loss when labels are given.
        """
        out = self.unimo2(pixel_values, input_ids, attention_mask)
        return _with_loss(self.classify(out), labels, out)

    def classify(self, out: Unimo2Output) -> Tensor:
        """Logits [b, c] of what `Unimo2Model.fuse` gives of towers' outputs."""
        assert out.pooled_image is not None and out.pooled_text is not None
        how = self.config.pair_head_input
        if how != "towers":
            return self.head(join_pooled(how, out.pooled_image, out.pooled_text))
        assert out.vision is not None and out.text is not None
        fused = join_pooled("both", out.pooled_image, out.pooled_text)
        # As large as the pooled outputs: features of length 1 have elements of D ** -0.5.
        scale = self.config.hidden_size**0.5
        image = scale * self.unimo2.image_features(out.vision)
        text = scale * self.unimo2.text_features(out.text)
        towers = join_pooled("both", image, text).to(fused.dtype)
        return self.head(torch.cat([fused, towers], dim=-1))


class Unimo2ForImages(_TaskModel):
    """Image to a class (ImageNet): the pooled image, grounded by the image alone."""

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> TaskOutput:
        """Classify images [b, 3, s, s]; labels [b] class numbers, or [b, c] soft targets."""
        out = self.unimo2(pixel_values=pixel_values)
        return _with_loss(self.classify(out), labels, out)

    def classify(self, out: Unimo2Output) -> Tensor:
        """Logits [b, c] of pooled outputs."""
        return self.head(out.pooled_image)


class Unimo2ForTexts(_TaskModel):
    """Sentence, or pair of sentences in one text, to a class or a number (GLUE)."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(_HEAD_DROPOUT)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> TaskOutput:
        """Classify texts, or give each a number when there is one label.

        Args:
            input_ids: [b, n].
            attention_mask: [b, n].
            labels: [b] class numbers, or [b] numbers when config.num_labels is 1.

        Returns:
            Logits [b, c], and the loss when labels are given.
        """
        out = self.unimo2(input_ids=input_ids, attention_mask=attention_mask)
        return _with_loss(self.classify(out), labels, out)

    def classify(self, out: Unimo2Output) -> Tensor:
        """Logits [b, c] of pooled outputs."""
        return self.head(self.dropout(out.pooled_text))


def _with_loss(logits: Tensor, labels: Tensor | None, out: Unimo2Output) -> TaskOutput:
    loss = None if labels is None else task_loss(logits.float(), labels)
    return TaskOutput(loss=loss, logits=logits, grounding_loss=out.grounding_loss)


def task_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The loss that the shapes of logits and labels ask for.

    Args:
        logits: [b, c].
        labels: [b] class numbers (cross entropy); [b] numbers when c is 1 (squared error); or
            [b, c] soft targets (binary cross entropy).
        label_smoothing: share of a class number's target that is spread over all classes.

    Returns:
        Scalar, the mean over the batch.

    Raises:
        UsageError: Soft targets of another shape than the logits.
    """
    if logits.shape[1] == 1:
        return F.mse_loss(logits[:, 0], labels.float())
    if labels.dim() == 1:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if labels.shape != logits.shape:
        raise UsageError(
            f"soft targets of shape {tuple(labels.shape)} for logits of {tuple(logits.shape)}"
        )
    # Summed over classes, averaged over the batch, so that the scale does not fall with c.
    losses = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return losses.sum(dim=1).mean()
