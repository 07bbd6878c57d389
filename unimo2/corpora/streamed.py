"""Corpora that do not fit into memory: names and captions are held, images and texts read when due.

Any sample can be read at any time, so that a step is a function of (seed, step) here too, and a
resumed run goes on at the same sample without reading what came before.
"""

from __future__ import annotations

import bisect
import hashlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unimo2.corpora.captions import TextCaptions
from unimo2.corpora.images import ImageCorpus
from unimo2.corpora.pairs import PairCorpus
from unimo2.corpora.pixels import FilePixels
from unimo2.corpora.reading import CaptionedImage
from unimo2.corpora.sources import Sources
from unimo2.corpora.strings import Strings
from unimo2.errors import MissingData
from unimo2.formats.plain_text import text_files
from unimo2.pretrain_config import PretrainConfig
from unimo2.processing import Unimo2Processor

# Bytes of text by which it is measured how many bytes a token has.
_MEASURED_BYTES = 1 << 20
# A block is read a little shorter than the mean says, so that few have tokens beyond the limit.
_MARGIN = 0.95
_LONGEST_WORD = 256  # bytes; of a longer one the rest is lost


class Index:
    """What is held of images: where they are, and what is said about them."""

    def __init__(self, images: Iterable[CaptionedImage]) -> None:
        """Read names and texts of all images, once."""
        self.sources, self.texts = Sources(), Strings()
        counts = array("q")
        for image in images:
            self.sources.add(image.path)
            counts.append(len(image.texts))
            for text in image.texts:
                self.texts.add(text)
        self.counts = np.array(counts, dtype=np.int64)

    def pixels(self, side: int, workers: int) -> FilePixels:
        """The images, as squares of `side` pixels."""
        return FilePixels(self.sources, side, workers)


def streamed_pairs(
    index: Index, processor: Unimo2Processor, config: PretrainConfig, setting: str
) -> PairCorpus:
    """Images with captions in files."""
    return PairCorpus(
        index.pixels(processor.image_size, config.workers),
        TextCaptions(index.texts, processor, config.max_text_length),
        torch.from_numpy(index.counts),
        processor,
        config.shuffle_buffer,
        setting,
    )


def streamed_images(
    index: Index, processor: Unimo2Processor, config: PretrainConfig
) -> ImageCorpus:
    """Images alone in files."""
    pixels = index.pixels(processor.image_size, config.workers)
    return ImageCorpus(pixels, processor, config.shuffle_buffer)


class FileBlocks:
    """Blocks of text in files: pieces of so many bytes, cut between words.

    A block is a place in a file, found without reading what comes before it. A piece that is more
    tokens than the limit is cut; since pieces are a little shorter than the mean, that is rare.

    Attributes:
        fingerprint: sha256 over the files' names and sizes.
    """

    def __init__(self, folders: Sequence[Path], processor: Unimo2Processor, length: int) -> None:
        """List the files.

        Args:
            folders: of files of text.
            processor: its tokenizer is used.
            length: tokens of a block, special ones included.

        Raises:
            MissingData: a folder is not there or holds no text.
        """
        self._tokenizer, self._room = processor.tokenizer, length - 2
        self._paths = Strings()
        sizes = array("q")
        digest = hashlib.sha256()
        for folder in folders:
            for path in text_files(folder):
                size = path.stat().st_size
                if not size:
                    continue
                self._paths.add(str(path))
                sizes.append(size)
                digest.update(f"{path.name}\0{size}\0".encode())
        if not sizes:
            raise MissingData(f"no text in {', '.join(map(str, folders))}")
        self._bytes = sum(sizes)
        self._piece = max(1, round(self._room * self._bytes_of_token() * _MARGIN))
        counts = (-(-size // self._piece) for size in sizes)
        self._ends = array("q", accumulate(counts))
        self.fingerprint = digest.hexdigest()

    def _bytes_of_token(self) -> float:
        """Mean bytes of a token in the first texts."""
        read, texts = 0, []
        for name in self._paths:
            with Path(name).open("rb") as stream:
                content = stream.read(_MEASURED_BYTES - read)
            texts.append(content.decode("utf-8", "replace"))
            read += len(content)
            if read >= _MEASURED_BYTES:
                break
        encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return max(1, read) / max(1, sum(len(ids) for ids in encoded))

    def __len__(self) -> int:
        """Number of blocks."""
        return self._ends[-1]

    def facts(self) -> dict[str, object]:
        """Number of files, blocks and bytes."""
        return {"files": len(self._paths), "blocks": len(self), "bytes": self._bytes}

    def tokens(self, numbers: Tensor) -> list[Tensor]:
        """Token ids of some blocks."""
        texts = [self.text(number) for number in numbers.tolist()]
        encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return [torch.tensor([start, *ids[: self._room], end]) for ids in encoded]

    def text(self, number: int) -> str:
        """The words of a block, with single spaces between."""
        file = bisect.bisect_right(self._ends, number)
        first = self._ends[file - 1] if file else 0
        place, last = number - first, number + 1 == self._ends[file]
        start = place * self._piece
        with Path(self._paths[file]).open("rb") as stream:
            stream.seek(max(0, start - 1))  # with the byte before, which tells where words begin
            content = stream.read() if last else stream.read(self._piece + min(start, 1))
            # A word belongs to the block in which it begins.
            if not last and not content[-1:].isspace():
                content += _rest_of_word(stream.read(_LONGEST_WORD))
        if start and not content[:1].isspace():
            content = content[len(_rest_of_word(content)) :]
        return " " + " ".join(content.decode("utf-8", "replace").split())


def _rest_of_word(content: bytes) -> bytes:
    """What comes before the first white space."""
    parts = content.split(maxsplit=1)
    return b"" if not parts or content[:1].isspace() else parts[0]
