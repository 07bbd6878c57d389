"""Tar shards in the convention of WebDataset, as img2dataset writes them: `00000.tar` ...

A sample is a run of members with one stem: `000000007.jpg`, `000000007.txt`, `000000007.json`. Only
the names and the captions are read here; an image is found again by where its bytes lie, so that
shards can be read in any order, from any place.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import tarfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unimo2.errors import BadData, MissingData
from unimo2.formats.parsing import (
    BROKEN_ROW,
    DUPLICATE,
    IMAGE_SUFFIXES,
    Skips,
    refuse,
    refuse_lost,
    undecodable,
    whole,
)

SHARD_SUFFIX = ".tar"
CUT_OFF = "shard that is cut off"
_BLOCK = 512  # bytes; members and the end of the archive are made of these
# Where what stands in a member's header.
_LONGEST_NAME, _SIZE, _CHECKSUM, _KIND = 100, slice(124, 136), slice(148, 156), 156
_MAGIC, _PREFIX = slice(257, 262), 345
_BLANKS = 8 * ord(" ")  # what stands for the checksum where it is computed
_EXTENDED = b"x"  # kind of a header of further fields
# Further fields that change nothing here: WebDataset writes times with fractions of a second.
_TIMES = re.compile(rb"(\d+ [amc]time=[^\n]*\n)+")
_AT_ONCE = 4096  # headers that are looked at together
Content = bytes | mmap.mmap


class TarMember(NamedTuple):
    """A file inside an uncompressed tar."""

    shard: Path
    """Absolute."""
    name: str
    offset: int
    """Of its first byte in the shard."""
    size: int
    """In bytes."""

    def read(self) -> bytes:
        """Its content.

        Raises:
            MissingData: The shard is not there any more, or the disk does not give it.
            BadData: The shard is shorter than it was.
        """
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except FileNotFoundError:
            raise MissingData(f"shard not found: {self.shard}") from None
        except OSError as error:
            raise MissingData(f"{self} cannot be read: {error.strerror}") from error
        if len(content) != self.size:
            raise BadData(f"{self} is cut off after {len(content):,} of {self.size:,} bytes")
        return content

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.shard}:{self.name}"


ImageSource = Path | TarMember
"""Location of an image's bytes: its own file, or a part of a shard."""


class WebPair(NamedTuple):
    """One image with the one sentence that the web has for it."""

    place: str
    """File and line (of JSON: file and index; of a shard: shard and stem), for messages."""
    text: str
    source: str
    """The address or the path, as the file gives it; of a shard the stem of the sample's files."""
    path: ImageSource
    """Absolute path of the image, or its place in a shard."""


