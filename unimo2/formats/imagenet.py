"""ImageNet classes and the folders of its images.

`LOC_synset_mapping.txt` has one class a line, "n01440764 tench, Tinca tinca", in the order of the
class numbers; images lie in `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`. As distributed, val is
flat and `LOC_val_solution.csv` names the class of each image.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unimo2.errors import BadData, MissingData
from unimo2.formats.fields import first_few, read_text, refuse_repeated

MAPPING = "LOC_synset_mapping.txt"
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
_WNID = re.compile(r"n\d+")


@dataclass(frozen=True)
class Synset:
    """One class."""

    wnid: str
    names: tuple[str, ...]
    """Synonyms, the usual one first."""


@dataclass(frozen=True)
class LabelledImage:
    """One image and its class."""

    name: str
    """The file's name without folder and suffix, for example "ILSVRC2012_val_00000001"."""
    wnid: str
    path: Path | None
    """None where the labels come from `LOC_val_solution.csv`."""


def read_synsets(path: Path) -> list[Synset]:
    """Read the classes.

    Args:
        path: `LOC_synset_mapping.txt`.

    Returns:
        The classes in the order of their numbers.

    Raises:
        MissingData: there is no such file.
        BadData: a line that is no synset id with names, or an id that occurs twice.
    """
    synsets = []
    for number, line in enumerate(read_text(path, "synset mapping").splitlines(), start=1):
        if not line.strip():
            continue
        wnid, _, names = line.strip().partition(" ")
        if not _WNID.fullmatch(wnid) or not names.strip():
            raise BadData(f"{path}: line {number}: expected a synset id and its names: {line!r}")
        synsets.append(Synset(wnid, tuple(name.strip() for name in names.split(","))))
    if not synsets:
        raise BadData(f"{path}: no synsets")
    refuse_repeated((synset.wnid for synset in synsets), "synset id", path)
    return synsets


def find_mapping(place: Path) -> Path | None:
    """The synset mapping that lies with some images.

    Args:
        place: folder of the images, or a file of labels.

    Returns:
        `LOC_synset_mapping.txt` in that folder or up to three above it (as distributed, images lie
        in `ILSVRC/Data/CLS-LOC/val`); None without one.
    """
    folder = place.resolve()
    for candidate in (folder, *list(folder.parents)[:4]):
        if (candidate / MAPPING).is_file():
            return candidate / MAPPING
    return None


def read_labels(place: Path) -> list[LabelledImage]:
    """The images of a split and their classes.

    Args:
        place: a folder `<wnid>/*.JPEG`, or a file as `LOC_val_solution.csv`.

    Returns:
        The images, of a folder in the order of their classes and names.

    Raises:
        MissingData: neither is there.
        BadData: no images, a class that is no synset id, a name that occurs twice.
    """
    if place.is_dir():
        images = list(_from_folders(place))
    elif place.is_file():
        images = list(_from_solution(place))
    else:
        raise MissingData(f"ImageNet labels not found: {place} (a folder <wnid>/*.JPEG or a csv)")
    if not images:
        raise BadData(f"{place}: no images in folders named by synset, <wnid>/*.JPEG")
    refuse_repeated((image.name for image in images), "image name", place)
    return images


def read_predictions(path: Path, known: Collection[str]) -> dict[str, str]:
    """Read somebody's classes: a csv file with the header `image,prediction`.

    Args:
        path: the file; images are named with or without folder and suffix.
        known: the synset ids there are.

    Returns:
        The predicted synset by image name, as in `LabelledImage.name`.

    Raises:
        MissingData: there is no such file.
        BadData: another header, a broken row, an unknown synset, an image that occurs twice.
    """
    pairs = []
    for row, place in _csv(path, "ImageNet predictions", ("image", "prediction")):
        image, wnid = row
        if wnid not in known:
            raise BadData(f"{place}: unknown class {wnid!r}; expected a synset id, as n01440764")
        pairs.append((_name(image), wnid))
    refuse_repeated((name for name, _ in pairs), "image", path)
    return dict(pairs)


def _from_folders(folder: Path) -> Iterator[LabelledImage]:
    odd = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        if not _WNID.fullmatch(entry.name):
            odd.append(entry.name)
            continue
        for name in sorted(os.listdir(entry.path)):
            if name.lower().endswith(IMAGE_SUFFIXES):
                yield LabelledImage(_name(name), entry.name, Path(entry.path, name))
    if odd:
        raise BadData(f"{folder}: folders that are no synset ids: {first_few(odd)}")


def _from_solution(path: Path) -> Iterator[LabelledImage]:
    for row, place in _csv(path, "ImageNet labels", ("ImageId", "PredictionString")):
        classes = {word for word in row[1].split() if _WNID.fullmatch(word)}
        if len(classes) != 1:
            raise BadData(f"{place}: expected the boxes of one class: {row[1]!r}")
        yield LabelledImage(_name(row[0]), classes.pop(), None)


def _csv(path: Path, what: str, header: tuple[str, str]) -> Iterator[tuple[list[str], str]]:
    """The rows below the header, each with its place."""
    reader = csv.reader(io.StringIO(read_text(path, what), newline=""), strict=True)
    try:
        first = next(reader, [])
        if tuple(cell.strip() for cell in first) != header:
            raise BadData(f"{path}: line 1: expected the header {','.join(header)}, found {first}")
        for row in reader:
            if not row:
                continue
            place = f"{path}: line {reader.line_num}"
            if len(row) != len(header):
                raise BadData(f"{place}: expected {len(header)} columns, found {len(row)}")
            yield [cell.strip() for cell in row], place
    except csv.Error as error:
        raise BadData(f"{path}: line {reader.line_num}: malformed csv: {error}") from None


def _name(image: str) -> str:
    """A file's name without folder and image suffix."""
    name = PurePosixPath(image.replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix}".lower() in IMAGE_SUFFIXES else name
