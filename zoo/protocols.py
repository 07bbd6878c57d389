"""Capabilities of models, one small protocol each.

A benchmark names the capability that it needs; an adapter in `zoo/` gives a model one or more of
them. Nothing here imports torch, so that cards can be listed without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from unimo2.errors import IncompatibleModel

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class ItemFeatures:
    """What a model keeps of one image or one text after its tower ran; opaque to benchmarks.

    Attributes:
        tensors: Named tensors without a batch dimension, on the model's device or the CPU.
    """

    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class StackedFeatures:
    """Features of several items of equal shape (images), stacked once and scored many times.

    Attributes:
        tensors: Named tensors, each `[items, ...]`.
    """

    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, items: Sequence[ItemFeatures]) -> StackedFeatures:
        """Stack items whose tensors have the same names and shapes.

        Args:
            items: At least one item.

        Returns:
            The stack, in the order of `items`.
        """
        import torch

        return cls(
            {name: torch.stack([item.tensors[name] for item in items]) for name in items[0].tensors}
        )

    @classmethod
    def gather(cls, stacks: Sequence[StackedFeatures], rows: Sequence[int]) -> StackedFeatures:
        """Some items of several stacks.

        Args:
            stacks: With the same names, seen as one stack after the other.
            rows: At least one index into all their items, in ascending order.

        Returns:
            Those items, in that order.
        """
        import torch

        parts: list[Mapping[str, Tensor]] = []
        start = 0
        for stack in stacks:
            inside = [row - start for row in rows if start <= row < start + len(stack)]
            start += len(stack)
            if inside:
                parts.append({name: tensor[inside] for name, tensor in stack.tensors.items()})
        return cls({name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    def __len__(self) -> int:
        """Number of items."""
        return len(next(iter(self.tensors.values())))


@runtime_checkable
class Model(Protocol):
    """What every adapter says about itself; it goes into the record of each run.

    Attributes:
        name: The card's name, or the folder's.
        weights_sha256: sha256 of the weights file, hexadecimal.
        device: As torch spells it, for example "cpu" or "cuda:0".
        dtype: Dtype of the computation, for example "float32" or "bfloat16".
        batch_size: Items or pairs that fit the device in one call. A benchmark sets it where the
            user names a size; adapters cut longer calls into such batches themselves.
        settings: The model's configuration, fit for JSON.
    """

    batch_size: int

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def weights_sha256(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def dtype(self) -> str: ...  # noqa: D102

    @property
    def settings(self) -> Mapping[str, object]: ...  # noqa: D102


@runtime_checkable
class PairScorer(Model, Protocol):
    """Scores an image with a text by looking at both (retrieval).

    Features and scores of an item depend on that item alone, up to rounding: what else is in
    the call must not matter, so texts are never padded to a neighbour's length without a mask.

    Attributes:
        contrastive_weight: w of `score = itm + w * contrastive`; None for a model whose score
            has no such parts.
    """

    @property
    def contrastive_weight(self) -> float | None: ...  # noqa: D102

    def encode_images(self, images: Sequence[Image]) -> list[ItemFeatures]:
        """Run the vision tower once per image (RGB, any size)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> list[ItemFeatures]:
        """Run the text tower once per text."""
        ...

    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Score n images with one text.

        Args:
            images: n images' features, n at most `batch_size`.
            text: One text's features.

        Returns:
            "score" `[n]`, higher is better, and the model's parts of it, each `[n]` (UNIMO-2:
            "itm" and "contrastive").
        """
        ...


@runtime_checkable
class ImagePreparer(Protocol):
    """A pair scorer that computes more of an image beforehand when many texts will be scored."""

    def prepare_images(self, stacks: Sequence[StackedFeatures]) -> list[StackedFeatures]:
        """Return the stacks of all images that will be scored, with what was computed beforehand.

        Scores stay the same up to rounding; an implementation bounds the memory that it takes.
        """
        ...


@runtime_checkable
class FeatureKeeper(Protocol):
    """A model that can keep what its towers give on disk, by content, for later runs."""

    def keep_features(self, folder: Path | None) -> None:
        """Keep features in a folder, and read them from there; None to stop."""
        ...


@runtime_checkable
class Resizable(Protocol):
    """A model whose images may be of another size than its position embeddings, in pixels."""

    @property
    def image_size(self) -> int:
        """Side of the square that images are resized to."""
        ...

    @property
    def own_image_size(self) -> int:
        """That of the position embeddings."""
        ...

    @property
    def patch_size(self) -> int:
        """What image sizes are multiples of."""
        ...

    def resize_images(self, side: int) -> None:
        """Resize images to another square from now on."""
        ...


@runtime_checkable
class Shortlister(PairScorer, Protocol):
    """A pair scorer one part of whose score costs next to nothing: it can choose the pairs."""

    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """The part "contrastive" of `score_pairs` alone, `[n]`."""
        ...


@runtime_checkable
class DualEncoder(Model, Protocol):
    """Gives an image and a text one vector each, compared by their dot product.

    An adapter whose attribute `similarity` is "cosine" gives vectors of length 1; a mean of several
    of them is then normalised again before it is compared.
    """

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Return `[images, dim]`."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return `[texts, dim]`."""
        ...


