"""Texts alone: lines packed into blocks, for masked language modelling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

import torch
from torch import Tensor

from unimo2.batches import TextBatch
from unimo2.corpora.order import Passes
from unimo2.corpora.pairs import pad
from unimo2.errors import MissingData, UsageError
from unimo2.formats.flat import TextLine, text_lines
from unimo2.formats.rows import Skips
from unimo2.masking import MaskingSpec, mask_spans
from unimo2.processing import Unimo2Processor
from unimo2.streams import TEXT_MASKS, TEXT_ORDER, Share, stream

TEXT_SETS = ("bookwiki", "openwebtext", "text")
"""Corpora of text: folders of the data root."""

_LINES_AT_ONCE = 10_000  # that are given to the tokenizer together


def read_lines(root: Path, sets: Sequence[str], broken: Skips | None = None) -> Iterator[TextLine]:
    """The lines of some corpora of text, set by set and file by file.

    Raises:
        UsageError: an unknown corpus.
        MissingData: a folder is missing or holds no text.
    """
    for name in sets:
        if name not in TEXT_SETS:
            raise UsageError(f"unknown corpus of text {name!r}; known are: {', '.join(TEXT_SETS)}")
        yield from text_lines(root / name, broken)


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


class TextCorpus:
    """Blocks of text in memory.

    Attributes:
        blocks: their number.
        tokens: tokens in all of them, special ones not counted.
        fingerprint: sha256 over the token ids.
    """

    def __init__(self, texts: Iterable[Tensor], processor: Unimo2Processor, length: int) -> None:
        """Take blocks.

        Args:
            texts: int64 [n] each, with the special tokens.
            processor: its tokenizer's special tokens are used.
            length: tokens of the longest block there can be.

        Raises:
            MissingData: there is none.
        """
        self._texts = list(texts)
        if not self._texts:
            raise MissingData("the corpus of texts is empty")
        self._processor, self._length = processor, length
        self._passes = Passes(len(self._texts), TEXT_ORDER, "blocks of text (training.text_batch)")
        self.blocks = len(self._texts)
        self.tokens = sum(len(ids) - 2 for ids in self._texts)
        digest = hashlib.sha256()
        for ids in self._texts:
            digest.update(ids.numpy().data)
        self.fingerprint = digest.hexdigest()

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {"blocks": self.blocks, "tokens": self.tokens, "fingerprint": self.fingerprint}

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
        chosen = self._passes.take(turn, size, seed)[rows].tolist()
        noise = spec.draw(size, stream(seed, turn, TEXT_MASKS))[rows]
        pad_id = self._processor.tokenizer.pad_token_id
        ids, mask = pad([self._texts[index] for index in chosen], pad_id, self._length)
        masked = mask_spans(ids, noise, spec)
        return TextBatch(masked.input_ids, mask, masked.labels)
