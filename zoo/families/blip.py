"""BLIP of transformers by the official protocols: retrieval, captioning, and VQA by rank or generation.

Retrieval scores are the matching logit plus the cosine of the contrastive side, the text's first token
being [ENC] for matching and [CLS] for the contrast; transformers' own forward keeps [CLS] for both, and
gives other logits. Texts are cleaned as the official code cleans them. Texts of one length share a call:
in transformers the cross-attention of BLIP does not heed the mask of padded questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    AutoConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint
from unimo2.formats.weights import weights_sha256
from zoo.adapter import (
    READ_ONLY,
    TowerAdapter,
    answer_names,
    distinct,
    equal_lengths,
    evaluated,
    image_processor,
    load_strictly,
    processor_settings,
    read_tokenizer,
    refuse_other_words,
)
from zoo.cards import Card
from zoo.feature_cache import IMAGES
from zoo.protocols import Answering, ItemFeatures, StackedFeatures

RECOGNISES = {
    "BlipForImageTextRetrieval": ("pair_scorer", "shortlister", "dual_encoder"),
    "BlipForConditionalGeneration": ("captioner",),
    "BlipForQuestionAnswering": ("answerer",),
}
NEEDS = ("tokenizer", "image_processor")
_KINDS = {
    kind.__name__: kind
    for kind in (BlipForImageTextRetrieval, BlipForConditionalGeneration, BlipForQuestionAnswering)
}
_MARKS = re.compile(r"[.!\"()*#:;~]")
_WORDS, _TOKENS = 50, 35
_OTHERS = ("backend", "answers")  # options that `zoo.adapter` reads


@dataclass(frozen=True)
class BlipProtocol:
    """How a model is used; a card's options change fields. Defaults are the official ones.

    Attributes:
        first_token: "enc" for the official matching and questions, "cls" for transformers' own.
        prompt: Beginning of every caption, which is not part of the result.
        beams: Beams of captions and generated answers.
        min_length: Tokens of a caption with its prompt, at least.
        max_length: Likewise, at most.
        longest_answer: Tokens of a generated answer at most.
        ranked: Answers that are ranked after the choice by their first token (k_test).
    """

    first_token: str = "enc"
    prompt: str = "a picture of"
    beams: int = 3
    min_length: int = 5
    max_length: int = 20
    longest_answer: int = 10
    ranked: int = 128


def load(folder: Path, card: Card, device: str = "auto", dtype: str | None = None) -> BlipAdapter:
    """Load a model folder; config.json says what it is for.

    Args:
        folder: Holds config.json, the weights, the tokenizer and the image processor.
        card: The model's card; its options are fields of `BlipProtocol`, "backend", and for VQA "answers", as
            of `zoo.adapter.answer_names`: with a list of answers they are ranked, else generated.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32. Scores are float32.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, or weights are not exactly those of the model.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    config = AutoConfig.from_pretrained(folder, **READ_ONLY)
    name = next(name for name in config.architectures if name in _KINDS)
    options = {key: value for key, value in card.options.items() if key not in _OTHERS}
    tokenizer, processor = read_tokenizer(folder), image_processor(folder, card)
    unused = (r".*position_ids", r"(itm_head|vision_proj|text_proj|text_decoder)\..*_queue")
    model = load_strictly(_KINDS[name], folder, card, precision, unused=unused).to(chosen)
    refuse_other_words(tokenizer, config.text_config.vocab_size, folder)
    tools = Tools(tokenizer, processor, replace(BlipProtocol(), **options))
    digest = weights_sha256(folder)
    if name == "BlipForImageTextRetrieval":
        return BlipScorer(card.name, model, tools, digest)
    if name == "BlipForConditionalGeneration":
        return BlipCaptioner(card.name, model, tools, digest)
    answerer = BlipAnswerer(card.name, model, tools, digest)
    answerer.answers = answer_names(folder, card)
    return answerer


@dataclass(frozen=True)
class Tools:
    """What prepares a model's inputs: tokenizer, image processor and protocol."""

    tokenizer: Any
    processor: Any
    protocol: BlipProtocol


