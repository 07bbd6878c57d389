"""UNIMO-2 fine-tuned for a task: answers, classes of pairs, images and texts, captions.

No text is padded: texts of one length share a call, so that an item's result does not depend on what
else is measured. An image that several questions ask about goes through the vision tower once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

import torch
from PIL.Image import Image
from torch import Tensor

from unimo2.modeling.generation import BeamSettings, TagTokens, generate, tag_tokens
from unimo2.modeling.heads import Unimo2ForImages, Unimo2ForPairs, Unimo2ForTexts
from unimo2.modeling.model import Unimo2Model
from unimo2.processing import Unimo2Processor
from zoo.unimo2_base import Unimo2Adapter, class_names, equal_lengths, evaluated

_TEXT_ROWS = 24  # of a question or hypothesis, for the choice of a batch size
_BEAMS = 5  # likewise, of an image


class Unimo2PairTask(Unimo2Adapter):
    """What answering and classifying pairs share: logits of images with texts."""

    def __init__(
        self, name: str, model: Unimo2ForPairs, processor: Unimo2Processor, weights_sha256: str
    ) -> None:
        """Wrap a model, its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights_sha256)
        self.pairs = model

    @property
    def rows(self) -> int:
        """Patches and the tokens of a usual question."""
        return super().rows + _TEXT_ROWS

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the head's columns, in their order."""
        return class_names(self.model.config)

    @evaluated
    def logits(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Logits of image i with text i, [pairs, classes], float32."""
        distinct: dict[int, int] = {}
        which = [distinct.setdefault(id(image), len(distinct)) for image in images]
        first_of = [which.index(number) for number in range(len(distinct))]
        pictures = self._pictures([images[place] for place in first_of])
        rows = self.tokens(texts)
        logits: list[Tensor | None] = [None] * len(rows)
        for places in equal_lengths(rows, self.batch_size):
            own = torch.tensor([which[place] for place in places], device=self.base.device)
            part = {name: tensor[own] for name, tensor in pictures.items()}
            text = self.base.encode_text(self.ids([rows[place] for place in places]))
            chosen = self.grounded_rows(part, self.dictionary_part(text))
            out = self.base.fuse(part["states"], text, pooled_only=True, grounded_indices=chosen)
            for place, row in zip(places, self.pairs.classify(out).float(), strict=True):
                logits[place] = row
        return torch.stack([row for row in logits if row is not None])

    def _pictures(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Vision tower and dictionary part of each image once, `[images, ...]`."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            some = list(images[start : start + self.batch_size])
            states = self.vision(self.processor.pixel_values(some))
            parts.append({"states": states, **self.dictionary_part(states)})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Unimo2Answerer(Unimo2PairTask):
    """Answers questions by choosing among the answers that it was trained on."""

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

    def __init__(
        self, name: str, model: Unimo2ForImages, processor: Unimo2Processor, weights_sha256: str
    ) -> None:
        """Wrap a model, its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights_sha256)
        self.classifier = model

    @property
    def image_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_images`."""
        return class_names(self.model.config)

    @evaluated
    def classify_images(self, images: Sequence[Image]) -> Tensor:
        """Logits [images, classes], float32."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            some = list(images[start : start + self.batch_size])
            vision = self.vision(self.processor.pixel_values(some))
            out = self.base.fuse(vision, None, pooled_only=True)
            parts.append(self.classifier.head(out.pooled_image).float())
        return torch.cat(parts)


class Unimo2TextClassifier(Unimo2Adapter):
    """Sorts sentences or pairs of sentences into classes, or gives each a number."""

    def __init__(
        self, name: str, model: Unimo2ForTexts, processor: Unimo2Processor, weights_sha256: str
    ) -> None:
        """Wrap a model, its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights_sha256)
        self.classifier = model

    @property
    def rows(self) -> int:
        """Tokens of a usual pair of sentences."""
        return 2 * _TEXT_ROWS

    @property
    def text_classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify_texts`."""
        return class_names(self.model.config)

    @evaluated
    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Logits [texts, classes] or numbers [texts, 1], float32."""
        rows = self.tokens(first, second)
        logits: list[Tensor | None] = [None] * len(rows)
        for places in equal_lengths(rows, self.batch_size):
            text = self.base.encode_text(self.ids([rows[place] for place in places]))
            out = self.base.fuse(None, text, pooled_only=True)
            for place, row in zip(places, self.classifier.head(out.pooled_text), strict=True):
                logits[place] = row.float()
        return torch.stack([row for row in logits if row is not None])


class Unimo2Captioner(Unimo2Adapter):
    """Describes images by beam search."""

    def __init__(
        self, name: str, model: Unimo2Model, processor: Unimo2Processor, weights_sha256: str
    ) -> None:
        """Wrap a model, its processor and its weights' sha256."""
        super().__init__(name, model, processor, weights_sha256)

    @property
    def rows(self) -> int:
        """Patches and the tokens of an image's beams."""
        return super().rows + _BEAMS * _TEXT_ROWS

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration and how captions are searched for."""
        search = asdict(self._search(_BEAMS))
        del search["beam_size"]  # the benchmark's to choose
        return {**super().settings, "search": search}

    @evaluated
    def caption(self, images: Sequence[Image], beam_size: int) -> list[str]:
        """The best caption of each image.

        Args:
            images: In any number; `batch_size` of them are captioned at once.
            beam_size: Beams of an image.

        Returns:
            One caption an image.
        """
        return self._captions(images, [[] for _ in images], beam_size)

    @evaluated
    def caption_with_tags(
        self, images: Sequence[Image], tags: Sequence[Sequence[str]], beam_size: int
    ) -> list[str]:
        """As `caption`, with the names of the objects that were detected in each image.

        Args:
            images: As for `caption`.
            tags: Of each image, none for some or all.
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