@runtime_checkable
class ImageEncoder(Model, Protocol):
    """Gives an image one vector of features, on which a linear probe can be fitted."""

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Return `[images, dim]`."""
        ...


@runtime_checkable
class Captioner(Model, Protocol):
    """Describes images in words.

    An adapter whose search has a number of beams of its own says it as the attribute `beams`.
    """

    def caption(self, images: Sequence[Image], beam_size: int | None) -> list[str]:
        """Return one caption per image; None for the model's own number of beams."""
        ...


@runtime_checkable
class TagReader(Protocol):
    """A captioner that can be told the names of the objects that were detected in each image."""

    def caption_with_tags(
        self, images: Sequence[Image], tags: Sequence[Sequence[str]], beam_size: int
    ) -> list[str]:
        """Return one caption per image; an image may have no tags."""
        ...


@dataclass(frozen=True)
class Answering:
    """How a model answers questions, for its record: an adapter's attribute `answering`.

    Attributes:
        kind: "classes" (a classifier over a vocabulary), "ranked" (a decoder's likeliest of a list) or
            "generated".
        vocabulary: All answers that it can give; None where they are generated.
        search: Settings of the search: beams, lengths, how many answers are ranked.
    """

    kind: str
    vocabulary: tuple[str, ...] | None = None
    search: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class Answerer(Model, Protocol):
    """Answers questions about images (VQA); how, its attribute `answering` may say."""

    def answer(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        """Return one answer per (image, question)."""
        ...


@runtime_checkable
class ImageClassifier(Model, Protocol):
    """Sorts images into the classes that it was trained on."""

    @property
    def image_classes(self) -> Sequence[str]: ...  # noqa: D102

    def classify_images(self, images: Sequence[Image]) -> Tensor:
        """Return logits `[images, classes]`."""
        ...


@runtime_checkable
class TextClassifier(Model, Protocol):
    """Sorts one sentence, or a pair, into classes, or gives it a number (one column)."""

    @property
    def text_classes(self) -> Sequence[str]: ...  # noqa: D102

    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Return logits `[texts, classes]`, or `[texts, 1]` for a regression."""
        ...


@runtime_checkable
class PairClassifier(Model, Protocol):
    """Sorts an image with a sentence into classes (SNLI-VE)."""

    @property
    def pair_classes(self) -> Sequence[str]: ...  # noqa: D102

    def classify_pairs(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Return logits `[pairs, classes]`."""
        ...


CAPABILITIES: Mapping[str, type] = {
    "pair_scorer": PairScorer,
    "shortlister": Shortlister,
    "dual_encoder": DualEncoder,
    "image_encoder": ImageEncoder,
    "captioner": Captioner,
    "answerer": Answerer,
    "image_classifier": ImageClassifier,
    "text_classifier": TextClassifier,
    "pair_classifier": PairClassifier,
}


def require(model: object, capability: str) -> None:
    """Refuse a model that lacks what a benchmark needs, before any data is read.

    Args:
        model: An adapter from `zoo.load`, or any object with the protocol's members.
        capability: A key of `CAPABILITIES`.

    Raises:
        IncompatibleModel: The model lacks members of the protocol; they are named.
    """
    protocol = CAPABILITIES[capability]
    if isinstance(model, protocol):
        return
    attributes = (
        name for kind in protocol.__mro__ for name in vars(kind).get("__annotations__", ())
    )
    members = sorted(
        name
        for name in {*dir(protocol), *attributes}
        if not name.startswith("_") and _is_lacking(model, name, protocol)
    )
    name = getattr(model, "name", type(model).__name__)
    raise IncompatibleModel(
        f"model '{name}' cannot be used as {capability}: it lacks {', '.join(members)}; "
        "'unimo2 zoo list' shows what each model can do"
    )


def _is_lacking(model: object, name: str, protocol: type) -> bool:
    """Whether a member is missing; a method that is None is too, as for isinstance."""
    found = getattr(model, name, _ABSENT)
    return found is _ABSENT or (found is None and callable(getattr(protocol, name, None)))


_ABSENT = object()
