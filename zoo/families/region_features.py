"""LXMERT and VisualBERT of transformers: VQA from features of image regions, extracted beforehand.

The card's option "features" names a folder of `zoo.region_files`; an image's features are found by the
name of its file. Numbers depend on the detector: features that transformers' own script extracts give
other answers than the original ones, so what they were extracted with is part of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, LxmertForQuestionAnswering, VisualBertForQuestionAnswering

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.formats.weights import weights_sha256
from zoo.adapter import (
    READ_ONLY,
    Adapter,
    answer_names,
    distinct,
    evaluated,
    load_strictly,
    read_tokenizer,
)
from zoo.cards import Card
from zoo.protocols import Answering
from zoo.region_files import RegionFolder, Regions

RECOGNISES = {
    "LxmertForQuestionAnswering": ("answerer",),
    "VisualBertForQuestionAnswering": ("answerer",),
}
NEEDS = ("tokenizer",)
_LONGEST = 20  # tokens of a question in LXMERT's code
_REGIONS = 36  # of an image, for the choice of a batch size


def load(
    folder: Path, card: Card, device: str = "auto", dtype: str | None = None
) -> RegionAnswerer:
    """Load a model folder and open the features.

    Args:
        folder: Holds config.json, the weights and the tokenizer.
        card: Its option "features" names the folder of features; `labels`, or the option "answers", the
            answers.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32. Logits are float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        MissingData: No features.
        BadCheckpoint: The folder cannot be read, weights are not exactly those of the model, features
            are of another length than it takes, or nothing names its answers.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    if "features" not in card.options:
        raise BadCheckpoint(
            f"{folder} needs features of image regions: write a card whose [options] name their folder "
            'as "features", and give its file as the model'
        )
    regions = RegionFolder(Path(str(card.options["features"])))
    config = AutoConfig.from_pretrained(folder, **READ_ONLY)
    tokenizer = read_tokenizer(folder)
    lxmert = config.model_type == "lxmert"
    kind: Any = LxmertForQuestionAnswering if lxmert else VisualBertForQuestionAnswering
    model = load_strictly(kind, folder, card, precision, unused=(r".*position_ids",)).to(chosen)
    wanted = int(config.visual_feat_dim if lxmert else config.visual_embedding_dim)
    if regions.manifest.get("dim") != wanted:
        raise BadCheckpoint(
            f"{folder} takes features of {wanted} numbers; those at {regions.folder} have "
            f"{regions.manifest.get('dim')}"
        )
    count = int(config.num_qa_labels if lxmert else config.num_labels)
    names = answer_names(folder, card, [f"LABEL_{number}" for number in range(count)])
    adapter = LxmertAnswerer if lxmert else VisualBertAnswerer
    return adapter(card.name, model, tokenizer, regions, names, weights_sha256(folder))


class RegionAnswerer(Adapter):
    """An `Answerer` from features of regions, among the classes that it was trained on."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        regions: RegionFolder,
        answers: Sequence[str],
        weights_sha256: str,
    ) -> None:
        """Wrap a model with its tokenizer, features, answers and weights' sha256."""
        self.tokenizer = tokenizer
        self.regions = regions
        self.answers = tuple(answers)
        super().__init__(name, model, weights_sha256)

    @property
    def rows(self) -> int:
        """Regions, and tokens of a question."""
        return _REGIONS + _LONGEST

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration, and what the features are."""
        features = {
            key: self.regions.manifest.get(key) for key in ("sha256", "extractor", "source")
        }
        return {**super().settings, "features": features, "longest": _LONGEST}

    @property
    def answering(self) -> Answering:
        """By choosing among the classes."""
        return Answering("classes", self.answers)

    @evaluated
    def logits(self, images: Sequence[Image], questions: Sequence[str]) -> Tensor:
        """Logits of each question with its image, [questions, answers], float32."""
        some, which = distinct(images)
        found = [self.regions.read(image.info.get("file")) for image in some]
        encoded = self.tokenizer(list(questions), truncation=True, max_length=_LONGEST)
        rows = self.counted(encoded["input_ids"], self.tokenizer)

        def logits(places: list[int]) -> Tensor:
            own = [found[which[place]] for place in places]
            ids = self.to_device([rows[place] for place in places])
            return self.forward(ids, *self._padded(own)).float()

        return self.in_batches(rows, logits)

    def answer(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        """The likeliest answer to each question."""
        return [self.answers[n] for n in self.logits(images, questions).argmax(1).tolist()]

    def forward(self, ids: Tensor, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """Logits of token ids with regions, [n, answers]."""
        raise NotImplementedError

    def _padded(self, own: Sequence[Regions]) -> tuple[Tensor, Tensor, Tensor]:
        """Features [n, regions, dim], boxes [n, regions, 4] and mask [n, regions] of some images."""
        features = pad_sequence([torch.from_numpy(one.features) for one in own], batch_first=True)
        boxes = pad_sequence([torch.from_numpy(one.boxes) for one in own], batch_first=True)
        mask = pad_sequence([torch.ones(len(one.boxes)) for one in own], batch_first=True)
        return self.to_device(features), self.to_device(boxes), self.to_device(mask)


class LxmertAnswerer(RegionAnswerer):
    """LXMERT, which is given the boxes too."""

    def forward(self, ids: Tensor, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """Logits of token ids with regions, [n, answers]."""
        out = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            visual_feats=features,
            visual_pos=boxes,
            visual_attention_mask=mask,
        )
        return cast(Tensor, out.question_answering_score)


class VisualBertAnswerer(RegionAnswerer):
    """VisualBERT, which is given no boxes."""

    def forward(self, ids: Tensor, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """Logits of token ids with regions, [n, answers]."""
        out = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            visual_embeds=features,
            visual_attention_mask=mask,
            visual_token_type_ids=torch.ones(mask.shape, dtype=torch.long, device=ids.device),
        )
        return cast(Tensor, out.logits)
