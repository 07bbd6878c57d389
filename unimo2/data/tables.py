"""Millions of strings and image locations in little memory, or in files that processes share."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unimo2.formats.shards import ImageSource, TarMember

Columns = Mapping[str, NDArray[np.generic]]
"""Contents of a table: arrays by name, each in memory or in a mapped file."""
_AT_ONCE = 65_536  # strings that a digest is given together
_END = b"\0"  # after each string, so that all of them are what a fingerprint is taken over


class Strings:
    """Strings in one piece of memory: their bytes, and where each ends."""

    def __init__(self) -> None:
        self._bytes: bytearray | memoryview = bytearray()
        self._ends: array[int] | NDArray[np.int64] = array("q", [0])

    @classmethod
    def of(cls, columns: Columns, name: str) -> Strings:
        """Strings that `columns` gave under that name; nothing can be added to them."""
        found = cls()
        found._bytes = memoryview(columns[f"{name}.bytes"])  # type: ignore[arg-type]
        found._ends = columns[f"{name}.ends"]  # type: ignore[assignment]
        return found

    def columns(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays that `of` makes the same strings of."""
        ends = np.asarray(self._ends, dtype=np.int64)
        return {f"{name}.bytes": np.frombuffer(self._bytes, dtype=np.uint8), f"{name}.ends": ends}

    def add(self, text: str) -> None:
        """Append one."""
        assert isinstance(self._bytes, bytearray) and isinstance(self._ends, array)
        self._bytes += text.encode("utf-8", "surrogateescape") + _END
        self._ends.append(len(self._bytes))

    def extend(self, texts: Sequence[str]) -> None:
        """Append some; many at once take a fraction of the time."""
        assert isinstance(self._bytes, bytearray) and isinstance(self._ends, array)
        if not texts:
            return
        start = len(self._bytes)
        joined = _END.decode().join(texts)
        sizes: Iterable[int] = map(len, texts)
        if not joined.isascii():  # a character is not a byte
            sizes = (len(text.encode("utf-8", "surrogateescape")) for text in texts)
        self._bytes += joined.encode("utf-8", "surrogateescape") + _END
        lengths = np.fromiter(sizes, dtype=np.int64, count=len(texts)) + len(_END)
        self._ends.frombytes((start + lengths.cumsum()).tobytes())

    def include(self, other: Strings) -> None:
        """Append those of another table."""
        assert isinstance(self._bytes, bytearray) and isinstance(self._ends, array)
        start = len(self._bytes)
        self._bytes += other.ended(0, len(other))
        self._ends.frombytes((start + np.asarray(other._ends, dtype=np.int64)[1:]).tobytes())

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        start, end = int(self._ends[number]), int(self._ends[number + 1]) - len(_END)
        return bytes(self._bytes[start:end]).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each, int64 [strings]."""
        ends = np.asarray(self._ends, dtype=np.int64)
        return ends[1:] - ends[:-1] - len(_END)

    def ended(self, first: int, last: int) -> memoryview:
        """The bytes of the strings from `first` to before `last`, each with a zero behind it."""
        return memoryview(self._bytes)[int(self._ends[first]) : int(self._ends[last])]

    def fingerprint(self) -> str:
        """sha256 over all of them."""
        return hashlib.sha256(self.ended(0, len(self))).hexdigest()


class RepeatedStrings:
    """Strings with few distinct values, such as class names: each is held once."""

    def __init__(self) -> None:
        self._distinct = Strings()
        self._numbers: dict[str, int] = {}
        self._which: array[int] | NDArray[np.int32] = array("i")

    @classmethod
    def of(cls, columns: Columns, name: str) -> RepeatedStrings:
        """Strings that `columns` gave under that name; nothing can be added to them."""
        found = cls()
        found._distinct = Strings.of(columns, name)
        found._which = columns[f"{name}.which"]  # type: ignore[assignment]
        return found

    def columns(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays that `of` makes the same strings of."""
        which = np.asarray(self._which, dtype=np.int32)
        return {**self._distinct.columns(name), f"{name}.which": which}

    def extend(self, texts: Sequence[str], times: int = 1) -> None:
        """Append some, `times` over."""
        assert isinstance(self._which, array)
        self._which.extend(self._numbered(texts) * times)

    def include(self, other: RepeatedStrings) -> None:
        """Append those of another table."""
        assert isinstance(self._which, array)
        numbers = np.array(self._numbered(list(other._distinct)), dtype=np.int32)
        self._which.frombytes(numbers[np.asarray(other._which)].tobytes())

    def _numbered(self, texts: Sequence[str]) -> array[int]:
        for text in dict.fromkeys(texts):
            if text not in self._numbers:
                self._numbers[text] = len(self._distinct)
                self._distinct.add(text)
        return array("i", map(self._numbers.__getitem__, texts))

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, number: int) -> str:
        return self._distinct[int(self._which[number])]

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each, int64 [strings]."""
        lengths: NDArray[np.int64] = self._distinct.lengths()[np.asarray(self._which)]
        return lengths

    def fingerprint(self) -> str:
        """sha256 over all of them, as of `Strings`."""
        digest = hashlib.sha256()
        which = np.asarray(self._which)
        each = [bytes(self._distinct.ended(n, n + 1)) for n in range(len(self._distinct))]
        for start in range(0, len(which), _AT_ONCE):
            digest.update(b"".join([each[n] for n in which[start : start + _AT_ONCE].tolist()]))
        return digest.hexdigest()


_OWN_FILE = -1  # offset of an image that is in no shard


def _own_file(path: str) -> tuple[str, str, int, int]:
    folder, slash, name = path.rpartition(os.sep)
    return folder or slash, name, _OWN_FILE, 0


class ImageLocations:
    """Places of images: files of their own, and members of shards."""

    def __init__(self, sources: Iterable[ImageSource | str] = ()) -> None:
        # Of files the folder and the name in it, of members the shard and the name.
        self._homes, self._names = Strings(), Strings()
        self._numbers: dict[str, int] = {}
        self._home_of: array[int] | NDArray[np.int32] = array("i")
        self._offsets: array[int] | NDArray[np.int64] = array("q")
        self._sizes: array[int] | NDArray[np.int64] = array("q")
        self.extend(list(sources))

    @classmethod
    def of(cls, columns: Columns, name: str) -> ImageLocations:
        """Places that `columns` gave under that name; nothing can be added to them."""
        found = cls()
        found._homes = Strings.of(columns, f"{name}.homes")
        found._names = Strings.of(columns, f"{name}.names")
        found._home_of = columns[f"{name}.home_of"]  # type: ignore[assignment]
        found._offsets = columns[f"{name}.offsets"]  # type: ignore[assignment]
        found._sizes = columns[f"{name}.sizes"]  # type: ignore[assignment]
        return found

    def columns(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays that `of` makes the same places of."""
        return {
            **self._homes.columns(f"{name}.homes"),
            **self._names.columns(f"{name}.names"),
            f"{name}.home_of": np.asarray(self._home_of, dtype=np.int32),
            f"{name}.offsets": np.asarray(self._offsets, dtype=np.int64),
            f"{name}.sizes": np.asarray(self._sizes, dtype=np.int64),
        }

    def extend(self, sources: Sequence[ImageSource | str]) -> None:
        """Append some; many at once take a fraction of the time."""
        assert isinstance(self._home_of, array)
        assert isinstance(self._offsets, array) and isinstance(self._sizes, array)
        # Shard or folder, name, offset, size.
        rows = [
            source if isinstance(source, TarMember) else _own_file(str(source))
            for source in sources
        ]
        if rows:
            homes, names, offsets, sizes = zip(*rows, strict=True)
            self._names.extend(names)
            self._home_of.extend(array("i", map(self._number, map(os.fspath, homes))))
            self._offsets.extend(array("q", offsets))
            self._sizes.extend(array("q", sizes))

    def add_files(
        self,
        home: Path,
        names: Sequence[str],
        offsets: NDArray[np.int64] | None = None,
        sizes: NDArray[np.int64] | None = None,
    ) -> None:
        """Append files of one folder, or members of one shard with their places."""
        assert isinstance(self._home_of, array)
        assert isinstance(self._offsets, array) and isinstance(self._sizes, array)
        count = len(names)
        self._names.extend(names)
        self._home_of.extend(array("i", [self._number(str(home))]) * count)
        self._offsets.frombytes(
            (np.full(count, _OWN_FILE) if offsets is None else offsets).tobytes()
        )
        self._sizes.frombytes((np.zeros(count, np.int64) if sizes is None else sizes).tobytes())

    def include(self, other: ImageLocations) -> None:
        """Append those of another table."""
        assert isinstance(self._home_of, array)
        assert isinstance(self._offsets, array) and isinstance(self._sizes, array)
        numbers = np.array([self._number(home) for home in other._homes], dtype=np.int32)
        self._names.include(other._names)
        self._home_of.frombytes(numbers[np.asarray(other._home_of)].tobytes())
        self._offsets.frombytes(np.asarray(other._offsets, dtype=np.int64).tobytes())
        self._sizes.frombytes(np.asarray(other._sizes, dtype=np.int64).tobytes())

    def _number(self, home: str) -> int:
        number = self._numbers.get(home)
        if number is None:
            number = self._numbers[home] = len(self._homes)
            self._homes.add(home)
        return number

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> ImageSource:
        home, name = self._homes[int(self._home_of[number])], self._names[number]
        offset = int(self._offsets[number])
        if offset == _OWN_FILE:
            return Path(home, name)
        return TarMember(Path(home), name, offset, int(self._sizes[number]))

    def homes(self) -> Iterator[str]:
        """The folders and shards, each once."""
        return iter(self._homes)

    def fingerprint(self) -> str:
        """sha256 over the files' names and the places in shards."""
        digest = hashlib.sha256(np.asarray(self._offsets, dtype=np.int64).data)
        for first, last in _runs(np.asarray(self._home_of)):
            if int(self._offsets[first]) == _OWN_FILE:
                digest.update(self._names.ended(first, last))
            else:
                shard = Path(self._homes[int(self._home_of[first])]).name
                digest.update((shard.encode("utf-8", "surrogateescape") + _END) * (last - first))
        return digest.hexdigest()


def _runs(values: NDArray[np.generic]) -> Iterator[tuple[int, int]]:
    """Bounds of runs of equal neighbours."""
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    bounds = [0, *ends.tolist(), len(values)] if len(values) else [0]
    return zip(bounds, bounds[1:], strict=False)
