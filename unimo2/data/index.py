"""Index of images and texts: read once, in memory or in files that processes share."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.data.corpora import CaptionedFolder, Paired, TrainingImage
from unimo2.data.kept_index import FileIndex
from unimo2.data.tables import ImageLocations, RepeatedStrings, Strings
from unimo2.data.texts import LazyTokenTable, TokenTable
from unimo2.errors import BadData, MissingData
from unimo2.formats.plain_text import text_names
from unimo2.formats.shards import PairColumns

Texts = Strings | RepeatedStrings
_AT_ONCE = 4096  # images that are added to the tables together


class Index:
    """Image locations and their texts, in little memory."""

    def __init__(self, images: Iterable[Paired | CaptionedFolder], repeated: bool = False) -> None:
        """Read where they are; `repeated` holds each text once, which is for names of classes."""
        self.sources = ImageLocations()
        self.texts: Texts = RepeatedStrings() if repeated else Strings()
        counts = array("q")
        for kind, some in groupby(images, key=type):
            if kind is not TrainingImage:
                for one in cast(Iterator[CaptionedFolder | PairColumns], some):
                    self._add_columns(one, counts)
                continue
            one_by_one = cast(Iterator[TrainingImage], some)
            while shown := list(islice(one_by_one, _AT_ONCE)):
                self.sources.extend([image.path for image in shown])
                counts.extend([len(image.texts) for image in shown])
                self.texts.extend([text for image in shown for text in image.texts])
        self.counts = torch.from_numpy(np.array(counts, dtype=np.int64))
        self._facts: dict[str, Any] = {}

    def _add_columns(self, one: CaptionedFolder | PairColumns, counts: array[int]) -> None:
        if isinstance(one, PairColumns):
            self.sources.add_files(one.home, one.names, one.offsets, one.sizes)
            counts.extend(array("q", [1]) * len(one.names))
            self.texts.extend(one.texts)
            return
        times = len(one.files)
        self.sources.add_files(one.folder, one.files)
        counts.extend(array("q", [len(one.texts)]) * times)
        if isinstance(self.texts, RepeatedStrings):
            self.texts.extend(one.texts, times)
        else:
            self.texts.extend(one.texts * times)

    def include(self, other: Index) -> None:
        """Append the images and texts of another index."""
        self.sources.include(other.sources)
        self.texts.include(other.texts)  # type: ignore[arg-type]
        self.counts = torch.cat([self.counts, other.counts])

    def found(self) -> FileIndex:
        """Contents to keep in files."""
        columns = {"counts": self.counts.numpy(), "lengths": self.texts.lengths()}
        facts = {"sources": self.sources.fingerprint(), "texts": self.texts.fingerprint()}
        columns |= self.sources.columns("sources") | self.texts.columns("texts")
        return FileIndex(columns, facts, list(self.sources.homes()))

    @classmethod
    def of(cls, kept: FileIndex, repeated: bool = False) -> Index:
        """The result of `found`, from files."""
        index = cls((), repeated)
        index.sources = ImageLocations.of(kept.columns, "sources")
        kind = RepeatedStrings if repeated else Strings
        index.texts = kind.of(kept.columns, "texts")
        index.counts = torch.from_numpy(kept.columns["counts"])
        index._facts = {**kept.facts, "lengths": torch.from_numpy(kept.columns["lengths"])}
        return index

    @property
    def fingerprint(self) -> str:
        """sha256 over the images' names and places."""
        return str(self._facts.get("sources") or self.sources.fingerprint())

    def captions(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, held: bool
    ) -> TokenTable | LazyTokenTable:
        """The texts as tokens, made once and held in memory, or when they are due."""
        if held:
            return TokenTable.encode(tokenizer, [(text,) for text in self.texts], max_length)
        lengths: Tensor | None = self._facts.get("lengths")
        if lengths is None:
            lengths = torch.from_numpy(self.texts.lengths())
        fingerprint = self._facts.get("texts") or self.texts.fingerprint()
        return LazyTokenTable(self.texts, lengths, fingerprint, tokenizer, max_length)


def _sizes(home: Path, names: Sequence[str]) -> list[int]:
    """Bytes of some files of a folder; the folder is looked up once, not for each of millions."""
    look = os.stat
    if look not in os.supports_dir_fd:
        return [look(home / name).st_size for name in names]
    folder = os.open(home, os.O_RDONLY)
    try:
        return [look(name, dir_fd=folder).st_size for name in names]
    finally:
        os.close(folder)


class TextFiles:
    """Files of text and their sizes.

    Attributes:
        fingerprint: sha256 over the files' names and sizes.
        sizes: int64 [files], in bytes, none of them 0.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """List the files of some folders.

        Raises:
            MissingData: A folder is not there or holds no text.
        """
        self._places, sizes = ImageLocations(), array("q")
        digest = hashlib.sha256()
        for folder in folders:
            for home, names in text_names(folder):
                found = _sizes(home, names)
                if 0 in found:
                    names = [name for name, size in zip(names, found, strict=True) if size]
                    found = [size for size in found if size]
                self._places.add_files(home, names)
                sizes.extend(found)
                written = zip(names, map(str, found), strict=True)
                joined = "".join([f"{name}\0{size}\0" for name, size in written])
                digest.update(joined.encode("utf-8", "surrogateescape"))
        if not sizes:
            raise MissingData(f"no text in {', '.join(map(str, folders))}")
        self.sizes: NDArray[np.int64] = np.array(sizes, dtype=np.int64)
        self.fingerprint = digest.hexdigest()
        self._kept_in: Path | None = None

    def found(self) -> FileIndex:
        """Contents to keep in files."""
        columns = self._places.columns("places") | {"sizes": self.sizes}
        return FileIndex(columns, {"fingerprint": self.fingerprint}, list(self._places.homes()))

    @classmethod
    def of(cls, kept: FileIndex) -> TextFiles:
        """The result of `found`, from files."""
        files = cls.__new__(cls)
        files._places = ImageLocations.of(kept.columns, "places")
        files.sizes = kept.columns["sizes"]
        files.fingerprint, files._kept_in = str(kept.facts["fingerprint"]), kept.folder
        return files

    def __len__(self) -> int:
        return len(self.sizes)

    def path(self, number: int) -> Path:
        """A file."""
        found = self._places[number]
        assert isinstance(found, Path)  # no text lies in shards
        return found

    def require_unchanged(self, number: int, size: int) -> None:
        """Refuse a file whose size is not what it was: its blocks begin at other places now.

        Raises:
            BadData: It was changed since.
        """
        if size == self.sizes[number]:
            return
        again = "start again"
        if self._kept_in is not None:
            again = f"delete {self._kept_in} and start again"
        raise BadData(
            f"{self.path(number)} has {size:,} bytes, but had {self.sizes[number]:,} when its folder "
            f"was read: {again}"
        )
