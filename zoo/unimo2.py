"""Adapter of UNIMO-2: retrieval by ITM logit plus weighted contrastive score.

Each tower runs once per image and once per text. The dictionary's accumulated scores (equation 2)
are sums over the tokens of an image and of a text, so each is computed once too; a pair adds the
two, takes the top K rows, and is fused. Where memory allows, so are the first fusion layer's
projections of every image, text and dictionary row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.modeling.model import Unimo2Model, Unimo2PreTrainedModel
from unimo2.modeling.pair_scoring import FirstLayer, Rows, first_layer, projection_bytes
from unimo2.processing import Unimo2Processor, load_processor
from zoo.cards import Card, weights_sha256
from zoo.interfaces import ItemFeatures, StackedFeatures
from zoo.unimo2_base import Unimo2Adapter, equal_lengths, evaluated
from zoo.unimo2_tasks import (
    Unimo2Answerer,
    Unimo2Captioner,
    Unimo2ImageClassifier,
    Unimo2PairClassifier,
    Unimo2TextClassifier,
)

_RETRIEVAL = ("pair_scorer", "dual_encoder")
_TEXT_ROWS = 24  # of a caption, for the choice of a batch size
# Projections of images are kept if they take less than this share of the device's memory.
_PROJECTIONS_SHARE = 0.25
_TEXT_TASKS = ("sst2", "mnli", "cola", "stsb")


def capabilities(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the model of a `config.json` can do.

    Args:
        config: Its content; "task" says what the weights are fine-tuned for.

    Returns:
        Keys of `zoo.interfaces.CAPABILITIES`.

    Raises:
        BadCheckpoint: An unknown task.
    """
    task = config.get("task")
    known: dict[str | None, tuple[str, ...]] = {
        None: _RETRIEVAL,
        "flickr": _RETRIEVAL,
        "coco": ("captioner",),
        "vqa": ("answerer",),
        "snli_ve": ("pair_classifier",),
        "imagenet": ("image_classifier",),
        **{name: ("text_classifier",) for name in _TEXT_TASKS},
    }
    if task not in known:
        raise BadCheckpoint(f"config.json names the task {task!r}, which has no adapter")
    return known[task]


def load(folder: Path, card: Card, device: str = "auto", dtype: str | None = None) -> Unimo2Adapter:
    """Load a model folder written by `save_pretrained`; its config.json says for which task.

    Args:
        folder: Holds config.json, model.safetensors and the processor's files.
        card: The model's card.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Of towers and fusion; None for float32. The dictionary and the heads stay float32.

    Returns:
        The adapter of the task.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The weights do not fit the configuration, or the task is unknown.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    task = Unimo2Config.from_pretrained(folder).task
    capabilities({"task": task})
    model, info = _model_class(task).from_pretrained(folder, output_loading_info=True)
    if info["missing_keys"]:
        raise BadCheckpoint(
            f"{folder}: config.json says that the model is fine-tuned for {task}, but its weights "
            f"lack the head: {', '.join(sorted(info['missing_keys'])[:3])}"
        )
    model = model.eval().to(chosen)
    set_precision(cast(Unimo2Model, getattr(model, "unimo2", model)), precision)
    processor = load_processor(folder)
    return adapt(task, model, processor, card.name, weights_sha256(folder))


def adapt(
    task: str | None,
    model: Unimo2PreTrainedModel,
    processor: Unimo2Processor,
    name: str,
    weights: str,
) -> Unimo2Adapter:
    """The adapter of a model in memory.

    Args:
        task: A benchmark; None for a pre-trained model.
        model: The task's model.
        processor: The model's.
        name: What records call it.
        weights: sha256 of its weights.

    Returns:
        The adapter.

    Raises:
        BadCheckpoint: The task is unknown.
    """
    if task == "vqa":
        return Unimo2Answerer(name, cast(Unimo2ForPairs, model), processor, weights)
    if task == "snli_ve":
        return Unimo2PairClassifier(name, cast(Unimo2ForPairs, model), processor, weights)
    if task == "imagenet":
        return Unimo2ImageClassifier(name, cast(Unimo2ForImages, model), processor, weights)
    if task in _TEXT_TASKS:
        return Unimo2TextClassifier(name, cast(Unimo2ForTexts, model), processor, weights)
    if task == "coco":
        return Unimo2Captioner(name, cast(Unimo2Model, model), processor, weights)
    capabilities({"task": task})
    return Unimo2Scorer(name, cast(Unimo2Model, model), processor, weights)


def _model_class(task: str | None) -> Any:
    """The class of a task's model folder."""
    if task in ("vqa", "snli_ve"):
        return Unimo2ForPairs
    if task == "imagenet":
        return Unimo2ForImages
    return Unimo2ForTexts if task in _TEXT_TASKS else Unimo2Model


def set_precision(model: Unimo2Model, dtype: torch.dtype) -> None:
    """Convert towers and fusion, in place; the dictionary and the heads stay float32."""
    for part in (model.vision, model.text, model.fusion):
        part.to(dtype)


