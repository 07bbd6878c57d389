"""Captions as token ids: made once and held in memory, or when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.data.tables import Strings
from unimo2.modeling.padding import round_length
from unimo2.processing import Unimo2Processor


class Captions(Protocol):
    """Captions of a corpus."""

    fingerprint: str  # sha256 over them
    longest: int  # tokens of the longest that there can be, special ones included

    def lengths(self) -> Tensor:
        """How long each is, int64 [captions], in any one unit."""
        ...

    def tokens(self, captions: Tensor) -> list[Tensor]:
        """Token ids of some, int64 [n] each."""
        ...


class HeldCaptions:
    """Captions that were tokenised once."""

    def __init__(self, texts: Sequence[str], processor: Unimo2Processor, limit: int) -> None:
        """Tokenise.

        Args:
            texts: the captions.
            processor: its tokenizer is used.
            limit: tokens kept of each, special ones included.
        """
        self._tokens: list[Tensor] = []
        if texts:
            encoded = processor.tokenizer(list(texts), truncation=True, max_length=limit)
            self._tokens = [torch.tensor(ids) for ids in encoded["input_ids"]]
        self._lengths = torch.tensor([len(ids) for ids in self._tokens], dtype=torch.long)
        self.longest = int(self._lengths.max()) if len(self._lengths) else 0
        digest = hashlib.sha256()
        for ids in self._tokens:
            digest.update(ids.numpy().data)
        self.fingerprint = digest.hexdigest()

    def lengths(self) -> Tensor:
        """Tokens of each, int64 [captions]."""
        return self._lengths

    def tokens(self, captions: Tensor) -> list[Tensor]:
        """Token ids of some."""
        return [self._tokens[number] for number in captions.tolist()]


class TextCaptions:
    """Captions as texts, tokenised when they are due."""

    def __init__(self, texts: Strings, processor: Unimo2Processor, limit: int) -> None:
        """Take texts; `limit` as for `HeldCaptions`."""
        self._texts, self._tokenizer = texts, processor.tokenizer
        self._lengths = torch.from_numpy(texts.lengths())
        self.longest = limit
        digest = hashlib.sha256()
        for text in texts:
            digest.update(text.encode("utf-8", "surrogateescape") + b"\0")
        self.fingerprint = digest.hexdigest()

    def lengths(self) -> Tensor:
        """Bytes of each, int64 [captions]."""
        return self._lengths

    def tokens(self, captions: Tensor) -> list[Tensor]:
        """Token ids of some."""
        texts = [self._texts[number] for number in captions.tolist()]
        encoded = self._tokenizer(texts, truncation=True, max_length=self.longest)
        return [torch.tensor(ids) for ids in encoded["input_ids"]]


# Tokenised texts in one flat table, padded batch by batch without a loop over texts.


class TokenTable:
    """The token ids of many texts.

    Attributes:
        lengths: int64 [texts].
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[tuple[str, ...]],
        max_length: int,
    ) -> None:
        """Tokenise texts.

        Args:
            tokenizer: gives the ids, with its special tokens.
            texts: one sentence each, or a pair, which is encoded as `tokenizer(first, second)`.
            max_length: tokens kept of a text; of a pair, the longer sentence is cut first.
        """
        columns = [list(column) for column in zip(*texts, strict=True)]
        # What some encoders tell the two sentences of a pair apart by (BERT; not RoBERTa).
        self.has_types = "token_type_ids" in tokenizer.model_input_names
        encoded = tokenizer(
            *columns, truncation=True, max_length=max_length, return_token_type_ids=self.has_types
        )
        self.lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
        self._starts = self.lengths.cumsum(dim=0) - self.lengths
        self._ids = _flat(encoded["input_ids"])
        self._types = _flat(encoded["token_type_ids"]) if self.has_types else None
        self._longest = int(self.lengths.max())
        self._padding = int(tokenizer.pad_token_id or 0)

    def pad(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some texts as a batch.

        Args:
            rows: int64 [b], which.

        Returns:
            Token ids int64 [b, n] padded on the right, and int64 [b, n], 1 at real tokens.
        """
        places, mask = self._places(rows)
        return self._ids[places].long().masked_fill_(~mask, self._padding), mask.long()

    def types(self, rows: Tensor) -> Tensor | None:
        """Which sentence of a pair each token belongs to, int64 [b, n]; None for one kind only."""
        if self._types is None:
            return None
        places, mask = self._places(rows)
        return self._types[places].long().masked_fill_(~mask, 0)

    def digest(self) -> str:
        """sha256 of all ids and lengths."""
        content = hashlib.sha256(self._ids.numpy().tobytes())
        content.update(self.lengths.numpy().tobytes())
        return content.hexdigest()

    def _places(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the flat table, [b, n], and which of them are real."""
        lengths = self.lengths[rows][:, None]
        columns = torch.arange(round_length(int(lengths.max()), self._longest))
        return self._starts[rows][:, None] + columns.clamp(max=lengths - 1), columns < lengths


def _flat(rows: Sequence[Sequence[int]]) -> Tensor:
    total = sum(len(row) for row in rows)
    numbers = np.fromiter((number for row in rows for number in row), dtype=np.int32, count=total)
    return torch.from_numpy(numbers)
