"""Names of the objects in images: a plain JSON of tags, or COCO's `instances_*.json`.

Tags are {"<image id or file name>": ["dog", "frisbee"], ...}. Of COCO's instances an image's tags are
the names of its categories, each once, the one with most objects first.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.json_stream import json_items_under
from unimo2.formats.parsing import (
    first_few,
    integer,
    read_json,
    refuse_repeated,
    require_file,
    text,
    whole,
)

TAGS, INSTANCES = "tags", "COCO instances"
_WHAT = "object tags"
# What an instances file of COCO begins with; no image is called so.
_INSTANCES = re.compile(rb'\s*\{\s*"(info|images|licenses|annotations|categories)"\s*:')
_BEGINNING = 4096  # bytes
_CHUNK = 1 << 20
_LONGEST_ID = 18  # digits; longer ones are file names


@dataclass(frozen=True)
class ObjectTags:
    """Object tags by image, from a file."""

    file: str  # its name
    sha256: str  # of its content
    source: str  # "tags" or "COCO instances"
    of_id: Mapping[int, tuple[str, ...]]  # tags by image id
    of_name: Mapping[str, tuple[str, ...]]  # tags by file name

    def of(self, image_id: int | None, file_name: str) -> tuple[str, ...]:
        """The tags of an image (COCO's id where it is known, and file name); none where the file has none."""
        name = PurePosixPath(file_name).name
        if image_id is not None and image_id in self.of_id:
            return self.of_id[image_id]
        return self.of_name.get(name, ())

    def of_images(self, images: Sequence[tuple[int | None, str]]) -> tuple[tuple[str, ...], ...]:
        """The tags of several images, given as for `of`; BadData if no image has any."""
        found = tuple(self.of(*image) for image in images)
        if not any(found):
            key, name = images[0]
            raise BadData(
                f"{self.file}: no tags for any of the {len(images):,} images; its keys must be image "
                f"ids or file names of them, as {json.dumps(str(name if key is None else key))}"
            )
        return found

    def describe(self) -> dict[str, Any]:
        """File, content and how many images have tags, fit for JSON."""
        tagged = sum(1 for part in (self.of_id, self.of_name) for tags in part.values() if tags)
        return {
            "file": self.file,
            "sha256": self.sha256,
            "source": self.source,
            "images_with_tags": tagged,
        }


def read_object_tags(path: Path) -> ObjectTags:
    """Read a JSON of tags or an `instances_*.json`; an unchanged file is not read again.

    Raises:
        MissingData: The file does not exist.
        BadData: Malformed JSON, neither of the two forms, a tag that is not text or blank, an image
            that comes twice, or no tags at all.
    """
    require_file(path, _WHAT)
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> ObjectTags:
    """`read_object_tags` of a file that last changed then."""
    with path.open("rb") as stream:
        instances = _INSTANCES.match(stream.read(_BEGINNING)) is not None
        stream.seek(0)
        digest = sha256()
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    of_name: dict[str, tuple[str, ...]] = {}
    if instances:
        of_id = _of_instances(path)
    else:
        of_id, of_name = _of_tags(path)
    if not any((*of_id.values(), *of_name.values())):
        raise BadData(f"{path}: no image has a tag")
    source = INSTANCES if instances else TAGS
    return ObjectTags(path.name, digest.hexdigest(), source, of_id, of_name)


def _of_tags(path: Path) -> tuple[dict[int, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """The tags of the plain form, by image id and by file name."""
    # Pairs, because a dictionary would silently keep the last of two keys alike.
    content = read_json(path, _WHAT, list)
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise BadData(
            f'{path}: expected {{"<image id or file name>": ["dog", "frisbee"], ...}}, or an '
            "instances_*.json of COCO"
        )
    of_id: dict[int, tuple[str, ...]] = {}
    of_name: dict[str, tuple[str, ...]] = {}
    refuse_repeated((_key(name) for name, _ in content), "image", path)
    for name, tags in content:
        place, key = f"{path}: image {name!r}", _key(whole(name, f"{path}: the name of an image"))
        if isinstance(key, int):
            of_id[key] = _names(tags, place)
        else:
            of_name[key] = _names(tags, place)
    return of_id, of_name


def _key(name: str) -> int | str:
    """An image id, or a file name without its folders."""
    if name.isascii() and name.isdigit() and len(name) <= _LONGEST_ID:
        return int(name)
    return PurePosixPath(name).name


def _names(tags: Any, place: str) -> tuple[str, ...]:
    """An image's tags without white space around them."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise BadData(f'{place}: expected a list of names, as ["dog", "frisbee"]; [] for none')
    return tuple(whole(tag.strip(), f"{place}: a tag") for tag in tags)


def _of_instances(path: Path) -> dict[int, tuple[str, ...]]:
    """The categories of each image that has an object."""
    names: dict[int, str] = {}
    for index, record in enumerate(json_items_under(path, "categories")):
        place = f"{path}: categories[{index}]"
        number = integer(record, "id", place)
        if number in names:
            raise BadData(f"{place}: category id {number} occurs twice")
        names[number] = text(record, "name", place)
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for index, record in enumerate(json_items_under(path, "annotations")):
        place = f"{path}: annotations[{index}]"
        category = integer(record, "category_id", place)
        if category not in names:
            known = first_few(sorted(names))
            raise BadData(f"{place}: category {category} is not listed; known are {known}")
        counts[integer(record, "image_id", place)][category] += 1
    # Equally frequent ones stand in the order of the file.
    return {
        image: tuple(names[category] for category, _ in found.most_common())
        for image, found in counts.items()
    }
