"""CLIP, SigLIP and SigLIP 2 (fixed resolution) of transformers, and OpenCLIP's folders: dual encoders.

Vectors are projected and have length 1, in float32. CLIP's texts are cut to 77 tokens with their end
token, and cleaned as OpenAI's code cleans them; SigLIP's are lower-cased and padded to 64 tokens
without a mask, which is how it was trained: its padding is part of the model.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel, SiglipModel

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint, MissingData
from unimo2.formats.weights import weights_sha256
from zoo.adapter import (
    Adapter,
    TowerAdapter,
    evaluated,
    image_processor,
    load_strictly,
    loading,
    processor_settings,
    read_tokenizer,
)
from zoo.cards import Card
from zoo.feature_cache import IMAGES, TEXTS

RECOGNISES = {
    "CLIPModel": ("dual_encoder",),
    "SiglipModel": ("dual_encoder",),
    "Siglip2Model": ("dual_encoder",),
    "file:open_clip_config.json": ("dual_encoder",),
}
NEEDS = ("tokenizer", "image_processor")
_KINDS = {"clip": CLIPModel, "siglip": SiglipModel}
_OLD_END = 2  # `eos_token_id` of old configurations: the end is then where the greatest id is
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ſt", "ﬆ": "st"}
_QUOTES = {"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"'}
_CLEANED = str.maketrans({**_LIGATURES, **_QUOTES})


def load(folder: Path, card: Card, device: str = "auto", dtype: str | None = None) -> ClipAdapter:
    """Load a model folder of transformers or OpenCLIP.

    Args:
        folder: Holds the configuration, the weights, and the files of tokenizer and image processor.
        card: The model's card; its option "backend" is that of `zoo.adapter.image_processor`.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32. Vectors are float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, weights are not exactly those of the model, or the
            tokenizer is not the model's.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    if not (folder / "config.json").is_file():
        return _open_clip(folder, card, chosen, precision)
    kind = str(_config(folder)["model_type"])
    if kind not in _KINDS:
        raise BadCheckpoint(
            f"{folder} is a '{kind}': SigLIP 2 of variable resolution (NaFlex) cannot be measured; "
            "take a model of fixed resolution"
        )
    model = load_strictly(
        _KINDS[kind], folder, card, precision, unused=(r".*position_ids",)
    ).to(chosen)  # fmt: skip
    tokenizer, processor = read_tokenizer(folder), image_processor(folder, card)
    encoder = ClipEncoder if kind == "clip" else SiglipEncoder
    return encoder(card.name, model, tokenizer, processor, weights_sha256(folder))


class ClipAdapter(Adapter):
    """What all of them share: batches, kept features, vectors of length 1."""

    similarity = "cosine"
    keeps_features = True
    # Some 40 images of ViT-B/32: smaller calls are 5 % slower on a CPU.
    activation_bytes = {**Adapter.activation_bytes, "cpu": 24 * 2**20}

    def pixels(self, images: Sequence[Image]) -> Tensor:
        """What the image tower is given, `[images, 3, side, side]`."""
        raise NotImplementedError

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts."""
        raise NotImplementedError

    def image_tower(self, pixels: Tensor) -> Tensor:
        """Projected vectors of images, `[images, dim]`."""
        raise NotImplementedError

    def text_tower(self, ids: Tensor) -> Tensor:
        """Projected vectors of texts of one length, `[texts, dim]`."""
        raise NotImplementedError

    @property
    def logit_scale(self) -> float:
        """Factor of the cosine in the model's own logits."""
        return float(self.model.logit_scale.detach().float().exp())

    @evaluated
    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Vectors of length 1, `[images, dim]`, float32."""
        return torch.cat(
            [
                self.kept(IMAGES, self.pixels(some), lambda p: _unit(self.image_tower(p)))
                for some in self.cuts(images)
            ]
        )

    @evaluated
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, `[texts, dim]`, float32."""
        rows = self.ids(texts)

        def vectors(places: list[int]) -> Tensor:
            ids = self.to_device([rows[place] for place in places])
            return self.kept(TEXTS, ids, lambda some: _unit(self.text_tower(some)))

        return self.in_batches(rows, vectors)


