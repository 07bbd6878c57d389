"""Karpathy's JSON of captioned images: `dataset_flickr30k.json`, `dataset_flickr8k.json`, `dataset_coco.json`.

The file is one object, `{"dataset": name, "images": [...]}`; each image has `imgid`, `filename`,
`split`, `sentences` (each with `sentid`, `imgid`, `raw`, `tokens`) and, for COCO only, `filepath`
(the folder, "train2014" or "val2014") and `cocoid`. The field `sentids` repeats the sentences' ids
and is not read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from unimo2.errors import BadData, MissingData, UsageError
from unimo2.formats.parsing import (
    DuplicateId,
    Skips,
    integer,
    items,
    read_json,
    reason_for,
    text,
    whole,
)

SPLITS = ("train", "restval", "val", "test")
"""Karpathy's splits; "restval" is what COCO's val2014 has beyond his val and test images."""


@dataclass(frozen=True)
class Caption:
    """One human sentence about one image."""

    id: int
    text: str
    """The sentence as written (`raw`), without white space around it."""
    tokens: tuple[str, ...]
    """Karpathy's own lower-case words, without punctuation."""


@dataclass(frozen=True)
class KarpathyImage:
    """One image with all its captions."""

    id: int
    path: Path
    """Absolute."""
    filename: str
    split: str
    captions: tuple[Caption, ...]
    cocoid: int | None


def read_karpathy(
    json_path: str | Path, image_root: str | Path, splits: Collection[str] | None = None
) -> list[KarpathyImage]:
    """Read the captions of some splits, and make sure that the images are on disk.

    Args:
        json_path: The JSON file.
        image_root: Folder of the images. Flickr's lie in it directly, COCO's in `filepath` below.
        splits: Names from `SPLITS` to return; all if None.

    Returns:
        The images of those splits, in the order of the file.

    Raises:
        MissingData: The JSON file, or an image of the splits asked for, is not there.
        BadData: The JSON is malformed (the line is named), a field is missing or of the wrong type, a
            split is unknown, an id or file name occurs twice, or no image is left.
        UsageError: `splits` names a split that does not exist.
    """
    images = parse_karpathy(json_path, image_root, splits)
    _require_files(images, Path(json_path))
    return images


def parse_karpathy(
    json_path: str | Path, image_root: str | Path, splits: Collection[str] | None = None
) -> list[KarpathyImage]:
    """Read only the captions: as `read_karpathy`, but the image files need not exist."""
    images, counts = select_karpathy(json_path, image_root, splits)
    if not images:
        held = ", ".join(f"{split} {counts[split]:,}" for split in SPLITS if counts[split])
        wanted = " or ".join(_known_splits(splits))
        raise BadData(f"{json_path}: no image of split {wanted}; the file holds {held or 'none'}")
    return images


def select_karpathy(
    json_path: str | Path, image_root: str | Path, splits: Collection[str] | None = None
) -> tuple[list[KarpathyImage], Counter[str]]:
    """Read some splits as `parse_karpathy` does, and count the images of all splits.

    Only what is asked for is validated (there may be no image of it): a fault elsewhere in the file
    is for 'unimo2 data verify' (`survey_karpathy`).
    """
    json_path, image_root = Path(json_path), Path(os.path.abspath(image_root))
    wanted = _known_splits(splits)
    others = frozenset(SPLITS) - frozenset(wanted)
    seen = _Seen()
    images: list[KarpathyImage] = []
    counts: Counter[str] = Counter()
    for index, record in enumerate(_load(json_path)["images"]):
        split = record.get("split") if isinstance(record, dict) else None
        if not isinstance(split, str) or split not in others:
            place = f"{json_path}: images[{index}]"
            images.append(_parse_image(record, image_root, index, place, seen))
            split = images[-1].split
        counts[split] += 1
    return images, counts


