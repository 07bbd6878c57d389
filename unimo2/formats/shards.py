"""Tar shards in the convention of WebDataset, as img2dataset writes them: `00000.tar` ...

A sample is a run of members with one stem: `000000007.jpg`, `000000007.txt`, `000000007.json`. Only
the names and the captions are read here; an image is found again by where its bytes lie, so that
shards can be read in any order, from any place.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

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
"""Where the bytes of an image lie: in a file of its own, or inside a shard."""


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
    for key, group in groupby(_members(shard, broken), key=_key):
        place = f"{shard}:{key}"
        members: dict[str, TarMember] = {}
        for member in group:
            if members.setdefault(_suffix(member), member) is not member:
                refuse(DUPLICATE, f"{member} occurs twice in its sample", broken)
        text = _caption(members, place, broken)
        image = next((members[suffix] for suffix in IMAGE_SUFFIXES if suffix in members), None)
        if text is None:
            continue
        if image is None:
            refuse_lost(f"{place}: a caption, but no image (.jpg, .png ...)", place, lost)
        else:
            yield WebPair(place, text, key, image)


def _members(shard: Path, broken: Skips | None) -> Iterator[TarMember]:
    """The files of a tar; its end is looked for, since a killed download has none."""
    if not shard.is_file():
        raise MissingData(f"shard not found: {shard}")
    end, length = 0, shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.offset_data + member.size > length:
                    break
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if member.isreg():
                    yield TarMember(shard, member.name, member.offset_data, member.size)
    except tarfile.ReadError as error:
        if not end:
            raise BadData(f"{shard} is no uncompressed tar ({error})") from error
    with shard.open("rb") as file:
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            refuse(CUT_OFF, f"{shard} has no end of archive after byte {end:,}", broken)


def _key(member: TarMember) -> str:
    """The name up to the first dot of its last part."""
    folder, slash, name = member.name.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _suffix(member: TarMember) -> str:
    """What comes after the key: ".jpg", or ".seg.png"."""
    return member.name[len(_key(member)) :].lower()


def _caption(members: dict[str, TarMember], place: str, broken: Skips | None) -> str | None:
    """The caption on one line; None if there is none that can be read."""
    fault = "no caption (.txt, or 'caption' in .json)"
    text = ""
    try:
        if ".txt" in members:
            text = members[".txt"].read().decode("utf-8-sig")
        elif ".json" in members:
            fields = json.loads(members[".json"].read())
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