def shard_pairs(
    shard: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[WebPair]:
    """Stream the pairs of one shard, in its order.

    Args:
        shard: An uncompressed tar. The caption of a sample is its `.txt`, or the field "caption" of
            its `.json`.
        lost: Counts captions without an image; see `Skips`.
        broken: Counts samples without a readable caption, files that a sample has twice, and a shard
            that is cut off (what lies before the cut is read).

    Raises:
        MissingData: No such shard; an image is missing (only without `lost`).
        BadData: Not a tar, or a compressed one; what `broken` counts (only without it).
    """
    shard = shard.absolute()
    if not shard.is_file():
        raise MissingData(f"shard not found: {shard}")
    with shard.open("rb") as file, _mapped(file) as content:
        for key, members in _samples(_members(shard, content, broken), broken):
            place = f"{shard}:{key}"
            text = _caption(members, content, place, broken)
            if text is None:
                continue
            image = next(filter(None, map(members.get, IMAGE_SUFFIXES)), None)
            if image is None:
                refuse_lost(f"{place}: a caption, but no image (.jpg, .png ...)", place, lost)
            else:
                yield WebPair(place, text, key, image)


@contextmanager
def _mapped(file: IO[bytes]) -> Iterator[Content]:
    """The bytes of a file, read where they are looked at."""
    if not os.fstat(file.fileno()).st_size:  # cannot be mapped
        yield b""
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _members(shard: Path, content: Content, broken: Skips | None) -> Iterator[TarMember]:
    """The files of a tar; its end is looked for, since a killed download has none."""
    end = yield from _plain_members(shard, content)
    try:
        with shard.open("rb") as file:
            file.seek(end)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.offset_data + member.size > len(content):
                        break
                    end = member.offset_data + _blocks(member.size)
                    if member.isreg():
                        yield TarMember(shard, member.name, member.offset_data, member.size)
    except (tarfile.ReadError, RecursionError) as error:  # the latter: headers without a file
        if not end:
            raise BadData(f"{shard} is not an uncompressed tar ({error})") from error
    if content[end : end + _BLOCK] != bytes(_BLOCK):
        refuse(CUT_OFF, f"{shard} has no end of archive after byte {end:,}", broken)


def _plain_members(shard: Path, content: Content) -> Generator[TarMember, None, int]:
    """The first files of a tar, as long as they are what shards nearly always hold.

    Plain files with short names, perhaps with a broken second before each, are read in a tenth of the
    time that `tarfile` takes. Returned is the byte before which all was read.
    """
    start, found = 0, True
    while found:
        headers, places, sizes = _headers(content, start)
        if not places:
            return start
        rows = np.frombuffer(b"".join(headers), np.uint8).reshape(-1, _BLOCK)
        files, extended = rows[:, _KIND] == ord("0"), rows[:, _KIND] == ord(_EXTENDED)
        sound = _sound(rows) & (files | extended)
        for row in np.flatnonzero(sound & extended).tolist():
            first = places[row] + _BLOCK
            sound[row] = bool(_TIMES.fullmatch(content[first : first + sizes[row]]))
        found = bool(sound.all())
        which = np.flatnonzero(files if found else files[: sound.argmin()])
        if not which.size:
            return start
        names, offsets = _names(rows[which]), (np.array(places)[which] + _BLOCK).tolist()
        lengths = np.array(sizes)[which].tolist()
        yield from map(TarMember, repeat(shard), names, offsets, lengths)
        start = offsets[-1] + _blocks(lengths[-1])
    return start


def _headers(content: Content, place: int) -> tuple[list[bytes], list[int], list[int]]:
    """The next headers, where each begins, and how many bytes it says that its file has."""
    headers: list[bytes] = []
    places: list[int] = []
    sizes: list[int] = []
    last = len(content) - _BLOCK
    while place <= last and len(places) < _AT_ONCE:
        header = content[place : place + _BLOCK]
        digits = header[_SIZE][:-1]
        try:
            size = int(digits, 8) if digits.isdigit() else -1
        except ValueError:  # 8 and 9
            break
        if not 0 <= size <= last - place:
            break
        headers.append(header)
        places.append(place)
        sizes.append(size)
        place += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    return headers, places, sizes


def _sound(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which headers, uint8 [n, 512], have the checksum that they state, a short name, a whole size."""
    stated = rows[:, _CHECKSUM]
    digits = stated[:, :6].astype(np.int64) - ord("0")
    octal = ((digits >= 0) & (digits < 8)).all(axis=1) & (stated[:, 6:] == (0, ord(" "))).all(
        axis=1
    )
    found = digits @ (8 ** np.arange(5, -1, -1))
    total = rows.sum(axis=1, dtype=np.int64) - stated.sum(axis=1, dtype=np.int64) + _BLANKS
    magic = (rows[:, _MAGIC] == np.frombuffer(b"ustar", np.uint8)).all(axis=1)
    short = (rows[:, _PREFIX] == 0) & (rows[:, :_LONGEST_NAME] == 0).any(axis=1)
    ended = np.isin(rows[:, _SIZE.stop - 1], (0, ord(" ")))
    return octal & (found == total) & magic & short & ended


def _names(rows: NDArray[np.uint8]) -> list[str]:
    """What headers call their files: bytes up to the first that is 0."""
    names = np.ascontiguousarray(rows[:, :_LONGEST_NAME]).view(f"S{_LONGEST_NAME}").ravel().tolist()
    cut = [name.partition(b"\0")[0] for name in names]
    return b"\0".join(cut).decode("utf-8", "surrogateescape").split("\0")


def _blocks(size: int) -> int:
    """Bytes that a content of so many bytes takes in a tar."""
    return -(-size // _BLOCK) * _BLOCK


def _samples(
    members: Iterable[TarMember], broken: Skips | None
) -> Iterator[tuple[str, dict[str, TarMember]]]:
    """Runs of members whose names are the same up to the first dot of their last part.

    Each comes with this key, and by suffix: ".jpg", or ".seg.png".
    """
    last, sample = "", dict[str, TarMember]()
    for member in members:
        key, dot, rest = member.name.partition(".")
        if "/" in rest:  # a dot in the name of a folder
            folder, _, name = member.name.rpartition("/")
            stem, dot, rest = name.partition(".")
            key = f"{folder}/{stem}"
        suffix = (dot + rest).lower()
        if key != last:
            if sample:
                yield last, sample
            last, sample = key, {}
        if sample.setdefault(suffix, member) is not member:
            refuse(DUPLICATE, f"{member} occurs twice in its sample", broken)
    if sample:
        yield last, sample


def _caption(
    members: dict[str, TarMember], content: Content, place: str, broken: Skips | None
) -> str | None:
    """The caption on one line; None if there is none that can be read."""

    def read(suffix: str) -> bytes:
        member = members[suffix]
        return content[member.offset : member.offset + member.size]

    fault = "no caption (.txt, or 'caption' in .json)"
    text = ""
    try:
        if ".txt" in members:
            text = read(".txt").decode().removeprefix("\ufeff")
        elif ".json" in members:
            fields = json.loads(read(".json"))
            caption = fields.get("caption") if isinstance(fields, dict) else None
            text = whole(caption, "the caption") if isinstance(caption, str) else ""
    except UnicodeDecodeError:
        fault = "the caption is not UTF-8"
    except json.JSONDecodeError as error:
        fault = f"malformed JSON: {error.msg}"
    except (RecursionError, ValueError) as error:
        fault = f"malformed JSON: {undecodable(error)}"
    except BadData as error:
        fault = str(error)
    text = " ".join(text.split())
    if not text:
        refuse(BROKEN_ROW, f"{place}: {fault}", broken)
        return None
    return text