class Unimo2Scorer(Unimo2Adapter):
    """A UNIMO-2 model as a `PairScorer` and a `DualEncoder`."""

    def __init__(
        self, name: str, model: Unimo2Model, processor: Unimo2Processor, weights: str
    ) -> None:
        """Wrap a model with its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights)
        self._first_layer: FirstLayer | None = None

    @property
    def rows(self) -> int:
        """Patches and the tokens of a usual caption."""
        return super().rows + _TEXT_ROWS

    @property
    def contrastive_weight(self) -> float:
        """The model's own weight of the contrastive score."""
        return float(self.base.config.contrastive_weight)

    @evaluated
    def encode_images(self, images: Sequence[Image]) -> list[ItemFeatures]:
        """Vision tower, dictionary scores and contrastive side of each image."""
        return self.encode_pixels(self.processor(images=list(images))["pixel_values"])

    @evaluated
    def encode_pixels(self, pixels: Tensor) -> list[ItemFeatures]:
        """As `encode_images`, of processed pictures [images, 3, side, side]."""
        vision = self.vision(pixels)
        tensors = self.dictionary_part(vision)
        tensors.update(states=vision, contrastive=self.base.image_features(vision))
        return [
            ItemFeatures({name: tensor[i] for name, tensor in tensors.items()})
            for i in range(len(pixels))
        ]

    @evaluated
    def prepare_images(
        self, stacks: Sequence[StackedFeatures], limit_bytes: int | None = None
    ) -> list[StackedFeatures]:
        """Add the first layer's projections, if those of all images fit into memory.

        Args:
            stacks: All images that will be scored.
            limit_bytes: What the projections may take; a quarter of the device's memory if None.

        Returns:
            The stacks, with projections or as they were; scores are the same up to rounding.
        """
        states = [stack.tensors["states"] for stack in stacks]
        needed = sum(len(part) * projection_bytes(self.base, part.shape[1]) for part in states)
        if limit_bytes is None:
            limit_bytes = int(_PROJECTIONS_SHARE * _memory_bytes(self.base.device))
        if needed > limit_bytes or self.base.config.fusion_layers < 2:
            return list(stacks)
        self._first_layer = FirstLayer(self.base)
        return [
            StackedFeatures(
                {**stack.tensors, "projected": self._first_layer.project(part).projected}
            )
            for stack, part in zip(stacks, states, strict=True)
        ]

    @evaluated
    def encode_texts(self, texts: Sequence[str]) -> list[ItemFeatures]:
        """Text tower, dictionary scores and contrastive side of each text, without padding."""
        return self.encode_tokens(self.tokens(texts))

    @evaluated
    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> list[ItemFeatures]:
        """As `encode_texts`, of token ids."""
        features: dict[int, ItemFeatures] = {}
        for places in equal_lengths(tokens, len(tokens)):
            states = self.words(self.ids([tokens[place] for place in places]))
            tensors = self.dictionary_part(states)
            contrastive = self.base.text_features(states)
            projected = first_layer(self.base).qkv(states)
            tensors.update(states=states, contrastive=contrastive, projected=projected)
            for row, place in enumerate(places):
                features[place] = ItemFeatures({name: t[row] for name, t in tensors.items()})
        return [features[place] for place in range(len(tokens))]

    @evaluated
    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Score n images with one text: "score", and its parts "itm" and "contrastive", [n] each."""
        indices = self.grounded_rows(images.tensors, text.tensors)
        itm = self._match(images, text, indices)[:, 1].float()
        contrastive = self.contrastive_scores(images, text)
        return {
            "score": itm + self.contrastive_weight * contrastive,
            "itm": itm,
            "contrastive": contrastive,
        }

    @evaluated
    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """The contrastive part alone, without fusion, [n]."""
        return images.tensors["contrastive"] @ text.tensors["contrastive"]

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Contrastive side of images, [images, hidden]."""
        return torch.stack([item.tensors["contrastive"] for item in self.encode_images(images)])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Contrastive side of texts, [texts, hidden]."""
        return torch.stack([item.tensors["contrastive"] for item in self.encode_texts(texts)])

    def _match(self, images: StackedFeatures, text: ItemFeatures, indices: Tensor | None) -> Tensor:
        """Matching logits of n images with one text, [n, 2], from what was prepared of them."""
        vision = images.tensors["states"]  # [n, patches + 1, hidden]
        states = text.tensors["states"]  # [text tokens, hidden]
        if self._first_layer is not None and "projected" in images.tensors:
            visual = Rows(vision, images.tensors["projected"])
            return self._first_layer.match(visual, Rows(states, text.tensors["projected"]), indices)
        states = states.expand(len(vision), -1, -1)
        out = self.base.fuse(vision, states, pooled_only=True, grounded_indices=indices)
        return cast(Tensor, out.itm_logits)


def _memory_bytes(device: torch.device) -> int:
    """All memory of a GPU, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
