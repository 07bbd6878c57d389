"""ViLT of transformers: retrieval by fusion (without vectors of its own), and VQA by classes.

An image's visual embedding does not depend on the text, so it is computed once per image, alone, and
padded to a constant number of patches that the mask hides; texts of one length share a call. The
library draws the order of patches from torch's global generator: here it has one of its own, so that
a score is the same in every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import pad
from transformers import AutoConfig, ViltForImageAndTextRetrieval, ViltForQuestionAnswering

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.formats.weights import weights_sha256
from zoo.adapter import (
    READ_ONLY,
    Adapter,
    answer_names,
    class_names,
    distinct,
    evaluated,
    image_processor,
    load_strictly,
    loading,
    processor_settings,
    read_tokenizer,
    refuse_differences,
    refuse_other_words,
)
from zoo.cards import Card
from zoo.protocols import Answering, ItemFeatures, StackedFeatures

RECOGNISES = {
    "ViltForImageAndTextRetrieval": ("pair_scorer",),
    "ViltForQuestionAnswering": ("answerer",),
    "ViltForMaskedLM": ("pair_scorer",),
}
NEEDS = ("tokenizer", "image_processor")
_LONGER_OF_SHORTER = 1333 / 800  # of the longer side to the shorter, at most (ViltImageProcessor)


def load(folder: Path, card: Card, device: str = "auto", dtype: str | None = None) -> ViltAdapter:
    """Load a model folder; config.json says whether it is for retrieval or VQA.

    Args:
        folder: Holds config.json, the weights, the tokenizer and the image processor. Where the card
            names a file of weights, it is an original checkpoint (.ckpt) with the matching head of
            pre-training: the zero-shot ViLT, which transformers' conversion leaves out.
        card: The model's card; `labels` names the answers where config.json does not.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32. Scores are float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, or weights are not exactly those of the model. A
            folder for masked words lacks the matching head, which would be random.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    config = AutoConfig.from_pretrained(folder, **READ_ONLY)
    tokenizer, processor = read_tokenizer(folder), image_processor(folder, card)
    refuse_other_words(tokenizer, config.vocab_size, folder)
    answers = "ViltForQuestionAnswering" in (config.architectures or ())
    if card.source.file:
        model = _original(folder, card, config).to(precision)
    else:
        kind = ViltForQuestionAnswering if answers else ViltForImageAndTextRetrieval
        # What pre-training leaves, where the head that is needed is there.
        model = load_strictly(kind, folder, card, precision, unused=(r"mlm_score\..*",))
    model.config.max_image_length = (
        -1
    )  # else patches are drawn, and a pair has another score each time
    digest = weights_sha256(folder / card.source.file if card.source.file else folder)
    model = model.to(chosen)
    if not answers:
        return ViltScorer(card.name, model, tokenizer, processor, digest)
    answerer = ViltAnswerer(card.name, model, tokenizer, processor, digest)
    answerer.answers = answer_names(folder, card, answerer.answers)
    return answerer


