"""Captions as token ids: made once and held in memory, or when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from unimo2.corpora.strings import Strings
from unimo2.processing import Unimo2Processor


class Captions(Protocol):
    """Captions of a corpus.

    Attributes:
        fingerprint: sha256 over them.
        longest: tokens of the longest that there can be, special ones included.
    """

    fingerprint: str
    longest: int

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
