"""Visual Genome: `region_descriptions.json` (versions 1.0 and 1.2), phrases about parts of images.

The file is one list; each item is an image, `{"id": 1, "regions": [...]}` (`image_id` instead of
`id` in what the project's own description says), each region `{"region_id", "image_id", "phrase",
"x", "y", "width", "height"}`. Images lie in two folders, as their two archives unpack:
`VG_100K/<id>.jpg` and `VG_100K_2/<id>.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from unimo2.errors import BadData
from unimo2.formats.json_stream import json_items, json_pieces, piece_items
from unimo2.formats.layout import VisualGenomeFiles
from unimo2.formats.parsing import (
    DuplicateId,
    Listings,
    Skips,
    integer,
    items,
    optional_integer,
    parsed,
    reason_for,
    refuse,
    refuse_lost,
    text,
)

REGIONS_FILE, IMAGE_FOLDERS = VisualGenomeFiles.REGIONS, VisualGenomeFiles.IMAGES


class Region(NamedTuple):
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
    """Stream the images on disk with their phrases, in the order of the file.

    The file is never held in memory; an image without regions has none.

    Args:
        folder: Holds `region_descriptions.json`, `VG_100K/` and `VG_100K_2/`.
        lost: Counts images that are not on disk; see `Skips`.
        broken: Counts regions and images that cannot be used: without their fields, with an empty
            phrase or an image id that occurs twice.
    """
    path = folder / REGIONS_FILE
    found = _contents(path, enumerate(json_items(path)), set(), broken, _regions)
    for identifier, image, regions in _on_disk(folder, found, lost):
        yield RegionImage(identifier, image, regions)


class PhrasedImage(NamedTuple):
    """One image with the phrases about its regions."""

    id: int
    path: Path
    """Absolute."""
    phrases: tuple[str, ...]


def read_phrases(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[PhrasedImage]:
    """As `read_regions`, with only the phrases of the regions, and faster."""
    for found in _on_disk(folder, _phrases(folder / REGIONS_FILE, broken), lost):
        yield PhrasedImage(*found)


Found = TypeVar("Found")


def _on_disk(
    folder: Path, found: Iterable[tuple[int, int, Found]], lost: Skips | None
) -> Iterator[tuple[int, Path, Found]]:
    """Of (number of the item, image id, content) the images on disk: (image id, path, content)."""
    listings = Listings()
    for index, identifier, content in found:
        image = listings.first_file([f"{folder}/{name}/{identifier}.jpg" for name in IMAGE_FOLDERS])
        if image is not None:
            yield identifier, Path(image), content
            continue
        place = f"{folder / REGIONS_FILE}: item {index}"
        first, second = (folder / name for name in IMAGE_FOLDERS)
        fault = f"{place}: image {identifier}.jpg is neither in {first} nor in {second}"
        refuse_lost(fault, f"{identifier}.jpg ({place})", lost)


def _contents(
    path: Path,
    numbered: Iterable[tuple[int, Any]],
    seen: set[int],
    broken: Skips | None,
    read: Callable[[dict[str, Any], int, str, Skips | None], Iterable[Found]],
) -> Iterator[tuple[int, int, tuple[Found, ...]]]:
    """Number, image id and what is read of the items that can be used and were not `seen` before."""
    for index, item in numbered:
        place = f"{path}: item {index}"
        try:
            identifier = _image_id(item, place)
            if identifier in seen:
                raise DuplicateId(f"{place}: image id {identifier} occurs twice")
            seen.add(identifier)
            content = tuple(read(item, identifier, place, broken))
        except BadData as error:
            refuse(reason_for(error), str(error), broken)
            continue
        yield index, identifier, content


# Between two items: no region has a field of these names.
_BETWEEN = re.compile(rb'\}\s*,\s*\{(?=\s*"(?:id|regions)")')


def _phrases(path: Path, broken: Skips | None) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The phrases of the whole file, which is parsed in pieces; after an odd one, item by item."""
    seen: set[int] = set()
    index = 0
    for piece in json_pieces(path, _BETWEEN):
        entries = None if piece is None else piece_items(piece)
        numbered = (
            islice(enumerate(json_items(path)), index, None)  # and the end of the reading
            if entries is None
            else enumerate(entries, index)
        )
        yield from _contents(path, numbered, seen, broken, _phrases_of)
        if entries is None:
            return
        index += len(entries)


@dataclass(frozen=True)
class Origin:
    """The photo of another collection that an image copies."""

    id: int
    coco_id: int | None
    flickr_id: int | None


def read_origins(folder: Path) -> Iterator[Origin]:
    """Stream `image_data.json`, which says of which photo of COCO and Flickr each image is a copy.

    Raises:
        MissingData: The file does not exist.
        BadData: It is malformed.
    """
    path = folder / VisualGenomeFiles.IMAGE_DATA
    for index, item in enumerate(json_items(path)):
        place = f"{path}: item {index}"
        others = (optional_integer(item, name, place) for name in ("coco_id", "flickr_id"))
        yield Origin(_image_id(item, place), *others)


def _image_id(item: Any, place: str) -> int:
    has_other_name = isinstance(item, dict) and "id" not in item and "image_id" in item
    return integer(item, "image_id" if has_other_name else "id", place)


def _regions(
    item: dict[str, Any], image_id: int, place: str, broken: Skips | None
) -> Iterable[Region]:
    entries = items(item, "regions", place)
    if (sound := _sound(image_id, entries)) is not None:
        return map(Region, *sound)
    records = ((entry, f"{place}.regions[{number}]") for number, entry in enumerate(entries))
    return parsed(records, partial(_region, image_id), broken)


def _phrases_of(
    item: dict[str, Any], image_id: int, place: str, broken: Skips | None
) -> Iterable[str]:
    if (sound := _sound(image_id, items(item, "regions", place))) is not None:
        return sound.phrases
    return (region.phrase for region in _regions(item, image_id, place, broken))


def _region(image_id: int, entry: Any, place: str) -> Region:
    # Phrases were typed by hand and some hold line ends.
    phrase = " ".join(text(entry, "phrase", place).split())
    if not phrase:
        raise BadData(f"{place}: field 'phrase' is empty")
    if "image_id" in entry and (owner := integer(entry, "image_id", place)) != image_id:
        raise BadData(f"{place}: image_id {owner} inside the image with id {image_id}")
    x, y, width, height = (integer(entry, name, place) for name in ("x", "y", "width", "height"))
    return Region(integer(entry, "region_id", place), phrase, (x, y, width, height))


_fields = itemgetter("phrase", "region_id", "image_id", "x", "y", "width", "height")


class _Sound(NamedTuple):
    """Fields of `Region`, of every region of an image."""

    ids: Sequence[int]
    phrases: list[str]
    boxes: Iterable[tuple[int, int, int, int]]


def _sound(image_id: int, entries: list[Any]) -> _Sound | None:
    """What `_region` makes of every entry of an image, in a third of the time: there are millions.

    None where not all of them are as they nearly always are: `_region` names what differs.
    """
    try:
        phrases, identifiers, owners, *box = zip(*map(_fields, entries), strict=True)
    except (KeyError, TypeError, ValueError):
        return None
    words = [" ".join(phrase.split()) for phrase in phrases if type(phrase) is str]
    numbers = {*map(type, chain(identifiers, owners, *box))}
    if len(words) != len(phrases) or not all(words) or numbers != {int} or {*owners} != {image_id}:
        return None
    if not "".join(words).isascii():  # may hold halves of surrogate pairs
        return None
    return _Sound(identifiers, words, zip(*box, strict=True))
