"""Text classifiers of transformers (GLUE), and sentence encoders, which give pairs their cosine.

Our own fine-tuned encoders are folders with "task" in their config.json; others are taken as
fine-tuned for what they are evaluated on. Texts of one length share a call, so nothing is padded:
decoders without a padding token give what they give one text at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint, IncompatibleModel
from unimo2.formats.weights import weights_sha256
from unimo2.processing import longest
from zoo.adapter import (
    Adapter,
    class_names,
    columns,
    evaluated,
    load_strictly,
    read_tokenizer,
    refuse_other_words,
)
from zoo.cards import Card

RECOGNISES = {
    "*ForSequenceClassification": ("text_classifier",),
    "file:modules.json": ("text_classifier",),
}
NEEDS = ("tokenizer",)
RUNS_REMOTE_CODE = True
# What pre-training leaves in a fine-tuned folder, and a classifier does not read.
_UNUSED = (
    r"(\w+\.)?pooler\..*", r"cls\..*", r"lm_head\..*", r"(\w+_)?predictions\..*",
    r".*position_ids", r"(\w+\.)?mask_emb",
)  # fmt: skip
_OTHER_POOLINGS = "only the mean of the tokens, or the first one, is known"


def load(
    folder: Path,
    card: Card,
    device: str = "auto",
    dtype: str | None = None,
    trust_remote_code: bool = False,
) -> TransformersTextClassifier:
    """Load a model folder; its weights must be whole, the head included.

    Args:
        folder: Holds config.json, the weights and the tokenizer's files.
        card: The model's card; `labels` names the classes where config.json does not.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        dtype: Dtype of the whole model; None for float32.
        trust_remote_code: Whether code in the folder may run.

    Returns:
        The adapter.

    Raises:
        UsageError: No such device or dtype here.
        BadCheckpoint: The folder cannot be read, weights are missing, or the tokenizer is not the
            model's.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    classified = "ForSequenceClassification" in str(
        _json(folder / "config.json").get("architectures")
    )
    encoder = (folder / "modules.json").is_file() and not classified
    kind = AutoModel if encoder else AutoModelForSequenceClassification
    options = {"trust_remote_code": trust_remote_code}
    tokenizer = read_tokenizer(folder, trust_remote_code)
    refuse_no_words(tokenizer, folder)
    model = load_strictly(kind, folder, card, precision, unused=_UNUSED, **options).to(chosen)
    rows = int(cast(Any, model.get_input_embeddings()).num_embeddings)
    refuse_other_words(tokenizer, rows, folder)
    digest = weights_sha256(folder)
    if encoder:
        return SentenceEncoder(card.name, model, tokenizer, digest, folder)
    classifier = TransformersTextClassifier(card.name, model, tokenizer, digest)
    classifier.text_classes = columns(card, classifier.text_classes)
    return classifier


def refuse_no_words(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Refuse a tokenizer that was made up of special tokens for want of files.

    Raises:
        BadCheckpoint: It has no words.
    """
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) == 0:
        raise BadCheckpoint(
            f"{folder} has no tokenizer: expected tokenizer.json or the vocabulary's files beside "
            "config.json; save it there with tokenizer.save_pretrained"
        )


class TransformersTextClassifier(Adapter):
    """A transformers model for sequence classification as a `TextClassifier`."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights_sha256: str,
    ) -> None:
        """Wrap a model with its tokenizer and its weights' sha256."""
        super().__init__(name, model, weights_sha256)
        self.tokenizer = tokenizer
        self.text_classes = class_names(model.config)

    @evaluated
    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Logits [texts, classes] or numbers [texts, 1], float32."""
        encoded = self.encoded(first, second)

        def logits(places: list[int]) -> Tensor:
            with _last_token_pooled(self.model.config.get_text_config()):
                return cast(Tensor, self.model(**self.batch(encoded, places)).logits.float())

        return self.in_batches(encoded["input_ids"], logits)

    def encoded(
        self, first: Sequence[str], second: Sequence[str] | None = None
    ) -> Mapping[str, list[list[int]]]:
        """What the tokenizer makes of texts or pairs, cut to what the model has positions for."""
        pairs = () if second is None else (list(second),)
        limit = longest(self.model, self.tokenizer)
        encoded = self.tokenizer(list(first), *pairs, truncation=True, max_length=limit)
        rows = cast(list[list[int]], encoded["input_ids"])
        self.counted(rows, self.tokenizer)
        return cast(Mapping[str, list[list[int]]], dict(encoded))

    def batch(self, encoded: Mapping[str, list[list[int]]], places: list[int]) -> dict[str, Tensor]:
        """The model's arguments for some texts of one length."""
        return {
            name: self.to_device([values[place] for place in places])
            for name, values in encoded.items()
        }


