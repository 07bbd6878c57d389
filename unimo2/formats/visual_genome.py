"""Visual Genome: `region_descriptions.json` (versions 1.0 and 1.2), phrases about parts of images.

The file is one list; each item is an image, `{"id": 1, "regions": [...]}` (`image_id` instead of
`id` in what the project's own description says), each region `{"region_id", "image_id", "phrase",
"x", "y", "width", "height"}`. Images lie in two folders, as their two archives unpack:
`VG_100K/<id>.jpg` and `VG_100K_2/<id>.jpg`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData, MissingData
from unimo2.formats.json_stream import json_items
from unimo2.formats.layout import VisualGenomeFiles
from unimo2.formats.parsing import (
    BROKEN_ROW,
    DUPLICATE,
    MISSING_IMAGE,
    DuplicateId,
    Skips,
    refuse,
    whole,
)

REGIONS_FILE, IMAGE_FOLDERS = VisualGenomeFiles.REGIONS, VisualGenomeFiles.IMAGES


@dataclass(frozen=True)
class Region:
    """A phrase about a rectangle of an image."""

    id: int
    phrase: str
    box: tuple[int, int, int, int]
    """x, y (of the left upper corner), width, height, in pixels."""


@dataclass(frozen=True)
class RegionImage:
    """One image with the phrases about its regions."""

    id: int
    path: Path
    """Absolute."""
    regions: tuple[Region, ...]


def read_regions(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[RegionImage]:
    """Stream the images with their phrases; the file is never held in memory.

    Args:
        folder: holds `region_descriptions.json`, `VG_100K/` and `VG_100K_2/`.
        lost: counts images that are not on disk; None makes the first one an error.
        broken: counts regions and images that cannot be used; None makes the first one an error.

    Yields:
        Images that are on disk, in the order of the file; an image without regions has none.

    Raises:
        MissingData: no file; an image is not on disk (only without `lost`).
        BadData: malformed JSON (the line is named); an image or a region without its fields, an
            empty phrase, an image id that occurs twice (only without `broken`).
    """
    path = folder / REGIONS_FILE
    seen: set[int] = set()
    for index, item in enumerate(json_items(path)):
        place = f"{path}: item {index}"
        try:
            identifier = _image_id(item, place)
            if identifier in seen:
                raise DuplicateId(f"{place}: image id {identifier} occurs twice")
            seen.add(identifier)
            regions = tuple(_regions(item, identifier, place, broken))
        except BadData as error:
            if broken is None:
                raise
            broken.add(DUPLICATE if isinstance(error, DuplicateId) else BROKEN_ROW, str(error))
            continue
        image = _find_image(folder, identifier)
        if image is not None:
            yield RegionImage(identifier, image, regions)
        elif lost is None:
            raise MissingData(
                f"{place}: image {identifier}.jpg is neither in {folder / IMAGE_FOLDERS[0]} nor "
                f"in {folder / IMAGE_FOLDERS[1]}"
            )
        else:
            lost.add(MISSING_IMAGE, f"{identifier}.jpg ({place})")


def _image_id(item: Any, place: str) -> int:
    if not isinstance(item, dict):
        raise BadData(f"{place}: expected an object, found {type(item).__name__}")
    for field in ("id", "image_id"):
        if field in item:
            return _integer(item, field, place)
    raise BadData(f"{place}: field 'id' is missing")


def _regions(item: dict[str, Any], image_id: int, place: str, broken: Skips | None) -> list[Region]:
    entries = item.get("regions")
    if not isinstance(entries, list):
        raise BadData(f"{place}: expected a list 'regions'")
    found: list[Region] = []
    for number, entry in enumerate(entries):
        try:
            found.append(_region(entry, image_id, f"{place}.regions[{number}]"))
        except BadData as error:
            refuse(BROKEN_ROW, str(error), broken)
    return found


def _region(entry: Any, image_id: int, place: str) -> Region:
    if not isinstance(entry, dict):
        raise BadData(f"{place}: expected an object, found {type(entry).__name__}")
    owner = _integer(entry, "image_id", place) if "image_id" in entry else image_id
    if owner != image_id:
        raise BadData(f"{place}: image_id {owner} inside the image with id {image_id}")
    phrase = entry.get("phrase")
    if not isinstance(phrase, str) or not phrase.strip():
        raise BadData(f"{place}: field 'phrase' is missing or empty")
    x, y, width, height = (_integer(entry, name, place) for name in ("x", "y", "width", "height"))
    # Phrases were typed by hand and some hold line ends.
    text = whole(" ".join(phrase.split()), f"{place}: field 'phrase'")
    return Region(_integer(entry, "region_id", place), text, (x, y, width, height))


def _integer(entry: dict[str, Any], field: str, place: str) -> int:
    value = entry.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadData(f"{place}: field {field!r} must be a whole number, found {value!r}")
    return value


def _find_image(folder: Path, identifier: int) -> Path | None:
    for name in IMAGE_FOLDERS:
        path = folder / name / f"{identifier}.jpg"
        if os.path.isfile(path):
            return Path(os.path.abspath(path))
    return None
