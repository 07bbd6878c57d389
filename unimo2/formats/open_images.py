"""Open Images (V4 to V7): image-level labels that people verified, and the names of the classes.

Labels: `train-annotations-human-imagelabels-boxable.csv` and its likes, with the header
`ImageID,Source,LabelName,Confidence`; 1 means that the label is right, 0 that it is not in the
picture. Names: `class-descriptions-boxable.csv`, `/m/011k07,Tortoise`, without a header up to V6
and with the header `LabelName,DisplayName` in V7. Names with commas are quoted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from unimo2.errors import BadData, MissingData
from unimo2.formats.layout import OpenImagesFiles
from unimo2.formats.parsing import (
    BROKEN_ROW,
    Listings,
    Skips,
    decoded,
    raw_lines,
    refuse,
    refuse_lost,
)

LABEL_FILES, CLASS_FILES = OpenImagesFiles.LABELS, OpenImagesFiles.CLASS_NAMES
_COLUMNS = ["ImageID", "Source", "LabelName", "Confidence"]
_CLASS_HEADER = ["LabelName", "DisplayName"]
_SHORT = 1_000  # characters; csv refuses fields of many more
_CONFIDENCES = {"0": False, "1": True, "0.0": False, "1.0": True}
_ID_LENGTH = 16
_IMAGE_ID = re.compile(r"[0-9a-f]{16}")
_HEXADECIMAL = np.isin(np.arange(256), list(b"0123456789abcdef"))
_BLOCK = 1 << 22  # bytes of lines that are parsed together
_TYPES = dict.fromkeys(_COLUMNS[1:], pa.dictionary(pa.int32(), pa.string())) | {
    "ImageID": pa.string()
}


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
    listings = Listings()
    for identifier, labels in _right_labels(path, class_names(folder), broken):
        name = f"{identifier}.jpg"
        for place in (f"{folder}/train", f"{folder}/train_{identifier[0]}"):
            whole, known = listings.files(place)
            if name in known:
                yield VerifiedImage(identifier, f"{whole}/{name}", labels)
                break
        else:
            expected = f"{folder}/train/{name}"
            refuse_lost(f"image not on disk, expected at {expected} ({path})", expected, lost)


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
        for number, row in _rows(raw_lines(path), path, None):
            if number == 1 and row == _CLASS_HEADER:
                continue
            if len(row) != 2 or not all(column.strip() for column in row):
                raise BadData(f"{path}:{number}: expected label,name, found {','.join(row)!r}")
            label, name = row[0].strip(), row[1].strip()
            if names.setdefault(label, name) != name:
                raise BadData(f"{path}:{number}: {label} is {name!r} here, {names[label]!r} before")
    return names


def _right_labels(
    path: Path, names: dict[str, str], broken: Skips | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Images with the names of what is in them, those without any left out."""
    last, labels = "", list[str]()
    for identifier, more in _runs(path, names, broken):
        if identifier == last:
            labels += more
            continue
        if labels:
            yield last, tuple(dict.fromkeys(labels))
        last, labels = identifier, more
    if labels:
        yield last, tuple(dict.fromkeys(labels))


def _runs(
    path: Path, names: dict[str, str], broken: Skips | None
) -> Iterator[tuple[str, list[str]]]:
    """Rows of an image that follow each other, or some of them: its id, and the right labels' names."""
    number, header = next(_rows(raw_lines(path), path, broken), (1, []))
    if header != _COLUMNS:
        raise BadData(f"{path}:1: expected the header {','.join(_COLUMNS)}, found {header}")
    with path.open("rb") as stream:
        for _ in range(number):
            stream.readline()
        while block := stream.read(_BLOCK) + stream.readline():
            usual = _usual_runs(block, names)
            lines = block.split(b"\n") if usual is None else ()
            if usual is not None:
                yield from usual
            rows = _rows(enumerate(lines, number + 1), path, broken)
            for place, identifier, label, right in _label_rows(rows, path, broken):
                if label not in names:
                    fault = f"{path}:{place}: label {label!r} has no name in the class lists"
                    refuse("label without a name", fault, broken)
                yield identifier, [names[label]] if right and label in names else []
            number += block.count(b"\n")


def _usual_runs(block: bytes, names: dict[str, str]) -> Iterator[tuple[str, list[str]]] | None:
    """What `_runs` gives of some lines; None where there may be a fault in one."""
    if not block.isascii() or b'"' in block or b"\r" in block:
        return None
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(block),
            arrow_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=_COLUMNS
            ),
            arrow_csv.ParseOptions(quote_char=False),
            arrow_csv.ConvertOptions(column_types=_TYPES),
        )
    except pa.ArrowException:
        return None
    columns = {name: table[name].chunk(0) for name in _COLUMNS}
    sources, known, marks = (columns[name].dictionary.to_pylist() for name in _COLUMNS[1:])
    _, offsets, written = columns["ImageID"].buffers()
    ends = np.frombuffer(offsets, np.int32, table.num_rows + 1)
    ids = np.frombuffer(written, np.uint8, int(ends[-1]))
    if (
        max(map(len, sources)) >= _SHORT
        or not _CONFIDENCES.keys() >= set(marks)
        or not names.keys() >= set(known)
        or not (np.diff(ends) == _ID_LENGTH).all()
        or not _HEXADECIMAL[ids].all()
    ):
        return None
    halves = ids.view(np.uint64).reshape(-1, 2)
    begin = np.flatnonzero(np.append(True, (halves[1:] != halves[:-1]).any(axis=1)))
    right = np.array([_CONFIDENCES[mark] for mark in marks])
    right = right[columns["Confidence"].indices.to_numpy()]
    labels = [names[label] for label in known]
    said = [labels[code] for code in columns["LabelName"].indices.to_numpy()[right].tolist()]
    places = [*np.append(0, right.cumsum())[begin].tolist(), len(said)]
    identifiers = ids.view(f"S{_ID_LENGTH}")[begin].astype(str).tolist()
    runs = zip(identifiers, places, places[1:], strict=False)
    return ((identifier, said[first:last]) for identifier, first, last in runs)


def _label_rows(
    rows: Iterable[tuple[int, list[str]]], path: Path, broken: Skips | None
) -> Iterator[tuple[int, str, str, bool]]:
    """Line number, image id, label, and whether the label is right."""
    for number, row in rows:
        fault = _fault(row)
        if fault:
            refuse(BROKEN_ROW, f"{path}:{number}: {fault}", broken)
        else:
            yield number, row[0], row[2], _CONFIDENCES[row[3]]


def _fault(row: list[str]) -> str | None:
    """The fault of a row of labels; None if it is valid."""
    if len(row) != len(_COLUMNS):
        return f"{len(row)} columns, expected {len(_COLUMNS)}"
    if not _IMAGE_ID.fullmatch(row[0]):
        return f"{row[0]!r} is not an image id (16 hexadecimal digits)"
    if row[3] not in _CONFIDENCES:
        return f"confidence {row[3]!r} of a verified label must be 0 or 1"
    return None


def _rows(
    lines: Iterable[tuple[int, bytes]], path: Path, broken: Skips | None
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV; no value of these files holds a line end, so a line is a row."""
    for number, content in lines:
        line = decoded(content, path, number, broken)
        try:
            row = next(csv.reader([line]), []) if line else []
        except csv.Error as error:
            refuse(BROKEN_ROW, f"{path}:{number}: {error}", broken)
            continue
        if row:
            yield number, row