def survey_karpathy(
    json_path: str | Path, image_root: str | Path, broken: Skips
) -> tuple[str | None, list[KarpathyImage]]:
    """Read what can be read, for a report on the file and not for use.

    Args:
        json_path: The JSON file.
        image_root: As for `read_karpathy`; the image files need not exist.
        broken: Counts the images that cannot be used, those with an id that occurs twice apart.

    Returns:
        What the file calls itself ("flickr30k", "coco"; None if it does not say), and the images
        that are whole, in the order of the file.
    """
    json_path, image_root = Path(json_path), Path(os.path.abspath(image_root))
    content = _load(json_path)
    seen = _Seen()
    images: list[KarpathyImage] = []
    for index, record in enumerate(content["images"]):
        place = f"{json_path}: images[{index}]"
        try:
            images.append(_parse_image(record, image_root, index, place, seen))
        except BadData as error:
            broken.add(reason_for(error), str(error))
    name = content.get("dataset")
    return name if isinstance(name, str) else None, images


def _known_splits(splits: Collection[str] | None) -> tuple[str, ...]:
    if splits is None:
        return SPLITS
    names = (splits,) if isinstance(splits, str) else tuple(splits)
    for name in names:
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}; Karpathy's are {', '.join(SPLITS)}")
    return tuple(split for split in SPLITS if split in names)


def _load(json_path: Path) -> dict[str, Any]:
    """The file's object, which has a list under "images"."""
    content = read_json(json_path, "captions")
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise BadData(
            f"{json_path}: expected an object with a list 'images', as in Karpathy's data sets"
        )
    return content


class _Seen:
    """Refuses an id or a file name that comes twice in one file."""

    def __init__(self) -> None:
        self._first: dict[str, dict[object, int]] = {}

    def add(self, field: str, value: object, index: int, place: str) -> None:
        """Note the value that image number `index` has; an error names both places."""
        values = self._first.setdefault(field, {})
        if value in values:
            first = values[value]
            raise DuplicateId(f"{place}: {field} {value!r} occurs twice, first in images[{first}]")
        values[value] = index


def _parse_image(
    record: Any, image_root: Path, index: int, place: str, seen: _Seen
) -> KarpathyImage:
    identifier = integer(record, "imgid", place)
    seen.add("imgid", identifier, index, place)
    filename = _file_name(record, "filename", place)
    folder = _file_name(record, "filepath", place) if "filepath" in record else ""
    seen.add("filename", f"{folder}/{filename}" if folder else filename, index, place)
    cocoid = integer(record, "cocoid", place) if record.get("cocoid") is not None else None
    if cocoid is not None:
        seen.add("cocoid", cocoid, index, place)
    split = text(record, "split", place)
    if split not in SPLITS:
        raise BadData(f"{place}: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    sentences = items(record, "sentences", place)
    if not sentences:
        raise BadData(f"{place}: no sentences")
    captions = tuple(
        _parse_caption(sentence, identifier, index, f"{place}.sentences[{number}]", seen)
        for number, sentence in enumerate(sentences)
    )
    return KarpathyImage(
        id=identifier,
        path=image_root / folder / filename,
        filename=filename,
        split=split,
        captions=captions,
        cocoid=cocoid,
    )


def _parse_caption(sentence: Any, image_id: int, index: int, place: str, seen: _Seen) -> Caption:
    identifier = integer(sentence, "sentid", place)
    seen.add("sentid", identifier, index, place)
    owner = integer(sentence, "imgid", place)
    if owner != image_id:
        raise BadData(f"{place}: imgid {owner} inside the image with imgid {image_id}")
    tokens = items(sentence, "tokens", place)
    try:
        whole(" ".join(tokens), f"{place}: a token")
    except TypeError:
        raise BadData(f"{place}: 'tokens' must be a list of strings") from None
    written = text(sentence, "raw", place).strip()
    return Caption(id=identifier, text=written, tokens=tuple(tokens))


def _file_name(record: Any, field: str, place: str) -> str:
    """A relative path that stays below the image folder: the file may come from anywhere."""
    name = text(record, field, place)
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise BadData(f"{place}: {field} {name!r} is not a plain relative path")
    return name


def _require_files(images: Sequence[KarpathyImage], json_path: Path) -> None:
    """One directory listing a folder: a stat for each of 123,287 files takes far longer."""
    present: dict[Path, set[str]] = {}
    missing = []
    for image in images:
        folder = image.path.parent
        if folder not in present:
            present[folder] = set(os.listdir(folder)) if folder.is_dir() else set()
        if image.path.name not in present[folder]:
            missing.append(image.path)
    if missing:
        raise MissingData(
            f"{len(missing):,} of {len(images):,} images that {json_path} names are not on disk, "
            f"first {missing[0]}"
        )
