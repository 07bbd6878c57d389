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
from collections.abc import Iterable, Iterator
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
    on_one_line,
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


class PairColumns(NamedTuple):
    """Pairs that follow each other in a shard, or whose files lie in one folder."""

    home: Path
    """The shard or the folder, absolute."""
    names: list[str]
    """Of the images."""
    texts: list[str]
    offsets: NDArray[np.int64] | None = None
    """As `TarMember` has them; None for files."""
    sizes: NDArray[np.int64] | None = None

    def one_by_one(self) -> Iterator[WebPair]:
        """The same, a pair each."""
        if self.offsets is None or self.sizes is None:
            for name, text in zip(self.names, self.texts, strict=True):
                stem = name.rpartition(".")[0]
                yield WebPair(str(self.home / f"{stem}.txt"), text, stem, self.home / name)
            return
        rows = zip(self.names, self.texts, self.offsets.tolist(), self.sizes.tolist(), strict=True)
        for name, text, offset, size in rows:
            key = _key(name)[0]
            image = TarMember(self.home, name, offset, size)
            yield WebPair(f"{self.home}:{key}", text, key, image)


def one_by_one(found: Iterable[PairColumns | WebPair]) -> Iterator[WebPair]:
    """Pairs in columns and others, a pair each."""
    for some in found:
        if isinstance(some, PairColumns):
            yield from some.one_by_one()
        else:
            yield some


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
    return one_by_one(shard_columns(shard, lost, broken))


