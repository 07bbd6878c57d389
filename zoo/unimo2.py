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
from typing import cast

import torch
from PIL.Image import Image
from torch import Tensor

from unimo2.devices import DTYPES, find_device, find_dtype
from unimo2.first_layer import FirstLayer, Rows, first_layer, projection_bytes
from unimo2.modeling import Unimo2Model
from unimo2.processing import Unimo2Processor
from zoo.cards import Card, weights_sha256
from zoo.interfaces import ItemFeatures, StackedFeatures

CAPABILITIES = ("pair_scorer", "dual_encoder")
# Pairs in one call: so many that the widest activation takes this much. On a CPU more only leaves
# the caches (measured: the mini model's layer takes 1.3 times as long with 200 pairs as with 24);
# a GPU is kept busy by it.
_ACTIVATION_BYTES = {"cpu": 4 * 2**20, "cuda": 2**31}
_TEXT_ROWS = 24  # of a caption, for that estimate
# Projections of images are kept if they take less than this share of the device's memory.
_PROJECTIONS_SHARE = 0.25


def load(folder: Path, card: Card, device: str = "auto", dtype: str | None = None) -> Unimo2Scorer:
    """Load a model folder written by `Unimo2Model.save_pretrained`.

    Args:
        folder: Holds config.json, model.safetensors and the processor's files.
        card: The model's card.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Of towers and fusion; None for float32. The dictionary and the heads stay float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The weights do not fit the configuration.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    model = Unimo2Model.from_pretrained(folder).eval().to(chosen)
    set_precision(model, precision)
    return Unimo2Scorer(
        card.name, model, Unimo2Processor.from_pretrained(folder), weights_sha256(folder)
    )


def set_precision(model: Unimo2Model, dtype: torch.dtype) -> None:
    """Convert towers and fusion, in place; the dictionary and the heads stay float32."""
    for part in (model.vision, model.text, model.fusion):
        part.to(dtype)


class Unimo2Scorer:
    """A UNIMO-2 model as a `PairScorer` and a `DualEncoder`."""

    def __init__(
        self, name: str, model: Unimo2Model, processor: Unimo2Processor, weights: str
    ) -> None:
        """Wrap a model in evaluation mode with its processor and its weights' sha256."""
        self.name = name
        self.model = model
        self.processor = processor
        self.weights_sha256 = weights
        self.batch_size = _pairs_at_once(model)
        self._first_layer: FirstLayer | None = None

    @property
    def device(self) -> str:
        """Where the model is, as torch spells it."""
        return str(self.model.device)

    @property
    def dtype(self) -> str:
        """Of towers and fusion."""
        return str(next(self.model.fusion.parameters()).dtype).removeprefix("torch.")

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration, as in its config.json: nothing of where it lies."""
        fields = self.model.config.to_dict()
        return {name: value for name, value in fields.items() if not name.startswith("_")}

    @property
    def contrastive_weight(self) -> float:
        """The model's own weight of the contrastive score."""
        return float(self.model.config.contrastive_weight)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image]) -> list[ItemFeatures]:
        """Vision tower, dictionary scores and contrastive side of each image."""
        return self.encode_pixels(self.processor(images=list(images))["pixel_values"])

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> list[ItemFeatures]:
        """As `encode_images`, of processed pictures [images, 3, side, side]."""
        vision = self.model.encode_image(pixels.to(self.model.device, DTYPES[self.dtype]))
        tensors = self._dictionary_part(vision)
        tensors.update(states=vision, contrastive=self.model.image_features(vision))
        return [
            ItemFeatures({name: tensor[i] for name, tensor in tensors.items()})
            for i in range(len(pixels))
        ]

    @torch.inference_mode()
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
        needed = sum(len(part) * projection_bytes(self.model, part.shape[1]) for part in states)
        if limit_bytes is None:
            limit_bytes = int(_PROJECTIONS_SHARE * _memory_bytes(self.model.device))
        if needed > limit_bytes or self.model.config.fusion_layers < 2:
            return list(stacks)
        self._first_layer = FirstLayer(self.model)
        return [
            StackedFeatures(
                {**stack.tensors, "projected": self._first_layer.project(part).projected}
            )
            for stack, part in zip(stacks, states, strict=True)
        ]

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> list[ItemFeatures]:
        """Text tower, dictionary scores and contrastive side of each text, without padding."""
        return self.encode_tokens([self._tokens(text) for text in texts])

    @torch.inference_mode()
    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> list[ItemFeatures]:
        """As `encode_texts`, of token ids."""
        features: dict[int, ItemFeatures] = {}
        for length in sorted({len(ids) for ids in tokens}):
            places = [place for place, ids in enumerate(tokens) if len(ids) == length]
            rows = [list(tokens[place]) for place in places]
            ids = torch.tensor(rows, device=self.model.device)
            states = self.model.encode_text(ids)
            tensors = self._dictionary_part(states)
            contrastive = self.model.text_features(states)
            projected = first_layer(self.model).qkv(states)
            tensors.update(states=states, contrastive=contrastive, projected=projected)
            for row, place in enumerate(places):
                features[place] = ItemFeatures({name: t[row] for name, t in tensors.items()})
        return [features[place] for place in range(len(tokens))]

    @torch.inference_mode()
    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Score n images with one text: "score", and its parts "itm" and "contrastive", [n] each."""
        itm = self._match(images, text, self._pair_indices(images, text))[:, 1].float()
        contrastive = self.contrastive_scores(images, text)
        return {
            "score": itm + self.contrastive_weight * contrastive,
            "itm": itm,
            "contrastive": contrastive,
        }

    @torch.inference_mode()
    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """The contrastive part alone, without fusion, [n]."""
        return images.tensors["contrastive"] @ text.tensors["contrastive"]

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Contrastive side of images, [images, hidden]."""
        return torch.stack([item.tensors["contrastive"] for item in self.encode_images(images)])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Contrastive side of texts, [texts, hidden]."""
        return torch.stack([item.tensors["contrastive"] for item in self.encode_texts(texts)])

    def _tokens(self, text: str) -> list[int]:
        """Token ids of one text, cut to what the model has positions for."""
        encoded = self.processor(text=[text], truncation=True, max_length=self.model.text.longest)
        return cast(list[int], encoded["input_ids"][0].tolist())

    def _dictionary_part(self, states: Tensor) -> dict[str, Tensor]:
        """What choosing grounded tokens needs of one modality, for a batch of tower outputs."""
        dictionary = self.model.dictionary
        if dictionary is None:
            return {}
        tokens = states[:, 1:].float()
        if dictionary.nearest:
            return {"nearest": dictionary(tokens, None, with_loss=False).indices}
        return {"scores": dictionary.scores(tokens)}

    def _match(self, images: StackedFeatures, text: ItemFeatures, indices: Tensor | None) -> Tensor:
        """Matching logits of n images with one text, [n, 2], from what was prepared of them."""
        vision = images.tensors["states"]  # [n, patches + 1, hidden]
        states = text.tensors["states"]  # [text tokens, hidden]
        if self._first_layer is not None and "projected" in images.tensors:
            visual = Rows(vision, images.tensors["projected"])
            return self._first_layer.match(visual, Rows(states, text.tensors["projected"]), indices)
        states = states.expand(len(vision), -1, -1)
        out = self.model.fuse(vision, states, pooled_only=True, grounded_indices=indices)
        return cast(Tensor, out.itm_logits)

    def _pair_indices(self, images: StackedFeatures, text: ItemFeatures) -> Tensor | None:
        """Dictionary rows of n images with one text, [n, K]; None without a dictionary."""
        dictionary = self.model.dictionary
        if dictionary is None:
            return None
        if dictionary.nearest:
            own = text.tensors["nearest"].expand(len(images), -1)
            return torch.cat([images.tensors["nearest"], own], dim=1)
        return dictionary.select(images.tensors["scores"] + text.tensors["scores"])


def _pairs_at_once(model: Unimo2Model) -> int:
    """Pairs in one call, from the size of the feed-forward layers' activations."""
    config = model.config
    grounded = config.grounded_tokens if model.dictionary is not None else 0
    rows = config.patch_grid**2 + 1 + grounded + _TEXT_ROWS
    number = next(model.fusion.parameters()).element_size()
    wanted = _ACTIVATION_BYTES.get(model.device.type, _ACTIVATION_BYTES["cpu"])
    return max(1, wanted // int(rows * config.intermediate_size * number))


def _memory_bytes(device: torch.device) -> int:
    """All memory of a GPU, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
