"""Open Images (V4 to V7): image-level labels that people verified, and the names of the classes.

Labels: `train-annotations-human-imagelabels-boxable.csv` and its likes, with the header
`ImageID,Source,LabelName,Confidence`; 1 means that the label is right, 0 that it is not in the
picture. Names: `class-descriptions-boxable.csv`, `/m/011k07,Tortoise`, without a header up to V6
and with the header `LabelName,DisplayName` in V7. Names with commas are quoted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from unimo2.errors import BadData, MissingData
from unimo2.formats.layout import OpenImagesFiles
from unimo2.formats.parsing import BROKEN_ROW, Listings, Skips, numbered_lines, refuse, refuse_lost

LABEL_FILES, CLASS_FILES = OpenImagesFiles.LABELS, OpenImagesFiles.CLASS_NAMES
_COLUMNS = ["ImageID", "Source", "LabelName", "Confidence"]
_CLASS_HEADER = ["LabelName", "DisplayName"]
_SHORT = 1_000  # characters; csv refuses fields of many more
_CONFIDENCES = {"0": False, "1": True, "0.0": False, "1.0": True}
_IMAGE_ID = re.compile(r"[0-9a-f]{16}")


class VerifiedImage(NamedTuple):
    """One image with the names of what is in it."""

    id: str
    file: str
    """Absolute path."""
    labels: tuple[str, ...]
    """Names of the classes that people found in it, in the order of the file."""

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)


def read_open_images(
    folder: Path, lost: Skips | None = None, broken: Skips | None = None
) -> Iterator[VerifiedImage]:
    """Stream the training images that are on disk and have a label that is right.

    Args:
        folder: Holds one of `LABEL_FILES`, at least one of `CLASS_FILES`, and the images, in
            `train/<ImageID>.jpg` or as the archives unpack, `train_<first digit>/<ImageID>.jpg`.
        lost: Counts images that are not on disk; see `Skips`.
        broken: Counts rows that cannot be read and labels without a name.

    Yields:
        Images in the order of the file, which lists the rows of an image together.
    """
    path = label_file(folder)
    if path is None:
        raise MissingData(f"Open Images labels not found: {folder / LABEL_FILES[0]}")
    names, listings = class_names(folder), Listings()
    for identifier, rows in groupby(_label_rows(path, broken), key=lambda row: row[1]):
        labels: dict[str, None] = {}
        for number, _, label, right in rows:
            if label not in names:
                fault = f"{path}:{number}: label {label!r} has no name in the class lists"
                refuse("label without a name", fault, broken)
            elif right:
                labels[names[label]] = None
        if not labels:
            continue
        folders = (f"{folder}/train", f"{folder}/train_{identifier[0]}")
        places = [f"{place}/{identifier}.jpg" for place in folders]
        image = listings.first_file(places)
        if image is not None:
            yield VerifiedImage(identifier, image, tuple(labels))
        else:
            fault = f"image not on disk, expected at {places[0]} ({path})"
            refuse_lost(fault, places[0], lost)


def label_file(folder: Path) -> Path | None:
    """The file of training labels that is read; None if there is none."""
    candidates = (folder / name for name in LABEL_FILES)
    return next((path for path in candidates if path.is_file()), None)


def class_names(folder: Path) -> dict[str, str]:
    """What the labels mean: `{"/m/011k07": "Tortoise"}`."""
    paths = [folder / name for name in CLASS_FILES if (folder / name).is_file()]
    if not paths:
        raise MissingData(f"Open Images class names not found: {folder / CLASS_FILES[0]}")
    names: dict[str, str] = {}
    for path in paths:
        for number, row in _rows(path, None):
            if number == 1 and row == _CLASS_HEADER:
                continue
            if len(row) != 2 or not all(column.strip() for column in row):
                raise BadData(f"{path}:{number}: expected label,name, found {','.join(row)!r}")
            label, name = row[0].strip(), row[1].strip()
            if names.setdefault(label, name) != name:
                raise BadData(f"{path}:{number}: {label} is {name!r} here, {names[label]!r} before")
    return names


def _label_rows(path: Path, broken: Skips | None) -> Iterator[tuple[int, str, str, bool]]:
    """Line number, image id, label, and whether the label is right."""
    rows = _rows(path, broken)
    header = next(rows, (1, []))[1]
    if header != _COLUMNS:
        raise BadData(f"{path}:1: expected the header {','.join(_COLUMNS)}, found {header}")
    known = ""
    for number, row in rows:
        # The rows of an image follow each other, and nearly all of millions are right.
        if len(row) != 4 or row[3] not in _CONFIDENCES or row[0] != known:
            fault = _fault(row)
            if fault:
                refuse(BROKEN_ROW, f"{path}:{number}: {fault}", broken)
                continue
            known = row[0]
        yield number, known, row[2], _CONFIDENCES[row[3]]


def _fault(row: list[str]) -> str | None:
    """The fault of a row of labels; None if it is valid."""
    if len(row) != len(_COLUMNS):
        return f"{len(row)} columns, expected {len(_COLUMNS)}"
    if not _IMAGE_ID.fullmatch(row[0]):
        return f"{row[0]!r} is not an image id (16 hexadecimal digits)"
    if row[3] not in _CONFIDENCES:
        return f"confidence {row[3]!r} of a verified label must be 0 or 1"
    return None


def _rows(path: Path, broken: Skips | None) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV; no value of these files holds a line end, so a line is a row."""
    for number, line in numbered_lines(path, broken):
        if '"' not in line and "\r" not in line and len(line) < _SHORT:  # as nearly all are
            if line:
                yield number, line.split(",")
            continue
        try:
            row = next(csv.reader([line]), [])
        except csv.Error as error:
            refuse(BROKEN_ROW, f"{path}:{number}: {error}", broken)
            continue
        if row:
            yield number, row