class ClipEncoder(TowerAdapter, ClipAdapter):
    """CLIP of transformers.

    Attributes:
        causal: Whether a token of a text sees only those before it.
    """

    causal: ClassVar[bool] = True

    def __init__(
        self, name: str, model: Any, tokenizer: Any, processor: Any, weights_sha256: str
    ) -> None:
        """Wrap a model with its tokenizer, image processor and weights' sha256.

        Raises:
            BadCheckpoint: The tokenizer is not the model's.
        """
        self.tokenizer = tokenizer
        self.processor = processor
        super().__init__(name, model, weights_sha256)
        self.longest = int(model.config.text_config.max_position_embeddings)
        self.check_tokenizer()

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration, the image processor's, and what is done to texts."""
        return {
            **super().settings,
            "image_processor": processor_settings(self.processor),
            "texts": self.texts,
        }

    @property
    def texts(self) -> str:
        """What is done to texts, in words."""
        by = "ftfy" if _ftfy() is not None else "Unicode ligatures, quotes and NFC, without ftfy"
        return f"cleaned ({by}; HTML entities), lower case, at most {self.longest} tokens"

    def check_tokenizer(self) -> None:
        """Refuse a tokenizer whose end token the model would not find.

        Raises:
            BadCheckpoint: It would pool another token of the text.
        """
        config = self.model.config.text_config
        end, words = self.tokenizer.eos_token_id, max(self.tokenizer.get_vocab().values())
        known = end == words if config.eos_token_id == _OLD_END else end == config.eos_token_id
        if words >= config.vocab_size or not known:
            raise BadCheckpoint(
                f"model '{self.name}': the tokenizer ends texts with token {end} of {words + 1}, the "
                f"model expects {config.eos_token_id} of {config.vocab_size}: it is another model's"
            )

    def pixels(self, images: Sequence[Image]) -> Tensor:
        """As the image processor makes them."""
        return cast(
            Tensor, self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        )

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Cleaned as by OpenAI's code, and cut so that the end token stays."""
        cleaned = [clean(text) for text in texts]
        encoded = self.tokenizer(cleaned, truncation=True, max_length=self.longest)
        return self.counted(encoded["input_ids"], self.tokenizer)

    def image_tower(self, pixels: Tensor) -> Tensor:
        """Projected vectors of images."""
        out = self.model.get_image_features(pixel_values=self.to_device(pixels))
        return cast(Tensor, out.pooler_output)

    def text_tower(self, ids: Tensor) -> Tensor:
        """Projected vectors of texts; nothing is padded, so there is no mask."""
        return cast(Tensor, self.model.get_text_features(input_ids=ids).pooler_output)

    @evaluated
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, `[texts, dim]`, float32.

        A token sees those before it alone, so padding after the end changes nothing up to rounding, and
        texts of several lengths share a call. Where features are kept texts of one length do, since
        they are found again by their ids.
        """
        if self.features is not None or not self.causal:
            return super().embed_texts(texts)
        rows, end = self.ids(texts), self.tokenizer.eos_token_id
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found: dict[int, Tensor] = {}
        start = 0
        while start < len(order):
            # As many texts as have the tokens of a batch of images.
            size = max(1, self.batch_size * self.rows // len(rows[order[start]]))
            places = order[start : start + size]
            longest = len(rows[places[-1]])
            ids = [rows[place] + [end] * (longest - len(rows[place])) for place in places]
            found.update(zip(places, _unit(self.text_tower(self.to_device(ids))), strict=True))
            start += len(places)
        return torch.stack([found[place] for place in range(len(rows))])


class SiglipEncoder(ClipEncoder):
    """SigLIP and SigLIP 2 of fixed resolution."""

    causal = False

    @property
    def texts(self) -> str:
        """What is done to texts, in words."""
        return f"lower case, padded to {self.longest} tokens without a mask"

    def check_tokenizer(self) -> None:
        """Refuse a tokenizer with tokens that the model has no embedding for, or without padding.

        Raises:
            BadCheckpoint: It is another model's.
        """
        words = max(self.tokenizer.get_vocab().values())
        rows = self.model.config.text_config.vocab_size
        if words >= rows or self.tokenizer.pad_token_id is None:
            raise BadCheckpoint(
                f"model '{self.name}': the tokenizer has {words + 1} tokens and the padding token "
                f"{self.tokenizer.pad_token_id}, the model embeddings for {rows}: it is another model's"
            )

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Lower-cased, of constant length."""
        encoded = self.tokenizer(
            [text.lower() for text in texts],
            padding="max_length",
            truncation=True,
            max_length=self.longest,
        )
        return self.counted(encoded["input_ids"], self.tokenizer)