class ViltAdapter(Adapter):
    """What retrieval and VQA share: visual embeddings, tokens, and the pooled state of pairs."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, processor: Any, weights_sha256: str
    ) -> None:
        """Wrap a model with its tokenizer, image processor and weights' sha256."""
        self.tokenizer = tokenizer
        self.processor = processor
        patch = model.config.patch_size
        shorter = processor.size["shortest_edge"]
        self.patches = (shorter // patch) * (int(_LONGER_OF_SHORTER * shorter) // patch)
        super().__init__(name, model, weights_sha256)

    @property
    def rows(self) -> int:
        """Patches with the class token, and the longest text."""
        return int(self.patches + 1 + self.model.config.max_position_embeddings)

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration and the image processor's."""
        return {**super().settings, "image_processor": processor_settings(self.processor)}

    def visual(self, image: Image) -> dict[str, Tensor]:
        """The visual embedding of an image: "states" [patches + 1, hidden] and their "mask"."""
        inputs = self.processor(images=[image], return_tensors="pt")
        pixels, mask = self.to_device(inputs["pixel_values"]), inputs["pixel_mask"].to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            states, seen, _ = self.model.vilt.embeddings.visual_embed(
                pixels, mask, max_image_length=-1
            )
        spare = self.patches + 1 - states.shape[1]
        return {"states": pad(states[0], (0, 0, 0, spare)), "mask": pad(seen[0], (0, spare))}

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, cut to what the model has positions for."""
        longest = self.model.config.max_position_embeddings
        encoded = self.tokenizer(list(texts), truncation=True, max_length=longest)
        return self.counted(encoded["input_ids"], self.tokenizer)

    def pooled(self, images: Mapping[str, Tensor], ids: Tensor) -> Tensor:
        """Pooled states of pairs, [n, hidden], of images' embeddings and token ids [n, tokens]."""
        out = self.model.vilt(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            image_embeds=images["states"],
            pixel_mask=images["mask"],
        )
        return cast(Tensor, out.pooler_output)


class ViltScorer(ViltAdapter):
    """ViLT as a `PairScorer`."""

    contrastive_weight = None

    @evaluated
    def encode_images(self, images: Sequence[Image]) -> list[ItemFeatures]:
        """The visual embedding of each image."""
        return [ItemFeatures(self.visual(image)) for image in images]

    @evaluated
    def encode_texts(self, texts: Sequence[str]) -> list[ItemFeatures]:
        """The token ids of each text."""
        return [ItemFeatures({"ids": self.to_device(row)}) for row in self.tokens(texts)]

    @evaluated
    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """The matching score of n images with one text: "score", [n], float32."""
        ids = text.tensors["ids"].expand(len(images), -1)
        return {"score": self.model.rank_output(self.pooled(images.tensors, ids))[:, 0].float()}


class ViltAnswerer(ViltAdapter):
    """ViLT as an `Answerer` among the classes that it was trained on."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, processor: Any, weights_sha256: str
    ) -> None:
        """Wrap a model with its tokenizer, image processor and weights' sha256."""
        super().__init__(name, model, tokenizer, processor, weights_sha256)
        self.answers = class_names(model.config)

    @property
    def answering(self) -> Answering:
        """By choosing among the classes."""
        return Answering("classes", tuple(self.answers))

    @evaluated
    def logits(self, images: Sequence[Image], questions: Sequence[str]) -> Tensor:
        """Logits of each question with its image, [questions, answers], float32."""
        some, which = distinct(images)
        stack = StackedFeatures.of([ItemFeatures(self.visual(image)) for image in some])
        rows = self.tokens(questions)

        def logits(places: list[int]) -> Tensor:
            own = self.to_device([which[place] for place in places])
            ids = self.to_device([rows[place] for place in places])
            part = {name: tensor[own] for name, tensor in stack.tensors.items()}
            return cast(Tensor, self.model.classifier(self.pooled(part, ids)).float())

        return self.in_batches(rows, logits)

    def answer(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        """The likeliest answer to each question."""
        return [self.answers[n] for n in self.logits(images, questions).argmax(1).tolist()]


# Names of the original code (dandelin/ViLT), and those of transformers.
_RENAMED = (
    (r"transformer\.blocks\.(\d+)\.norm1\.", r"vilt.encoder.layer.\1.layernorm_before."),
    (r"transformer\.blocks\.(\d+)\.norm2\.", r"vilt.encoder.layer.\1.layernorm_after."),
    (r"transformer\.blocks\.(\d+)\.attn\.proj\.", r"vilt.encoder.layer.\1.attention.output.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc1\.", r"vilt.encoder.layer.\1.intermediate.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc2\.", r"vilt.encoder.layer.\1.output.dense."),
    (r"transformer\.cls_token", "vilt.embeddings.cls_token"),
    (r"transformer\.pos_embed", "vilt.embeddings.position_embeddings"),
    (r"transformer\.patch_embed\.proj\.", "vilt.embeddings.patch_embeddings.projection."),
    (r"transformer\.norm\.", "vilt.layernorm."),
    (r"text_embeddings\.", "vilt.embeddings.text_embeddings."),
    (r"token_type_embeddings\.", "vilt.embeddings.token_type_embeddings."),
    (r"pooler\.", "vilt.pooler."),
)
_QKV = re.compile(r"transformer\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")
_LEFT_OUT = re.compile(r"(mlm_score|mpp_score|itm_score|rank_output)\..*|.*position_ids")


def _original(folder: Path, card: Card, config: Any) -> Any:
    """A retrieval model from an original checkpoint: its matching head's row of "match" is the score."""
    path = folder / str(card.source.file)
    with loading(path, "an original ViLT checkpoint"):
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = _renamed(state.get("state_dict", state))
        model = ViltForImageAndTextRetrieval(config)
    own = model.state_dict()
    shapes = [
        f"{name} {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(set(own) & set(tensors))
        if own[name].shape != tensors[name].shape
    ]
    missing, extra = set(own) - set(tensors), set(tensors) - set(own)
    refuse_differences(path, type(model).__name__, shapes, missing, extra, card)
    model.load_state_dict(tensors)
    return model.eval()


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if "itm_score.fc.weight" not in state:
        raise BadCheckpoint(
            "an original ViLT checkpoint without itm_score.fc cannot score pairs zero-shot; take one "
            "that was pre-trained with matching (vilt_200k_mlm_itm.ckpt)"
        )
    found = {
        "rank_output.weight": state["itm_score.fc.weight"][1:],
        "rank_output.bias": state["itm_score.fc.bias"][1:],
    }
    for name, tensor in state.items():
        parts = _QKV.fullmatch(name)
        if parts:
            layer, kind = parts.groups()
            for which, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                place = f"vilt.encoder.layer.{layer}.attention.attention.{which}.{kind}"
                found[place] = third.clone()
        elif not _LEFT_OUT.fullmatch(name):
            for pattern, new in _RENAMED:
                name, changed = re.subn(f"^{pattern}", new, name)
                if changed:
                    break
            found[name] = tensor
    return found
