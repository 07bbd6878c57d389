"""Adapter of UNIMO-2: retrieval by ITM logit plus weighted contrastive score, and its task models.

Each tower runs once per image and once per text. The dictionary's accumulated scores (equation 2)
are sums over the tokens of an image and of a text, so each is computed once too; a pair adds the
two, takes the top K rows, and is fused. Where memory allows, so are the first fusion layer's
projections of every image, text and dictionary row. Texts of one length share a call, so that an
item's result does not depend on what else is measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint, UsageError
from unimo2.formats.weights import weights_sha256
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.generation import BeamSettings, TagTokens, generate, tag_tokens
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.modeling.model import Unimo2Model, Unimo2PreTrainedModel
from unimo2.modeling.pair_scoring import (
    CachedPairScorer,
    ProjectedRows,
    first_layer,
    projection_bytes,
)
from unimo2.modeling.token_statistics import IMAGE, TEXT
from unimo2.processing import Unimo2Processor, load_processor
from zoo.adapter import Adapter, class_names, distinct, equal_lengths, evaluated
from zoo.cards import Card
from zoo.feature_cache import IMAGES, TEXTS
from zoo.protocols import Answering, ItemFeatures, StackedFeatures

RECOGNISES = {"model_type:unimo2": None}
_QUESTION_ROWS = 24  # of a question or hypothesis, for the choice of a batch size
_TEXT_ROWS = 24  # likewise, of a caption
_BEAMS = 5  # likewise, of an image
# Projections of images are kept if they take less than this share of the device's memory.
_PROJECTIONS_SHARE = 0.25


class Unimo2Adapter(Adapter):
    """A UNIMO-2 model, pre-trained or with a task's head, with its processor."""

    foreign = False
    keeps_features = True
    # Measured on one core: the mini model is as fast with 22 to 88 pairs in float32 and 44 to 176 in
    # bfloat16; the base model gains a sixth in bfloat16 from 1 to 4 pairs.
    activation_bytes = {"cpu": 16 * 2**20, "cuda": 2**31}

    def __init__(
        self, name: str, model: Unimo2PreTrainedModel, processor: Unimo2Processor, weights: str
    ) -> None:
        """Wrap a model.

        Args:
            name: The card's name, or the folder's.
            model: `Unimo2Model`, or a task model that has one as `unimo2`.
            processor: The model's.
            weights: sha256 of the weights file.
        """
        self.base = cast(Unimo2Model, getattr(model, "unimo2", model))
        self.processor = processor
        super().__init__(name, model, weights)

    @property
    def rows(self) -> int:
        """Patches and grounded tokens of an image, and the tokens of a usual caption or question."""
        grounded = self.base.config.grounded_tokens if self.base.dictionary is not None else 0
        return (self.image_size // self.patch_size) ** 2 + 1 + self.text_rows + int(grounded)

    @property
    def text_rows(self) -> int:
        """Tokens of the texts of a usual item."""
        return 0

    @property
    def width(self) -> int:
        """Of the feed-forward layers."""
        return int(self.base.config.intermediate_size)

    @property
    def image_size(self) -> int:
        """Side of the square that images are resized to, in pixels."""
        return self.processor.image_size

    @property
    def own_image_size(self) -> int:
        """That of the position embeddings."""
        return int(self.base.config.image_size)

    @property
    def patch_size(self) -> int:
        """What image sizes are multiples of."""
        return int(self.base.config.patch_size)

    def resize_images(self, side: int) -> None:
        """Resize images to another square from now on, and choose the batch size for it."""
        self.processor.image_size = side
        self.batch_size = self.items_at_once()

    @property
    def dtype(self) -> str:
        """Of towers and fusion."""
        return str(next(self.base.fusion.parameters()).dtype).removeprefix("torch.")

    def vision(self, pixels: Tensor) -> Tensor:
        """Vision tower of processed images, [images, 3, side, side] to [images, p + 1, hidden]."""
        return self.kept(IMAGES, pixels, lambda some: self.base.encode_image(self.to_device(some)))

    def words(self, ids: Tensor) -> Tensor:
        """Text tower of texts of one length, [texts, tokens] to [texts, tokens, hidden]."""
        return self.kept(TEXTS, ids, self.base.encode_text)

    def tokens(self, first: Sequence[str], second: Sequence[str] | None = None) -> list[list[int]]:
        """Token ids of texts or of pairs of texts, cut to what the model has positions for."""
        longest = min(self.processor.max_text_length, self.base.text.longest)
        pairs = () if second is None else (list(second),)
        encoded = self.processor.tokenizer(list(first), *pairs, truncation=True, max_length=longest)
        return cast(list[list[int]], encoded["input_ids"])

    def dictionary_part(self, states: Tensor, kind: int) -> dict[str, Tensor]:
        """What choosing grounded tokens needs of one modality.

        Args:
            states: [items, tokens, hidden], a tower's outputs, the first token included.
            kind: `IMAGE` or `TEXT`, of `unimo2.modeling.token_statistics`.

        Returns:
            "scores" [items, C], or "nearest" [items, tokens - 1] of the one-to-one map; nothing
            without a dictionary.
        """
        dictionary = self.base.dictionary
        if dictionary is None:
            return {}
        tokens = states[:, 1:].float()
        if dictionary.nearest:
            return {"nearest": dictionary(tokens, None, with_loss=False).indices}
        return {"scores": dictionary.scores(tokens, None, kind)}

    def grounded_rows(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Dictionary rows of pairs.

        Args:
            images: `dictionary_part` of n images.
            texts: That of n texts, or of one text without the first dimension.

        Returns:
            [n, K]; None without a dictionary.
        """
        dictionary = self.base.dictionary
        if dictionary is None:
            return None
        if dictionary.nearest:
            own = images["nearest"]
            return torch.cat([own, texts["nearest"].expand(len(own), -1)], dim=1)
        return dictionary.select(images["scores"] + texts["scores"])


class Unimo2PairTask(Unimo2Adapter):
    """What answering and classifying pairs share: logits of images with texts."""

    @property
    def text_rows(self) -> int:
        """Of a usual question."""
        return _QUESTION_ROWS

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the head's columns, in their order."""
        return class_names(self.model.config)

    @evaluated
    def logits(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Logits of image i with text i, [pairs, classes], float32."""
        some, which = distinct(images)
        pictures, rows = self._pictures(some), self.tokens(texts)

        def logits(places: list[int]) -> Tensor:
            own = torch.tensor([which[place] for place in places], device=self.base.device)
            part = {name: tensor[own] for name, tensor in pictures.items()}
            text = self.base.encode_text(self.to_device([rows[place] for place in places]))
            chosen = self.grounded_rows(part, self.dictionary_part(text, TEXT))
            out = self.base.fuse(part["states"], text, pooled_only=True, grounded_indices=chosen)
            return self.model.classify(out).float()

        return self.in_batches(rows, logits)

    def _pictures(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Vision tower and dictionary part of each image once, `[images, ...]`."""
        parts = []
        for some in self.cuts(images):
            states = self.vision(self.processor.pixel_values(some))
            parts.append({"states": states, **self.dictionary_part(states, IMAGE)})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Unimo2Answerer(Unimo2PairTask):
    """Answers questions by choosing among the answers that it was trained on."""

    @property
    def answering(self) -> Answering:
        """By choosing among the classes."""
        return Answering("classes", self.classes)

    def answer(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        """The likeliest answer to each question."""
        answers = self.classes
        return [answers[number] for number in self.logits(images, questions).argmax(1).tolist()]


class Unimo2PairClassifier(Unimo2PairTask):
    """Sorts an image with a sentence into classes."""

    @property
    def pair_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_pairs`."""
        return self.classes

    def classify_pairs(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Logits of image i with text i, [pairs, classes]."""
        return self.logits(images, texts)


class Unimo2ImageClassifier(Unimo2Adapter):
    """Sorts images into the classes that it was trained on."""

    @property
    def image_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_images`."""
        return class_names(self.model.config)

    @evaluated
    def classify_images(self, images: Sequence[Image]) -> Tensor:
        """Logits [images, classes], float32."""
        parts = []
        for some in self.cuts(images):
            vision = self.vision(self.processor.pixel_values(some))
            out = self.base.fuse(vision, None, pooled_only=True)
            parts.append(self.model.head(out.pooled_image).float())
        return torch.cat(parts)


class Unimo2TextClassifier(Unimo2Adapter):
    """Sorts sentences or pairs of sentences into classes, or gives each a number."""

    @property
    def rows(self) -> int:
        """Tokens of a usual pair of sentences."""
        return 2 * _QUESTION_ROWS

    @property
    def text_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_texts`."""
        return class_names(self.model.config)

    @evaluated
    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Logits [texts, classes] or numbers [texts, 1], float32."""
        rows = self.tokens(first, second)

        def logits(places: list[int]) -> Tensor:
            text = self.base.encode_text(self.to_device([rows[place] for place in places]))
            out = self.base.fuse(None, text, pooled_only=True)
            return self.model.head(out.pooled_text).float()

        return self.in_batches(rows, logits)


class Unimo2Captioner(Unimo2Adapter):
    """Describes images by beam search."""

    beams = _BEAMS

    @property
    def text_rows(self) -> int:
        """Of an image's beams."""
        return _BEAMS * _QUESTION_ROWS

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration and how captions are searched for."""
        search = asdict(self._search(_BEAMS))
        del search["beam_size"]  # the benchmark's to choose
        return {**super().settings, "search": search}

    @evaluated
    def caption(self, images: Sequence[Image], beam_size: int | None) -> list[str]:
        """The best caption of each image.

        Args:
            images: In any number; `batch_size` of them are captioned at once.
            beam_size: Beams of an image; None for the paper's.

        Returns:
            One caption an image.
        """
        return self._captions(images, [[] for _ in images], beam_size or _BEAMS)

    @evaluated
    def caption_with_tags(
        self, images: Sequence[Image], tags: Sequence[Sequence[str]], beam_size: int
    ) -> list[str]:
        """As `caption`, with the names of the objects that were detected in each image.

        Args:
            images: As for `caption`.
            tags: Object tags of each image, none for some or all.
            beam_size: Beams of an image.

        Returns:
            One caption an image.
        """
        rows = tag_tokens(self.processor.tokenizer, tags, self.base.text.longest)
        return self._captions(images, rows, beam_size)

    def _captions(
        self, images: Sequence[Image], tags: Sequence[Sequence[int]], beam_size: int
    ) -> list[str]:
        """The best caption of each image, given the token ids of its tags."""
        captions = []
        settings = self._search(beam_size)
        config, longest = self.base.config, self.base.text.longest
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            pixels = self.processor.pixel_values(list(images[part])).to(self.base.device)
            context = TagTokens.of(tags[part], config.pad_token_id, longest)
            if context is not None:
                context = context.to(self.base.device)
            for beams in generate(self.base, pixels, settings, tags=context):
                text = self.processor.tokenizer.decode(
                    list(beams[0].tokens), skip_special_tokens=True
                )
                captions.append(cast(str, text).strip())
        return captions

    def _search(self, beam_size: int) -> BeamSettings:
        """The paper's settings, no longer than the model has positions for."""
        paper = BeamSettings()
        longest = min(paper.max_length, self.base.text.longest)
        shortest = min(paper.min_length, longest - 1)
        return BeamSettings(beam_size, shortest, longest, paper.length_penalty)


class Unimo2Scorer(Unimo2Adapter):
    """A UNIMO-2 model as a `PairScorer` and a `DualEncoder`."""

    def __init__(
        self, name: str, model: Unimo2Model, processor: Unimo2Processor, weights: str
    ) -> None:
        """Wrap a model with its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights)
        self._first_layer: CachedPairScorer | None = None

    @property
    def text_rows(self) -> int:
        """Of a usual caption."""
        return _TEXT_ROWS

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
        """As `encode_images`, of processed images [images, 3, side, side]."""
        vision = self.vision(pixels)
        tensors = self.dictionary_part(vision, IMAGE)
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
        self._first_layer = CachedPairScorer(self.base)
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
            states = self.words(self.to_device([tokens[place] for place in places]))
            tensors = self.dictionary_part(states, TEXT)
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
            visual = ProjectedRows(vision, images.tensors["projected"])
            return self._first_layer.match(
                visual, ProjectedRows(states, text.tensors["projected"]), indices
            )
        states = states.expand(len(vision), -1, -1)
        out = self.base.fuse(vision, states, pooled_only=True, grounded_indices=indices)
        return cast(Tensor, out.itm_logits)


@dataclass(frozen=True)
class TaskFolder:
    """What a task's model folders hold.

    Attributes:
        head: Class of the model.
        adapter: Class of its adapter.
        capabilities: Keys of `zoo.protocols.CAPABILITIES`.
    """

    head: type[Unimo2PreTrainedModel]
    adapter: type[Unimo2Adapter]
    capabilities: tuple[str, ...]


_RETRIEVAL = TaskFolder(Unimo2Model, Unimo2Scorer, ("pair_scorer", "dual_encoder"))
_TEXTS = TaskFolder(Unimo2ForTexts, Unimo2TextClassifier, ("text_classifier",))
#: By "task" in config.json; None is a pre-trained model.
TASKS: Mapping[str | None, TaskFolder] = {
    None: _RETRIEVAL,
    "flickr": _RETRIEVAL,
    "coco": TaskFolder(Unimo2Model, Unimo2Captioner, ("captioner",)),
    "vqa": TaskFolder(Unimo2ForPairs, Unimo2Answerer, ("answerer",)),
    "snli_ve": TaskFolder(Unimo2ForPairs, Unimo2PairClassifier, ("pair_classifier",)),
    "imagenet": TaskFolder(Unimo2ForImages, Unimo2ImageClassifier, ("image_classifier",)),
    "sst2": _TEXTS,
    "mnli": _TEXTS,
    "cola": _TEXTS,
    "stsb": _TEXTS,
}


def _task(name: str | None) -> TaskFolder:
    if name not in TASKS:
        raise BadCheckpoint(f"config.json names the task {name!r}, which has no adapter")
    return TASKS[name]


def capabilities(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the model of a `config.json` can do: "task" says what the weights are fine-tuned for.

    Raises:
        BadCheckpoint: An unknown task.
    """
    return _task(config.get("task")).capabilities


def adapt(
    task: str | None,
    model: Unimo2PreTrainedModel,
    processor: Unimo2Processor,
    name: str,
    weights: str,
) -> Unimo2Adapter:
    """The adapter of a model in memory; arguments as of `zoo.task_adapter`.

    Raises:
        BadCheckpoint: The task is unknown.
    """
    return _task(task).adapter(name, model, processor, weights)


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
    try:
        task = Unimo2Config.from_pretrained(folder).task
    except UsageError as error:
        raise BadCheckpoint(f"{folder / 'config.json'}: {error}") from None
    kind: Any = _task(task).head
    # Heads of other classes are then named, by the class itself.
    model, info = kind.from_pretrained(
        folder, output_loading_info=True, ignore_mismatched_sizes=True
    )
    if info["missing_keys"]:
        raise BadCheckpoint(
            f"{folder}: config.json says that the model is fine-tuned for {task}, but its weights "
            f"lack the head: {', '.join(sorted(info['missing_keys'])[:3])}"
        )
    model = model.eval().to(chosen)
    set_precision(cast(Unimo2Model, getattr(model, "unimo2", model)), precision)
    return adapt(task, model, load_processor(folder), card.name, weights_sha256(folder))


def set_precision(model: Unimo2Model, dtype: torch.dtype) -> None:
    """Convert towers and fusion, in place; the dictionary and the heads stay float32."""
    for part in (model.vision, model.text, model.fusion):
        part.to(dtype)


def _memory_bytes(device: torch.device) -> int:
    """All memory of a GPU, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