class OpenClipEncoder(ClipAdapter):
    """A folder that OpenCLIP saved, by OpenCLIP's own code and preprocessing."""

    def __init__(
        self, name: str, model: Any, preprocess: Any, tokenizer: Any, config: Any, weights: str
    ) -> None:
        """Wrap a model with its transform, tokenizer, configuration and weights' sha256."""
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.config = config
        super().__init__(name, model, weights)

    @property
    def settings(self) -> Mapping[str, object]:
        """The content of open_clip_config.json."""
        return {**self.config, "library": "open_clip"}

    def pixels(self, images: Sequence[Image]) -> Tensor:
        """As the folder's transform makes them."""
        return torch.stack([self.preprocess(image) for image in images])

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """As the folder's tokenizer makes them, of constant length."""
        return cast(list[list[int]], self.tokenizer(list(texts)).tolist())

    def image_tower(self, pixels: Tensor) -> Tensor:
        """Projected vectors of images."""
        return cast(Tensor, self.model.encode_image(self.to_device(pixels)))

    def text_tower(self, ids: Tensor) -> Tensor:
        """Projected vectors of texts."""
        return cast(Tensor, self.model.encode_text(ids))


def clean(text: str) -> str:
    """A text as OpenAI's code cleans it before it is cut into tokens (clip/simple_tokenizer.py).

    Without ftfy, which that code repairs texts with, the commonest of its repairs are made: ligatures,
    curly quotes, composed characters.
    """
    fixed = _ftfy()
    repaired = fixed(text) if fixed else unicodedata.normalize("NFC", text.translate(_CLEANED))
    return " ".join(html.unescape(html.unescape(repaired)).split()).lower()


def _ftfy() -> Any:
    """The function that repairs texts, where ftfy is installed."""
    try:
        from ftfy import fix_text
    except ImportError:
        return None
    return fix_text


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors.float(), dim=-1)


def _config(folder: Path, name: str = "config.json") -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _open_clip(
    folder: Path, card: Card, device: torch.device, dtype: torch.dtype
) -> OpenClipEncoder:
    """The adapter of a folder that OpenCLIP saved."""
    try:
        import open_clip
    except ImportError as error:
        raise MissingData(
            f"{folder} is OpenCLIP's, and {error.name or 'open_clip'} is not installed: "
            "pip install open-clip-torch"
        ) from None
    place = f"local-dir:{folder}"
    with loading(folder, "an OpenCLIP model"):
        model, preprocess = open_clip.create_model_from_pretrained(place, return_transform=True)
        tokenizer = open_clip.get_tokenizer(place)
        config = _config(folder, "open_clip_config.json")
    model = model.eval().to(device, dtype)
    digest = weights_sha256(folder)
    return OpenClipEncoder(card.name, model, preprocess, tokenizer, config, digest)