@contextmanager
def _last_token_pooled(config: Any) -> Iterator[None]:
    """Let a decoder without a padding token read the last token of each text of a batch.

    transformers refuses such batches, since it cannot find the end of padded texts; here none is.
    """
    none_set = config.pad_token_id is None
    if none_set:
        config.pad_token_id = -1
    try:
        yield
    finally:
        if none_set:
            config.pad_token_id = None


class SentenceEncoder(TransformersTextClassifier):
    """A sentence encoder: a pair's number is the cosine of its sentences (STS-B without training).

    The folder is one of sentence-transformers: modules.json, and how tokens are pooled.
    """

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights_sha256: str,
        folder: Path,
    ) -> None:
        """Wrap an encoder as its folder says it is used.

        Raises:
            BadCheckpoint: Modules or a pooling that are not known.
        """
        super().__init__(name, model, tokenizer, weights_sha256)
        self.text_classes = ("similarity",)
        self.first_token = _pools_first_token(folder)
        length = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        if length is not None:
            tokenizer.model_max_length = min(tokenizer.model_max_length, int(length))

    @property
    def settings(self) -> Mapping[str, object]:
        """The model's configuration and how its tokens are pooled."""
        pooled = "first token" if self.first_token else "mean of the tokens"
        longest_text = longest(self.model, self.tokenizer)
        return {**super().settings, "pooling": pooled, "score": "cosine", "longest": longest_text}

    @evaluated
    def classify_texts(self, first: Sequence[str], second: Sequence[str] | None) -> Tensor:
        """Cosines of pairs, [pairs, 1], float32."""
        if second is None:
            raise IncompatibleModel(
                f"model '{self.name}' compares two sentences: single ones it gives no class"
            )
        return (self.embed(first) * self.embed(second)).sum(1, keepdim=True)

    @evaluated
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, [texts, hidden], float32."""
        encoded = self.encoded(texts)

        def vectors(places: list[int]) -> Tensor:
            states = self.model(**self.batch(encoded, places)).last_hidden_state.float()
            pooled = states[:, 0] if self.first_token else states.mean(dim=1)
            return normalize(pooled, dim=-1)

        return self.in_batches(encoded["input_ids"], vectors)


def _pools_first_token(folder: Path) -> bool:
    """Whether the first token is the vector, not the mean; BadCheckpoint for any other pooling."""
    kinds = [
        str(module.get("type")).rpartition(".")[2] for module in _json(folder / "modules.json")
    ]
    pooling = _json(folder / "1_Pooling" / "config.json")
    chosen = [
        key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True
    ]
    known = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    if not set(kinds) <= {"Transformer", "Pooling", "Normalize"} or len(chosen) != 1:
        raise BadCheckpoint(
            f"{folder}: modules {', '.join(kinds)} with {chosen}: {_OTHER_POOLINGS}"
        )
    if chosen[0] not in known:
        raise BadCheckpoint(f"{folder}: {chosen[0]}: {_OTHER_POOLINGS}")
    return known[chosen[0]]


def _json(path: Path) -> Any:
    """The content of a JSON file; nothing where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise BadCheckpoint(f"{path} is not JSON") from None
