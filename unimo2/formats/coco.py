"""COCO captions: the annotation files and the caption server's result files.

`captions_*.json`: {"images": [{"id", "file_name", ...}], "annotations": [{"id", "image_id",
"caption"}]}; results: [{"image_id", "caption"}].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData
from unimo2.formats.parsing import (
    first_few,
    integer,
    items,
    optional_text,
    read_json,
    read_predictions,
    refuse_repeated,
    text,
)


@dataclass(frozen=True)
class CaptionedImage:
    """One image and what people wrote about it, as written."""

    id: int
    file_name: str | None
    captions: tuple[str, ...]


def read_captions(path: Path) -> list[CaptionedImage]:
    """Read an annotation file, for example `captions_val2014.json`.

    Returns:
        The images in the order of the list "images", the captions of each in the order of the file.

    Raises:
        MissingData: The file does not exist.
        BadData: Malformed JSON (the line is named), a field is missing or of the wrong type, an id
            occurs twice, a caption of an image that is not listed, an image without caption.
    """
    content = read_json(path, "COCO captions")
    if not isinstance(content, dict):
        raise BadData(f"{path}: expected an object with 'images' and 'annotations', as COCO has it")
    names: dict[int, str | None] = {}
    images = items(content, "images", str(path))
    for index, image in enumerate(images):
        place = f"{path}: images[{index}]"
        names[integer(image, "id", place)] = optional_text(image, "file_name", place)
    if len(names) != len(images):
        refuse_repeated((image["id"] for image in images), "image id", path)
    captions = _captions(content, path)
    unlisted = [identifier for identifier in captions if identifier not in names]
    if unlisted:
        raise BadData(f"{path}: captions of images that are not listed: {first_few(unlisted)}")
    bare = [identifier for identifier in names if identifier not in captions]
    if bare or not names:
        raise BadData(f"{path}: images without captions: {first_few(bare) or 'no image at all'}")
    return [CaptionedImage(key, name, tuple(captions[key])) for key, name in names.items()]


def _captions(content: Any, path: Path) -> dict[int, list[str]]:
    """The captions by image."""
    captions: dict[int, list[str]] = {}
    identifiers = []
    for index, record in enumerate(items(content, "annotations", str(path))):
        place = f"{path}: annotations[{index}]"
        identifiers.append(integer(record, "id", place))
        owner = integer(record, "image_id", place)
        captions.setdefault(owner, []).append(text(record, "caption", place))
    refuse_repeated(identifiers, "annotation id", path)
    return captions


def read_results(path: Path) -> dict[int, str]:
    """Predicted captions by image id, in the caption server's format."""
    return read_predictions(path, "COCO results", "image_id", "caption")