class BlipAdapter(TowerAdapter):
    """What all of them share: the vision tower once per image, and token ids."""

    keeps_features = True

    def __init__(self, name: str, model: Any, tools: Tools, weights_sha256: str) -> None:
        """Wrap a model with its tools and its weights' sha256."""
        self.tools = tools
        self.protocol = tools.protocol
        super().__init__(name, model, weights_sha256)

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration, the image processor's, and how the model is used."""
        return {
            **super().settings,
            "image_processor": processor_settings(self.tools.processor),
            "protocol": dict(vars(self.protocol)),
        }

    def pixels(self, images: Sequence[Image]) -> Tensor:
        """As the image processor makes them, `[images, 3, side, side]`."""
        inputs = self.tools.processor(images=list(images), return_tensors="pt")
        return cast(Tensor, inputs["pixel_values"])

    def states(self, images: Sequence[Image]) -> Tensor:
        """States of the vision tower, `[images, patches + 1, hidden]`."""

        def tower(pixels: Tensor) -> Tensor:
            out = self.model.vision_model(pixel_values=self.to_device(pixels))
            return cast(Tensor, out.last_hidden_state)

        parts = [self.kept(IMAGES, self.pixels(some), tower) for some in self.cuts(images)]
        return torch.cat(parts)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids from [CLS] to [SEP], at most 35."""
        encoded = self.tools.tokenizer(list(texts), truncation=True, max_length=_TOKENS)
        return self.counted(encoded["input_ids"], self.tools.tokenizer)

    def marked(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Token ids of texts for attention to an image: [ENC] in the place of [CLS].

        Raises:
            BadCheckpoint: The model has no [ENC].
        """
        if self.protocol.first_token == "cls":
            return [list(row) for row in rows]
        known = self.tools.tokenizer.get_vocab()
        text = self.model.config.text_config
        # The official tokenizer is BERT's with [DEC], which begins what is generated, and [ENC].
        mark = known.get("[ENC]", int(text.bos_token_id) + 1)
        if mark >= text.vocab_size:
            raise BadCheckpoint(
                f"model '{self.name}' has no embedding for [ENC] ({mark} of {text.vocab_size}); a "
                'card with first_token = "cls" in [options] measures it as transformers does'
            )
        return [[mark, *row[1:]] for row in rows]

    def together(self, states: Tensor, ids: Tensor) -> Tensor:
        """Text states [n, tokens, hidden] of ids [n, tokens] that attend to n images' states."""
        out = self.model.text_encoder(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(
                states.shape[:2], dtype=torch.long, device=ids.device
            ),
        )
        return cast(Tensor, out.last_hidden_state)


class BlipScorer(BlipAdapter):
    """BLIP as a `Shortlister` (match and contrast) and a `DualEncoder` (the contrast alone)."""

    similarity = "cosine"
    contrastive_weight = 1.0

    @evaluated
    def encode_images(self, images: Sequence[Image]) -> list[ItemFeatures]:
        """States and vector of each image."""
        states = self.states(images)
        vectors = normalize(self.model.vision_proj(states[:, 0]).float(), dim=-1)
        return [
            ItemFeatures({"states": own, "vector": vector})
            for own, vector in zip(states, vectors, strict=True)
        ]

    @evaluated
    def encode_texts(self, texts: Sequence[str]) -> list[ItemFeatures]:
        """Vector and token ids of each text."""
        rows = self.tokens([clean_caption(text) for text in texts])

        def vectors(places: list[int]) -> Tensor:
            ids = self.to_device([rows[place] for place in places])
            out = self.model.text_encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
            return normalize(self.model.text_proj(out.last_hidden_state[:, 0]).float(), dim=-1)

        return [
            ItemFeatures({"ids": self.to_device(row), "vector": vector})
            for row, vector in zip(self.marked(rows), self.in_batches(rows, vectors), strict=True)
        ]

    @evaluated
    def score_pairs(self, images: StackedFeatures, text: ItemFeatures) -> dict[str, Tensor]:
        """Score n images with one text: "score", and its parts "itm" and "contrastive", [n] each."""
        ids = text.tensors["ids"].expand(len(images), -1)
        states = self.together(images.tensors["states"], ids)
        itm = self.model.itm_head(states[:, 0])[:, 1].float()
        contrastive = self.contrastive_scores(images, text)
        return {"score": itm + contrastive, "itm": itm, "contrastive": contrastive}

    @evaluated
    def contrastive_scores(self, images: StackedFeatures, text: ItemFeatures) -> Tensor:
        """Cosines of n images with one text, [n]."""
        return images.tensors["vector"] @ text.tensors["vector"]

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Vectors of length 1, `[images, dim]`."""
        return torch.stack([item.tensors["vector"] for item in self.encode_images(images)])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, `[texts, dim]`."""
        return torch.stack([item.tensors["vector"] for item in self.encode_texts(texts)])


class BlipCaptioner(BlipAdapter):
    """BLIP as a `Captioner`."""

    keeps_features = False

    @property
    def beams(self) -> int:
        """Beams per image, by default."""
        return self.protocol.beams

    @evaluated
    def caption(self, images: Sequence[Image], beam_size: int | None) -> list[str]:
        """One caption per image, without the prompt; None for the official number of beams."""
        protocol = self.protocol
        [prompt] = self.tokens([protocol.prompt])
        captions = []
        for some in self.cuts(images):
            # `generate` writes into the ids, and leaves out their last one.
            ids = self.to_device([prompt] * len(some))
            found = self.model.generate(
                pixel_values=self.to_device(self.pixels(some)),
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                num_beams=beam_size or protocol.beams,
                min_length=protocol.min_length,
                max_length=protocol.max_length,
                do_sample=False,
            )
            captions += self.tools.tokenizer.batch_decode(
                found[:, len(prompt) - 1 :], skip_special_tokens=True
            )
        return [caption.strip() for caption in captions]


