"""ImageNet classes and the folders of its images.

`LOC_synset_mapping.txt` has one class per line, "n01440764 tench, Tinca tinca", in the order of the
class numbers; images lie in `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`. As distributed, val is
flat and `LOC_val_solution.csv` names the class of each image; both forms are read.
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
from unimo2.formats.layout import ImageNet21kFiles, ImageNetFiles
from unimo2.formats.parsing import (
    BROKEN_ROW,
    IMAGE_SUFFIXES,
    NOT_AN_IMAGE,
    Skips,
    first_few,
    numbered_lines,
    parsed,
    read_text,
    refuse,
    refuse_lost,
    refuse_repeated,
    without_repeats,
)

MAPPING, SOLUTION = ImageNetFiles.MAPPING, ImageNetFiles.SOLUTION
NO_CLASS = "image without a class"
# What systems and notebooks leave beside images: .DS_Store, ._a.JPEG, .ipynb_checkpoints ...
_NOT_DATA = (".", "__MACOSX")
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
    """None where the labels come from a file alone."""


def read_synsets(path: Path, broken: Skips | None = None) -> list[Synset]:
    """Read the classes of `LOC_synset_mapping.txt` in the order of their numbers.

    Raises:
        MissingData: The file does not exist.
        BadData: A line without synset id and names, or an id that occurs twice (these only without
            `broken`); no class at all.
    """
    lines = (
        (line.strip(), f"{path}: line {number}")
        for number, line in enumerate(read_text(path, "synset mapping").splitlines(), start=1)
        if line.strip()
    )
    found = parsed(lines, _synset, broken)
    synsets = without_repeats(found, lambda synset: synset.wnid, "synset id", path, broken)
    if not synsets:
        raise BadData(f"{path}: no synsets")
    return synsets


def _synset(line: str, place: str) -> Synset:
    wnid, _, names = line.partition(" ")
    if not _WNID.fullmatch(wnid) or not names.strip():
        raise BadData(f"{place}: expected a synset id and its names: {line!r}")
    return Synset(wnid, tuple(name.strip() for name in names.split(",")))


def find_mapping(place: Path) -> Path | None:
    """The synset mapping in the folder of some images (or labels), or up to four above it.

    As distributed, images lie in `ILSVRC/Data/CLS-LOC/val`.
    """
    return find_above(place, MAPPING)


def find_above(place: Path, name: str) -> Path | None:
    """A file of this name in the folder of some images or up to four above it; None without one."""
    folder = place.resolve()
    for candidate in (folder, *list(folder.parents)[:4]):
        if (candidate / name).is_file():
            return candidate / name
    return None


def read_labels(
    place: Path, broken: Skips | None = None, left_out: Skips | None = None
) -> list[LabelledImage]:
    """The images of a split and their classes.

    Args:
        place: A folder `<wnid>/*.JPEG`, a flat folder with `LOC_val_solution.csv` in it or above,
            or a file such as that one.
        broken: See `Skips`.
        left_out: Counts files in the images' folders that have no image's name (`IMAGE_SUFFIXES`),
            and images beside the folders of the classes.

    Returns:
        The images, of a folder in the order of their classes and names, of a file in its order.

    Raises:
        MissingData: Neither is there; an image that the file names is not in the flat folder (this
            only without `broken`).
        BadData: No images; a class that is not a synset id, a flat image without a class, a name
            that occurs twice (these only without `broken`).
    """
    if place.is_dir():
        read = _from_flat if _is_flat(place) else _from_folders
        found = read(place, broken, left_out)
    elif place.is_file():
        found = _from_solution(place, broken)
    else:
        raise MissingData(f"ImageNet labels not found: {place} (a folder <wnid>/*.JPEG or a csv)")
    images = without_repeats(found, lambda image: image.name, "image name", place, broken)
    if not images and not (broken and broken.total):
        raise BadData(f"{place}: no images in folders named by synset, <wnid>/*.JPEG")
    return images


def read_predictions(path: Path, known: Collection[str] | None) -> dict[str, str]:
    """Read predicted classes: a csv file with the header `image,prediction`.

    Args:
        path: The file; images are named with or without folder and suffix.
        known: The synset ids there are; None where no mapping tells, and any synset id is taken.

    Returns:
        The predicted synset by image name, as in `LabelledImage.name`.
    """
    pairs = []
    for row, place in _csv(path, "ImageNet predictions", ("image", "prediction")):
        image, wnid = row
        if wnid not in known if known is not None else not _WNID.fullmatch(wnid):
            raise BadData(f"{place}: unknown class {wnid!r}; expected a synset id, as n01440764")
        pairs.append((_name(image), wnid))
    refuse_repeated((name for name, _ in pairs), "image", path)
    return dict(pairs)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(_NOT_DATA)


def _are_images(names: list[str]) -> bool:
    """Whether all are images with the same suffix, checked at once; False means that it is not known."""
    if not names:
        return True
    suffix = names[0][names[0].rfind(".") :]
    joined = "\0" + "\0".join(names) + "\0"
    return (
        suffix.lower() in IMAGE_SUFFIXES
        and joined.count(f"{suffix}\0") == len(names)
        and not any(f"\0{start}" in joined for start in _NOT_DATA)
    )


def _is_flat(folder: Path) -> bool:
    """Whether images lie in the folder itself and there is no folder of a class."""
    names = os.listdir(folder)
    images = any(_is_image(name) for name in names)
    return images and not any(
        _WNID.fullmatch(name) and (folder / name).is_dir() for name in names if "." not in name
    )


def _images_in(folder: Path, left_out: Skips | None) -> dict[str, Path]:
    """The images of one folder by name, sorted; what lies beside them is counted."""
    images: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name.startswith(_NOT_DATA):
            continue
        if _is_image(name):
            images[name] = path
        elif left_out is not None and name not in (MAPPING, SOLUTION) and path.is_file():
            left_out.add(NOT_AN_IMAGE, str(path))
    return images


def _from_flat(
    folder: Path, broken: Skips | None, left_out: Skips | None
) -> Iterator[LabelledImage]:
    """Images in one folder, with their classes from the file that comes with them."""
    files = {_name(name): path for name, path in _images_in(folder, left_out).items()}
    solution = find_above(folder, SOLUTION)
    if solution is None:
        raise BadData(
            f"{folder}: {len(files):,} images in no class folder, and no {SOLUTION} in it or above "
            "that names their classes"
        )
    for image in _from_solution(solution, broken):
        path = files.pop(image.name, None)
        if path is not None:
            yield LabelledImage(image.name, image.wnid, path)
        else:
            fault = f"image {image.name} of {solution} is not in {folder}"
            refuse_lost(fault, str(folder / image.name), broken)
    for path in files.values():
        refuse(NO_CLASS, f"{path}: {solution} does not name this image", broken)


def _from_folders(
    folder: Path, broken: Skips | None, left_out: Skips | None
) -> Iterator[LabelledImage]:
    odd = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(_NOT_DATA):
            continue
        if not entry.is_dir():
            if left_out is not None and _is_image(entry.name):
                left_out.add(NO_CLASS, entry.path)
            continue
        if not _WNID.fullmatch(entry.name):
            odd.append(entry.name)
            continue
        for name, path in _images_in(Path(entry.path), left_out).items():
            yield LabelledImage(_name(name), entry.name, path)
    if odd:
        refuse(BROKEN_ROW, f"{folder}: folders that are not synset ids: {first_few(odd)}", broken)


def _from_solution(path: Path, broken: Skips | None) -> Iterator[LabelledImage]:
    rows = _csv(path, "ImageNet labels", ("ImageId", "PredictionString"), broken)
    return parsed(rows, _solution, broken)


def _solution(row: list[str], place: str) -> LabelledImage:
    classes = {word for word in row[1].split() if _WNID.fullmatch(word)}
    if len(classes) != 1:
        raise BadData(f"{place}: expected the boxes of one class: {row[1]!r}")
    return LabelledImage(_name(row[0]), classes.pop(), None)


def _csv(
    path: Path, what: str, header: tuple[str, str], broken: Skips | None = None
) -> Iterator[tuple[list[str], str]]:
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
                fault = f"{place}: expected {len(header)} columns, found {len(row)}"
                refuse(BROKEN_ROW, fault, broken)
                continue
            yield [cell.strip() for cell in row], place
    except csv.Error as error:
        raise BadData(f"{path}: line {reader.line_num}: malformed csv: {error}") from None


def _name(image: str) -> str:
    """A file's name without folder and image suffix."""
    name = PurePosixPath(image.replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix}".lower() in IMAGE_SUFFIXES else name


