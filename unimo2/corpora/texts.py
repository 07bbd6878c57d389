"""Texts alone: lines packed into blocks, for masked language modelling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from unimo2.batches import TextBatch
from unimo2.corpora.order import Passes
from unimo2.errors import MissingData, UsageError
from unimo2.formats.plain_text import TextLine
from unimo2.masking import MaskingSpec, mask_spans
from unimo2.modeling.padding import pad
from unimo2.processing import Unimo2Processor
from unimo2.streams import TEXT_MASKS, TEXT_ORDER, Share, stream

TEXT_SETS = ("bookwiki", "openwebtext", "text")
"""Corpora of text: folders of the data root."""

_LINES_AT_ONCE = 10_000  # that are given to the tokenizer together


def text_folders(root: Path, sets: Sequence[str]) -> list[Path]:
    """The folders of some corpora of text.

    Raises:
        UsageError: an unknown corpus.
    """
    for name in sets:
        if name not in TEXT_SETS:
            raise UsageError(f"unknown corpus of text {name!r}; known are: {', '.join(TEXT_SETS)}")
    return [root / name for name in sets]


def blocks(lines: Iterable[TextLine], processor: Unimo2Processor, length: int) -> Iterator[Tensor]:
    """Pack lines into blocks of at most `length` tokens, <s> and </s> included.

    As RoBERTa's: whole lines after each other until the next one does not fit; a block never goes
    over the end of a file, and a line longer than a block is cut.

    Yields:
        int64 [n], n at most `length`.
    """
    tokenizer = processor.tokenizer
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    room = length - 2
    for _, file in groupby(lines, key=lambda line: line.path):
        block: list[int] = []
        while chunk := list(islice(file, _LINES_AT_ONCE)):
            # Lines are words apart: the space stands where the line's end was.
            texts = [f" {line.text}" for line in chunk]
            for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
                if block and len(block) + len(ids) > room:
                    yield torch.tensor([start, *block, end])
                    block = []
                block += ids
                while len(block) > room:
                    yield torch.tensor([start, *block[:room], end])
                    block = block[room:]
        if block:
            yield torch.tensor([start, *block, end])


class Blocks(Protocol):
    """Blocks of text.

    Attributes:
        fingerprint: sha256 of what is known of them.
    """

    fingerprint: str

    def __len__(self) -> int:
        """Their number."""
        ...

    def facts(self) -> dict[str, object]:
        """Counts, for records."""
        ...

    def tokens(self, numbers: Tensor) -> list[Tensor]:
        """Token ids of some, int64 [n] each, special tokens included."""
        ...


class HeldBlocks:
    """Blocks in memory."""

    def __init__(self, texts: Iterable[Tensor]) -> None:
        """Take what `blocks` yields."""
        self._texts = list(texts)
        digest = hashlib.sha256()
        for ids in self._texts:
            digest.update(ids.numpy().data)
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        """Their number."""
        return len(self._texts)

    def facts(self) -> dict[str, object]:
        """Number of blocks, and of tokens in all of them, special ones not counted."""
        return {"blocks": len(self), "tokens": sum(len(ids) - 2 for ids in self._texts)}

    def tokens(self, numbers: Tensor) -> list[Tensor]:
        """Token ids of some."""
        return [self._texts[number] for number in numbers.tolist()]


class TextCorpus:
    """Blocks of text in random order, with hidden spans."""

    def __init__(
        self, texts: Blocks, processor: Unimo2Processor, length: int, shuffle_buffer: int = 0
    ) -> None:
        """Take blocks.

        Args:
            texts: in memory or in files.
            processor: its tokenizer's special tokens are used.
            length: tokens of the longest block there can be.
            shuffle_buffer: see `Passes`.

        Raises:
            MissingData: there is none.
        """
        if not len(texts):
            raise MissingData("the corpus of texts is empty")
        self._texts, self._processor, self._length = texts, processor, length
        name = "blocks of text (training.text_batch)"
        self._passes = Passes(len(texts), TEXT_ORDER, name, shuffle_buffer)

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {**self._texts.facts(), "fingerprint": self._texts.fingerprint}

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._passes.batches(size)

    def batch(self, turn: int, size: int, seed: int, spec: MaskingSpec, share: Share) -> TextBatch:
        """A part of the batch number `turn`.

        Args:
            turn: number of the batch, from 0.
            size: blocks in it, over all parts.
            seed: of order and masks.
            spec: how spans are hidden; its longest text is at least `length`.
            share: which part.
        """
        rows = share.rows(size, "text_batch")
        chosen = self._passes.take(turn, size, seed)[rows]
        noise = spec.draw(size, stream(seed, turn, TEXT_MASKS))[rows]
        pad_id = self._processor.tokenizer.pad_token_id
        ids, mask = pad(self._texts.tokens(chosen), pad_id, self._length)
        masked = mask_spans(ids, noise, spec)
        return TextBatch(masked.input_ids, mask, masked.labels)