class BlipAnswerer(BlipAdapter):
    """BLIP as an `Answerer`: the likeliest of a list of answers, or a generated one.

    Attributes:
        answers: List to choose from; empty for generating.
    """

    answers: tuple[str, ...] = ()

    @cached_property
    def answer_rows(self) -> list[list[int]]:
        """Token ids of the answers to choose from."""
        return self.tokens(self.answers)

    @property
    def answering(self) -> Answering:
        """By rank where there is a list of answers."""
        if self.answers:
            return Answering("ranked", self.answers, {"ranked": self.protocol.ranked})
        lengths = {"beams": self.protocol.beams, "longest": self.protocol.longest_answer}
        return Answering("generated", None, lengths)

    @evaluated
    def answer(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        """One answer per question; an image of several goes through its tower once."""
        some, which = distinct(images)
        states = self.states(some)
        rows = self.marked(self.tokens([clean_question(question) for question in questions]))
        found: dict[int, str] = {}
        for places in equal_lengths(rows, self.batch_size):
            own = self.to_device([which[place] for place in places])
            ids = self.to_device([rows[place] for place in places])
            asked = self.together(states[own], ids)
            given = self._ranked(asked) if self.answers else self._generated(asked)
            found.update(zip(places, given, strict=True))
        return [found[place] for place in range(len(rows))]

    def _generated(self, asked: Tensor) -> list[str]:
        """Answers by beam search, from the states of questions [n, tokens, hidden]."""
        text, n = self.model.config.text_config, len(asked)
        found = self.model.text_decoder.generate(
            input_ids=torch.full((n, 1), int(text.bos_token_id), device=asked.device),
            eos_token_id=text.sep_token_id,
            pad_token_id=text.pad_token_id,
            encoder_hidden_states=asked,
            encoder_attention_mask=torch.ones(
                asked.shape[:2], dtype=torch.long, device=asked.device
            ),
            num_beams=self.protocol.beams,
            min_length=1,
            max_length=self.protocol.longest_answer,
            do_sample=False,
        )
        texts = self.tools.tokenizer.batch_decode(found[:, 1:], skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _ranked(self, asked: Tensor) -> list[str]:
        """The likeliest answers of the list, from the states of questions [n, tokens, hidden].

        The first token chooses `ranked` of them, and the sum of all tokens' log-probabilities one of
        these (BLIP, models/blip_vqa.py, rank_answer).
        """
        begin = int(self.model.config.text_config.bos_token_id)
        rows = [[begin, *row[1:]] for row in self.answer_rows]
        firsts = self.to_device([row[1] for row in rows])
        start = torch.full((len(asked), 1), begin, device=asked.device)
        chosen = self._log_probabilities(start, asked)[:, 0][:, firsts]  # [n, answers]
        count = min(self.protocol.ranked, len(rows))
        return [
            self._likeliest(rows, places, question)
            for places, question in zip(chosen.topk(count, 1).indices.tolist(), asked, strict=True)
        ]

    def _likeliest(self, rows: list[list[int]], places: list[int], question: Tensor) -> str:
        """The answer with the greatest sum of log-probabilities, among some places in the list."""
        some = [rows[place] for place in places]

        def sums(batch: list[int]) -> Tensor:
            ids = self.to_device([some[number] for number in batch])
            states = question.expand(len(batch), -1, -1)
            tokens = self._log_probabilities(ids[:, :-1], states)
            return tokens.gather(2, ids[:, 1:, None])[..., 0].sum(1)

        return self.answers[places[int(self.in_batches(some, sums).argmax())]]

    def _log_probabilities(self, ids: Tensor, states: Tensor) -> Tensor:
        """Of each next token, [n, tokens, vocabulary], float32."""
        out = self.model.text_decoder(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(
                states.shape[:2], dtype=torch.long, device=ids.device
            ),
            use_cache=False,
        )
        return cast(Tensor, out.logits.float().log_softmax(-1))


def clean_caption(text: str) -> str:
    """A caption as the official code gives it to the model (data/utils.py, pre_caption)."""
    return " ".join(_MARKS.sub(" ", text.lower()).split()[:_WORDS])


def clean_question(text: str) -> str:
    """A question as the official code gives it to the model (data/utils.py, pre_question)."""
    return " ".join(_MARKS.sub("", text.lower()).split()[:_WORDS])
