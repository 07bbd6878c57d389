"""Images in one folder a class, named by WordNet id, as the whole of ImageNet (21k) unpacks.

Names come from `words.txt` (`n01440764<TAB>tench, Tinca tinca`) or from `LOC_synset_mapping.txt`
(`n01440764 tench, Tinca tinca`), both of which ImageNet distributes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unimo2.errors import BadData, MissingData
from unimo2.formats.rows import Skips, numbered_lines, refuse

NAME_FILES = ("words.txt", "LOC_synset_mapping.txt")
SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
NOT_AN_IMAGE = "file that is no image"
UNNAMED = "class without a name"

_WNID = re.compile(r"n\d{8}")
_NAME_ROW = re.compile(r"(n\d{8})[\t ]\s*(\S.*)")


@dataclass(frozen=True)
class ClassImage:
    """One image and the class whose folder it lies in."""

    path: Path
    """Absolute."""
    wnid: str
    names: tuple[str, ...]
    """All names of the class, the first one being the usual."""


def synset_names(folder: Path) -> dict[str, tuple[str, ...]]:
    """What the WordNet ids mean: `{"n01440764": ("tench", "Tinca tinca")}`.

    Args:
        folder: holds one of `NAME_FILES`; the first that is there is read.

    Raises:
        MissingData: neither is there.
        BadData: a row is not an id and names, or an id occurs twice (the line is named).
    """
    path = next((folder / name for name in NAME_FILES if (folder / name).is_file()), None)
    if path is None:
        raise MissingData(f"class names not found: {' or '.join(NAME_FILES)} in {folder}")
    names: dict[str, tuple[str, ...]] = {}
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        row = _NAME_ROW.fullmatch(line.strip())
        if row is None:
            raise BadData(f"{path}:{number}: expected a WordNet id and names, found {line!r}")
        if row[1] in names:
            raise BadData(f"{path}:{number}: {row[1]} occurs twice")
        names[row[1]] = tuple(name.strip() for name in row[2].split(",") if name.strip())
    return names


def synset_images(folder: Path, broken: Skips | None = None) -> Iterator[ClassImage]:
    """Stream the images of a folder of classes.

    Args:
        folder: holds `<wnid>/*.JPEG` and one of `NAME_FILES`.
        broken: counts files that are no images and classes that have no name; None makes the
            first one an error.

    Yields:
        Images, class by class and file by file in the order of their names.

    Raises:
        MissingData: no folder, no names, or no folder of a class.
        BadData: a class without a name, a file without an image's suffix (only without `broken`).
    """
    names = synset_names(folder)
    with os.scandir(folder) as entries:
        classes = sorted(
            entry.name for entry in entries if _WNID.fullmatch(entry.name) and entry.is_dir()
        )
    if not classes:
        raise MissingData(f"no class folder (n01440764 ...) in {folder}")
    for wnid in classes:
        if wnid not in names:
            fault = f"{folder / wnid} (the list of names does not know it)"
            refuse(UNNAMED, fault, broken)
            continue
        for name in sorted(os.listdir(folder / wnid)):
            path = folder / wnid / name
            if path.suffix.lower() in SUFFIXES:
                yield ClassImage(Path(os.path.abspath(path)), wnid, names[wnid])
            else:
                refuse(NOT_AN_IMAGE, str(path), broken)
