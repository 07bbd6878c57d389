"""Unpaired texts: lines packed into blocks, for masked language modelling."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unimo2.data.batches import TextBatch
from unimo2.data.index import TextFiles
from unimo2.data.masking import MaskingSpec, mask_spans
from unimo2.data.sampler import EpochSampler
from unimo2.data.seeding import TEXT_MASKS, TEXT_ORDER, Shard, stream
from unimo2.data.texts import TokenTable
from unimo2.errors import UsageError
from unimo2.formats.plain_text import TextLine
from unimo2.modeling.padding import pad
from unimo2.processing import Unimo2Processor

TEXT_SETS = ("bookwiki", "openwebtext", "text")
"""Corpora of text: folders of the data root."""

_LINES_AT_ONCE = 10_000  # that are given to the tokenizer together


def text_folders(root: Path, sets: Sequence[str]) -> list[Path]:
    """The folders of some corpora of text; UsageError for an unknown one."""
    for name in sets:
        if name not in TEXT_SETS:
            raise UsageError(f"unknown corpus of text {name!r}; known are: {', '.join(TEXT_SETS)}")
    return [root / name for name in sets]


def blocks(
    lines: Iterable[TextLine], processor: Unimo2Processor, length: int
) -> Iterator[list[int]]:
    """Pack lines into the ids of at most `length` tokens, <s> and </s> included.

    As RoBERTa's: whole lines after each other until the next one does not fit; a block never goes
    over the end of a file, and a line longer than a block is cut.
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
                    yield [start, *block, end]
                    block = []
                block += ids
                while len(block) > room:
                    yield [start, *block[:room], end]
                    block = block[room:]
        if block:
            yield [start, *block, end]


class TextCorpus:
    """Blocks of text in random order, with hidden spans."""

    def __init__(
        self,
        texts: TokenTable | FileBlocks,
        processor: Unimo2Processor,
        length: int,
        shuffle_buffer: int = 0,
    ) -> None:
        """Take blocks of at most `length` tokens, in memory or in files.

        Raises:
            MissingData: There is none.
        """
        self._texts, self._processor, self._length = texts, processor, length
        name = "blocks of text (training.text_batch)"
        self._epochs = EpochSampler(len(texts), TEXT_ORDER, name, shuffle_buffer)

    def describe(self) -> dict[str, object]:
        """Counts and fingerprint, for records."""
        return {**self._texts.facts(), "fingerprint": self._texts.fingerprint}

    def require(self, size: int) -> None:
        """Raise UsageError where a batch of `size` is more than there is."""
        self._epochs.batches(size)

    def batch(self, turn: int, size: int, seed: int, spec: MaskingSpec, share: Shard) -> TextBatch:
        """A part of the batch number `turn` (from 0) of `size` blocks."""
        rows = share.rows(size, "text_batch")
        chosen = self._epochs.take(turn, size, seed)[rows]
        noise = spec.draw(size, stream(seed, turn, TEXT_MASKS))[rows]
        pad_id = self._processor.tokenizer.pad_token_id
        ids, mask = pad(self._texts.tokens(chosen), pad_id, self._length)
        masked = mask_spans(ids, noise, spec)
        return TextBatch(masked.input_ids, mask, masked.labels)


# Bytes of text by which it is measured how many bytes a token has.
_MEASURED_BYTES = 1 << 20
# A block is read a little shorter than the mean says, so that few have tokens beyond the limit.
_MARGIN = 0.95
_LONGEST_WORD = 256  # bytes; of a longer one the rest is lost


class FileBlocks:
    """Blocks of text in files: pieces of so many bytes, cut between words.

    A block is a place in a file, found without reading what comes before it. A piece that is more
    tokens than the limit is cut; since pieces are a little shorter than the mean, that is rare.

    Attributes:
        fingerprint: sha256 over the files' names and sizes.
    """

    def __init__(self, files: TextFiles, processor: Unimo2Processor, length: int) -> None:
        """Cut some files into blocks of `length` tokens, special ones included."""
        self._files, self.fingerprint = files, files.fingerprint
        self._tokenizer, self._room = processor.tokenizer, length - 2
        self._piece = max(1, round(self._room * self._bytes_of_token() * _MARGIN))
        self._ends = (-(-files.sizes // self._piece)).cumsum()

    def _bytes_of_token(self) -> float:
        """Mean bytes of a token in the first texts."""
        read, texts = 0, []
        for number in range(len(self._files)):
            with self._files.path(number).open("rb") as stream:
                content = stream.read(_MEASURED_BYTES - read)
            texts.append(content.decode("utf-8", "replace"))
            read += len(content)
            if read >= _MEASURED_BYTES:
                break
        encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return max(1, read) / max(1, sum(len(ids) for ids in encoded))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def facts(self) -> dict[str, object]:
        """Number of files, blocks and bytes."""
        return {
            "files": len(self._files),
            "blocks": len(self),
            "bytes": int(self._files.sizes.sum()),
        }

    def tokens(self, numbers: Tensor) -> list[Tensor]:
        """Token ids of some blocks."""
        texts = [self.text(number) for number in numbers.tolist()]
        encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return [torch.tensor([start, *ids[: self._room], end]) for ids in encoded]

    def text(self, number: int) -> str:
        """The words of a block, with single spaces between."""
        file = int(np.searchsorted(self._ends, number, side="right"))
        first = int(self._ends[file - 1]) if file else 0
        place, last = number - first, number + 1 == self._ends[file]
        start = place * self._piece
        with self._files.path(file).open("rb") as stream:
            self._files.require_unchanged(file, os.fstat(stream.fileno()).st_size)
            stream.seek(max(0, start - 1))  # with the byte before, which tells where words begin
            content = stream.read() if last else stream.read(self._piece + min(start, 1))
            # A word belongs to the block in which it begins.
            if not last and not content[-1:].isspace():
                content += _rest_of_word(stream.read(_LONGEST_WORD))
        if start and not content[:1].isspace():
            content = content[len(_rest_of_word(content)) :]
        return " " + " ".join(content.decode("utf-8", "replace").split())


def _rest_of_word(content: bytes) -> bytes:
    parts = content.split(maxsplit=1)
    return b"" if not parts or content[:1].isspace() else parts[0]
