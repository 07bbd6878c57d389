"""Millions of short strings without millions of objects."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from unimo2.formats.shards import ImageSource, TarMember


class Strings:
    """Strings in one piece of memory: their bytes, and where each ends."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def add(self, text: str) -> None:
        """Append one."""
        self._bytes += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return self._bytes[start:end].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def lengths(self) -> np.ndarray:
        """Bytes of each, int64 [strings]."""
        return np.diff(np.frombuffer(self._ends, dtype=np.int64))


_OWN_FILE = -1  # offset of an image that is in no shard


class Sources:
    """Places of images: files of their own, and members of shards."""

    def __init__(self, sources: Iterable[ImageSource] = ()) -> None:
        self._paths, self._names = Strings(), Strings()
        self._offsets, self._sizes = array("q"), array("q")
        for source in sources:
            self.add(source)

    def add(self, source: ImageSource) -> None:
        """Append one."""
        if not isinstance(source, TarMember):
            source = TarMember(source, "", _OWN_FILE, 0)
        self._paths.add(str(source.shard))
        self._names.add(source.name)
        self._offsets.append(source.offset)
        self._sizes.append(source.size)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> ImageSource:
        path, offset = Path(self._paths[number]), self._offsets[number]
        if offset == _OWN_FILE:
            return path
        return TarMember(path, self._names[number], offset, self._sizes[number])

    def fingerprint(self) -> str:
        """sha256 over the files' names and the places in shards."""
        digest = hashlib.sha256(self._offsets.tobytes())
        for path in self._paths:
            digest.update(Path(path).name.encode() + b"\0")
        return digest.hexdigest()
