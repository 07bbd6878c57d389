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
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

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
_ADLER = 65_521
_EXTENDED = b"x"  # kind of a header of further fields
# Further fields that change nothing here: WebDataset writes times with fractions of a second.
_TIMES = re.compile(rb"(\d+ [amc]time=[^\n]*\n)+")
Content = bytes | mmap.mmap


@dataclass(frozen=True)
class TarMember:
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


@dataclass(frozen=True)
class WebPair:
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
        for key, group in groupby(_members(shard, content, broken), key=_key):
            place = f"{shard}:{key}"
            members: dict[str, TarMember] = {}
            for member in group:
                if members.setdefault(_suffix(member, key), member) is not member:
                    refuse(DUPLICATE, f"{member} occurs twice in its sample", broken)
            text = _caption(members, content, place, broken)
            image = next((members[suffix] for suffix in IMAGE_SUFFIXES if suffix in members), None)
            if text is None:
                continue
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
    except tarfile.ReadError as error:
        if not end:
            raise BadData(f"{shard} is not an uncompressed tar ({error})") from error
    if content[end : end + _BLOCK] != bytes(_BLOCK):
        refuse(CUT_OFF, f"{shard} has no end of archive after byte {end:,}", broken)


def _plain_members(shard: Path, content: Content) -> Generator[TarMember, None, int]:
    """The first files of a tar, as long as they are what shards nearly always hold.

    Plain files with short names, perhaps with a broken second before each, are read in a tenth of the
    time that `tarfile` takes. Returned is the byte before which all was read.
    """
    place = start = 0
    while True:
        header = content[place : place + _BLOCK]
        size = _size(header)
        if size is None or place + _BLOCK + size > len(content):
            return start
        place += _BLOCK
        if header[_KIND : _KIND + 1] == _EXTENDED:
            if not _TIMES.fullmatch(content[place : place + size]):
                return start
            place += _blocks(size)
            continue
        name = header[: header.index(0)]
        yield TarMember(shard, name.decode("utf-8", "surrogateescape"), place, size)
        place = start = place + _blocks(size)


def _size(header: bytes) -> int | None:
    """Bytes of a plain file, or of an extended header; None where it is anything else."""
    if (
        len(header) < _BLOCK
        or header[_KIND : _KIND + 1] not in (b"0", _EXTENDED)
        or header[_MAGIC] != b"ustar"
        or header[_PREFIX]
        or 0 not in header[:_LONGEST_NAME]
    ):
        return None
    try:
        size = int(header[_SIZE].rstrip(b"\0 "), 8)
        found = int(header[_CHECKSUM].strip(b"\0 "), 8)
    except ValueError:
        return None
    # The low half of Adler's checksum is 1 and the sum of the bytes, modulo a prime.
    total = zlib.adler32(header) & 0xFFFF
    wanted = (1 + found + sum(header[_CHECKSUM]) - _BLANKS) % _ADLER
    return size if total == wanted and size >= 0 else None


def _blocks(size: int) -> int:
    """Bytes that a content of so many bytes takes in a tar."""
    return -(-size // _BLOCK) * _BLOCK


def _key(member: TarMember) -> str:
    """The name up to the first dot of its last part."""
    folder, slash, name = member.name.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _suffix(member: TarMember, key: str) -> str:
    """What comes after the key: ".jpg", or ".seg.png"."""
    return member.name[len(key) :].lower()


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
            text = read(".txt").decode("utf-8-sig")
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