# Images in one folder a class, named by WordNet id, as the whole of ImageNet (21k) unpacks.
#
# Names come from `words.txt` (`n01440764<TAB>tench, Tinca tinca`) or from `LOC_synset_mapping.txt`
# (`n01440764 tench, Tinca tinca`), both of which ImageNet distributes.


NAME_FILES = ImageNet21kFiles.CLASS_NAMES
UNNAMED = "class without a name"

_SYNSET_FOLDER = re.compile(r"n\d{8}")
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

    Of the files that list them (`NAME_FILES`), the first that is in the folder is read.
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


@dataclass(frozen=True)
class ClassFolder:
    """The images of one class."""

    path: Path
    """Absolute."""
    wnid: str
    names: tuple[str, ...]
    """All names of the class, the first one being the usual."""
    files: tuple[str, ...]
    """Of the images, in order."""


def synset_images(folder: Path, broken: Skips | None = None) -> Iterator[ClassImage]:
    """Stream the images of a folder of classes, by class and file name; see `synset_folders`."""
    for one in synset_folders(folder, broken):
        for name in one.files:
            yield ClassImage(one.path / name, one.wnid, one.names)


def synset_folders(folder: Path, broken: Skips | None = None) -> Iterator[ClassFolder]:
    """Stream a folder of classes, class by class: there are 14 million images in 21,841.

    Args:
        folder: Holds `<wnid>/*.JPEG` and one of `NAME_FILES`.
        broken: Counts files that are not images and classes without a name; see `Skips`.

    Raises:
        MissingData: No folder, no names, or no folder of a class.
        BadData: A class without a name, a file without an image's suffix (only without `broken`).
    """
    names = synset_names(folder)
    with os.scandir(folder) as entries:
        classes = sorted(
            entry.name
            for entry in entries
            if _SYNSET_FOLDER.fullmatch(entry.name) and entry.is_dir()
        )
    if not classes:
        raise MissingData(f"no class folder (n01440764 ...) in {folder}")
    for wnid in classes:
        if wnid not in names:
            fault = f"{folder / wnid} (the list of names does not know it)"
            refuse(UNNAMED, fault, broken)
            continue
        path = Path(os.path.abspath(folder / wnid))
        files = found = sorted(os.listdir(path))
        if not _are_images(found):
            files = [name for name in found if _is_image(name)]
            for name in sorted(set(found).difference(files)):
                refuse(NOT_AN_IMAGE, str(folder / wnid / name), broken)
        yield ClassFolder(path, wnid, names[wnid], tuple(files))