def shard_columns(
    shard: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[PairColumns | WebPair]:
    """As `shard_pairs`, in columns where nothing is unusual: in a fraction of the time."""
    shard = shard.absolute()
    if not shard.is_file():
        raise MissingData(f"shard not found: {shard}")
    with shard.open("rb") as file:
        # Not closed but dropped, since views of it may live in an exception.
        content = _mapped(file)
    start = 0
    while (several := _plain_files(content, start)) is not None:
        start = several.end
        yield from _paired(shard, content, several, lost, broken)
    yield from _pairs(shard, content, _members(shard, content, start, broken), lost, broken)


def _mapped(file: IO[bytes]) -> Content:
    """The bytes of a file, read where they are looked at."""
    if not os.fstat(file.fileno()).st_size:  # cannot be mapped
        return b""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _pairs(
    shard: Path,
    content: Content,
    members: Iterable[TarMember],
    lost: Skips | None,
    broken: Skips | None,
) -> Iterator[WebPair]:
    """The pairs of some samples, one by one, with whatever is wrong with them."""
    for key, sample in _samples(members, broken):
        place = f"{shard}:{key}"
        text = _caption(sample, content, place, broken)
        if text is None:
            continue
        image = next(filter(None, map(sample.get, IMAGE_SUFFIXES)), None)
        if image is None:
            refuse_lost(f"{place}: a caption, but no image (.jpg, .png ...)", place, lost)
        else:
            yield WebPair(place, text, key, image)


def _members(shard: Path, content: Content, end: int, broken: Skips | None) -> Iterator[TarMember]:
    """The files of a tar from a header on; its end is looked for, since a killed download has none."""
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


class _Files(NamedTuple):
    """Files of whole samples that follow each other in a tar: plain ones with short names."""

    names: NDArray[np.uint8]  # [files, width], zeros behind each
    dots: NDArray[np.intp]  # where the first dot of each name's last part is; 100 without one
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    samples: NDArray[np.intp]  # where each sample begins, and the number of files
    end: int  # of the last, in the tar


def _plain_files(content: Content, start: int) -> _Files | None:
    """The next samples of a tar, as long as they are what shards nearly always hold.

    Those are plain files, perhaps with a broken second before each, which `tarfile` would read in
    ten times as long. The last sample is left for the next call: it may go on.
    """
    places, rows = _headers(content, start)
    if not len(places):
        return None
    sizes = _sizes(rows)
    sound = _sound(rows) & (places + sizes + _BLOCK <= len(content))
    files, extended = rows[:, _KIND] == ord("0"), rows[:, _KIND] == ord(_EXTENDED)
    sound &= files | extended
    for row in np.flatnonzero(sound & extended).tolist():
        first = int(places[row]) + _BLOCK
        sound[row] = bool(_TIMES.fullmatch(content[first : first + int(sizes[row])]))
    which = np.flatnonzero(files if sound.all() else files[: sound.argmin()])
    names = rows[which, :_LONGEST_NAME]
    names = names[:, : max(1, int(names.any(axis=0).cumsum().argmax()) + 1)]
    # A zero ends a name.
    names = np.where(np.logical_or.accumulate(names == 0, axis=1), 0, names)
    slashes = np.logical_or.accumulate((names == ord("/"))[:, ::-1], axis=1)[:, ::-1]
    points = (names == ord(".")) & ~slashes  # in the last part of the name
    dots = np.where(points.any(axis=1), points.argmax(axis=1), _LONGEST_NAME)
    keys = np.where(np.arange(names.shape[1]) < dots[:, None], names, 0)
    samples = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    if not samples.size:
        return None
    last = int(samples[-1])
    offsets, lengths = places[which] + _BLOCK, sizes[which]
    end = int(offsets[last - 1]) + _blocks(int(lengths[last - 1]))
    samples = np.concatenate([[0], samples])
    return _Files(names[:last], dots[:last], offsets[:last], lengths[:last], samples, end)


def _headers(content: Content, place: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where the next headers begin, and what they are, [n, 512].

    Each is found by the size that the one before states: behind one that is not `_sound`, or whose
    file is cut off, they are nothing.
    """
    found: list[int] = []
    add, first, last = found.append, _SIZE.start, _SIZE.stop - 1
    try:
        for _ in range(_AT_ONCE):
            size = int(content[place + first : place + last], 8)
            add(place)
            place += (size + 2 * _BLOCK - 1) & -_BLOCK
    except ValueError:  # the end, or no header
        pass
    blocks = np.frombuffer(content, np.uint8, len(content) // _BLOCK * _BLOCK).reshape(-1, _BLOCK)
    places = np.array(found, np.int64)
    inside = (places >= 0) & (places < blocks.size)
    places = places if inside.all() else places[: inside.argmin()]
    return places, blocks[places // _BLOCK]


def _sizes(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The sizes that headers state, where they are eleven octal digits."""
    digits = rows[:, _SIZE][:, :-1].astype(np.int64) - ord("0")
    sizes: NDArray[np.int64] = digits @ (8 ** np.arange(10, -1, -1))
    return sizes


def _sound(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which headers, uint8 [n, 512], have the checksum that they state, a short name, a whole size."""
    stated = rows[:, _CHECKSUM]
    digits = stated[:, :6].astype(np.int64) - ord("0")
    octal = ((digits >= 0) & (digits < 8)).all(axis=1) & (stated[:, 6:] == (0, ord(" "))).all(
        axis=1
    )
    found = digits @ (8 ** np.arange(5, -1, -1))
    total = _sums(rows) - stated.sum(axis=1, dtype=np.int64) + _BLANKS
    magic = (rows[:, _MAGIC] == np.frombuffer(b"ustar", np.uint8)).all(axis=1)
    short = (rows[:, _PREFIX] == 0) & (rows[:, :_LONGEST_NAME] == 0).any(axis=1)
    size = rows[:, _SIZE]
    whole = ((size[:, :-1] >= ord("0")) & (size[:, :-1] < ord("8"))).all(axis=1)
    ended = np.isin(size[:, -1], (0, ord(" ")))
    return octal & (found == total) & magic & short & whole & ended


def _sums(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The sums of the bytes of headers, eight bytes at a time."""
    words = rows.view(np.uint64)
    every_other = np.uint64(0x00FF00FF00FF00FF)
    pairs = (words & every_other) + ((words >> np.uint64(8)) & every_other)
    # Four numbers below 2**16 each: 64 times 2 * 255.
    four = pairs.sum(axis=1).view(np.uint16).reshape(-1, 4)
    return four.sum(axis=1, dtype=np.int64)


_IMAGE, _TEXT, _JSON, _OTHER, _ODD = range(5)  # kinds of files
_KINDS = {**dict.fromkeys(IMAGE_SUFFIXES, _IMAGE), ".txt": _TEXT, ".json": _JSON}
_LONGEST_SUFFIX = 8


def _kinds(several: _Files) -> NDArray[np.int64]:
    """What each file is by its suffix; odd is what only `_samples` understands."""
    width = several.names.shape[1]
    padded = np.pad(several.names, ((0, 0), (0, _LONGEST_NAME + _LONGEST_SUFFIX - width)))
    columns = several.dots[:, None] + np.arange(_LONGEST_SUFFIX)
    suffixes = np.take_along_axis(padded, columns, axis=1)
    codes, which = np.unique(suffixes.view(np.uint64).ravel(), return_inverse=True)
    written = codes.view(f"S{_LONGEST_SUFFIX}").tolist()
    known = [_KINDS.get(one.decode("latin-1").lower(), _OTHER) for one in written]
    kinds = np.array(known)[which]
    # A capital that is not ASCII may have a small letter that is.
    odd = (several.names >= 0x80) & (np.arange(width) >= several.dots[:, None])
    kinds[odd.any(axis=1)] = _ODD
    return kinds


def _paired(
    shard: Path, content: Content, several: _Files, lost: Skips | None, broken: Skips | None
) -> Iterator[PairColumns | WebPair]:
    """The pairs of some samples, in columns where each has one image and one caption."""
    kinds = _kinds(several)
    begin, ends = several.samples[:-1], several.samples[1:]

    def counted(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.add.reduceat(which, begin, dtype=np.int64)
        return counts

    images, texts = kinds == _IMAGE, kinds == _TEXT
    usual = (counted(images) == 1) & (counted(texts) == 1) & (counted(kinds == _ODD) == 0)
    usual &= (counted(kinds == _JSON) <= 1) & (counted(kinds == _OTHER) <= 1)
    places = np.flatnonzero(texts & np.repeat(usual, ends - begin))
    captions = _captions(content, several.offsets[places], several.sizes[places])
    usual[np.flatnonzero(usual)[[not text for text in captions]]] = False
    captions = list(filter(None, captions))
    borders = [0, *(np.flatnonzero(usual[1:] != usual[:-1]) + 1).tolist(), len(usual)]
    done = 0
    for first, last in zip(borders, borders[1:], strict=False):
        rows = slice(int(begin[first]), int(ends[last - 1]))
        if usual[first]:
            at = np.flatnonzero(images[rows]) + rows.start
            said = captions[done : done + len(at)]
            done += len(at)
            names = _decoded(several.names[at])
            yield PairColumns(shard, names, said, several.offsets[at], several.sizes[at])
        else:
            numbers = several.offsets[rows].tolist(), several.sizes[rows].tolist()
            members = map(TarMember, repeat(shard), _decoded(several.names[rows]), *numbers)
            yield from _pairs(shard, content, members, lost, broken)


def _captions(content: Content, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[str]:
    """The captions in some files, each on one line; "" where `_caption` may see a fault."""
    places = zip(offsets.tolist(), (offsets + sizes).tolist(), strict=True)
    written = [content[start:end] for start, end in places]
    joined = b"\0".join(written).decode(errors="replace")
    captions = joined.split("\0")
    if len(captions) != len(written) or "\ufffd" in joined or "\ufeff" in joined:
        captions = list(map(_readable, written))
    return on_one_line(captions)


def _readable(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    return "" if text.startswith("\ufeff") else text


def _decoded(names: NDArray[np.uint8]) -> list[str]:
    """Names, uint8 [n, width] with zeros behind each."""
    found = np.ascontiguousarray(names).view(f"S{names.shape[1]}").ravel().tolist()
    return b"\0".join(found).decode("utf-8", "surrogateescape").split("\0")


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
        key, suffix = _key(member.name)
        if key != last:
            if sample:
                yield last, sample
            last, sample = key, {}
        if sample.setdefault(suffix, member) is not member:
            refuse(DUPLICATE, f"{member} occurs twice in its sample", broken)
    if sample:
        yield last, sample


def _key(name: str) -> tuple[str, str]:
    """What the files of a sample share in their names, and the suffix in lower case."""
    key, dot, rest = name.partition(".")
    if "/" in rest:  # a dot in the name of a folder
        folder, _, name = name.rpartition("/")
        stem, dot, rest = name.partition(".")
        key = f"{folder}/{stem}"
    return key, (dot + rest).lower()


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
