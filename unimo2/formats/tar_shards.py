"""WebDataset shards: tar files in which the files of one sample follow each other.

A sample is what shares a name up to the first dot: `000000007.jpg`, `000000007.txt` (the caption) or
`000000007.json` (with the field "caption"), as img2dataset writes them with `--output_format webdataset`.
Only the headers and the captions are read here; an image is a place in its tar file.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from unimo2.errors import BadData, MissingData
from unimo2.formats.flat import IMAGE_SUFFIXES
from unimo2.formats.rows import BROKEN_ROW, MISSING_IMAGE, Skips, refuse


@dataclass(frozen=True)
class ShardImage:
    """One image with its caption.

    Attributes:
        path: of the tar file, absolute.
        name: of the sample.
        text: its caption.
        offset: first byte of the image in the tar file.
        size: bytes of the image.
    """

    path: Path
    name: str
    text: str
    offset: int
    size: int


def shards(folder: Path) -> list[Path]:
    """The tar files of a folder, by name; none if there is no such folder."""
    return sorted(folder.glob("*.tar")) if folder.is_dir() else []


def read_shards(folder: Path, broken: Skips | None = None) -> Iterator[ShardImage]:
    """Stream the samples of all shards of a folder.

    Args:
        folder: holds `*.tar`, not compressed.
        broken: counts samples without image or caption; None makes the first one an error.

    Yields:
        Samples, shard by shard in the order of their names.

    Raises:
        MissingData: there is no shard; a sample has no image (only without `broken`).
        BadData: a shard is damaged; a sample has no caption (only without `broken`).
    """
    found = shards(folder)
    if not found:
        raise MissingData(f"no shard (*.tar) in {folder}")
    for path in found:
        try:
            with tarfile.open(path, "r:") as archive:
                yield from _samples(archive, path.absolute(), broken)
        except tarfile.TarError as error:
            raise BadData(f"{path} is no whole tar file: {error}") from error


def _samples(archive: tarfile.TarFile, path: Path, broken: Skips | None) -> Iterator[ShardImage]:
    members = (member for member in archive if member.isfile())
    for name, group in groupby(members, key=lambda member: member.name.split(".", 1)[0]):
        text, image = None, None
        for member in group:
            suffix = Path(member.name).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                image = member
            elif suffix in (".txt", ".json"):
                text = _caption(archive, member) or text
        place = f"{path}: {name}"
        if image is None:
            if broken is None:
                raise MissingData(f"{place}: a sample without an image")
            broken.add(MISSING_IMAGE, place)
        elif text is None:
            refuse(BROKEN_ROW, f"{place}: no caption", broken)
        else:
            yield ShardImage(path, name, text, image.offset_data, image.size)


def _caption(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    """What a sample's text or JSON file says; None if it says nothing that can be read."""
    stream = archive.extractfile(member)
    content = b"" if stream is None else stream.read()
    try:
        text = content.decode("utf-8")
        fields = json.loads(text) if member.name.lower().endswith(".json") else {"caption": text}
    except ValueError:  # undecodable bytes, or malformed JSON
        return None
    caption = fields.get("caption") if isinstance(fields, dict) else None
    return " ".join(caption.split()) or None if isinstance(caption, str) else None
