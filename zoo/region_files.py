"""Features of image regions in one safe layout, and their conversion from the TSV files in use.

A folder with `manifest.json` and one `ID.npz` per image, without pickle: "features" `[regions, dim]`,
"boxes" `[regions, 4]` as x1, y1, x2, y2 between 0 and 1, "size" `[2]` as width and height in pixels. The
TSV files are those of bottom-up attention (6 columns) and LXMERT (10 columns), base64 in each row.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimo2.errors import BadData, MissingData, UsageError
from unimo2.files import write_text
from unimo2.formats.weights import read_json

MANIFEST = "manifest.json"
_LXMERT = ("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf",
           "num_boxes", "boxes", "features")  # fmt: skip
_BOTTOM_UP = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
_OUTSIDE = 1e-3  # of a side: detectors round
_ID = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Regions:
    """Regions of one image.

    Attributes:
        features: `[regions, dim]`, float32.
        boxes: `[regions, 4]`, x1, y1, x2, y2 between 0 and 1, float32.
    """

    features: NDArray[np.float32]
    boxes: NDArray[np.float32]


class RegionFolder:
    """Features of images by their ids."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that `convert` wrote.

        Raises:
            MissingData: There is none, or no manifest in it.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingData(f"no region features at {folder}: expected {MANIFEST}; convert a TSV")
        self.folder = folder
        self.manifest: Mapping[str, Any] = read_json(path)
        if not isinstance(self.manifest, dict):
            raise BadData(f"{path}: expected a manifest of features, a table")

    def read(self, file: str | None) -> Regions:
        """The regions of an image.

        Args:
            file: Name of the image's file. Its id is the name without the ending, or the number at
                its end, as in COCO's names.

        Raises:
            MissingData: There are none of that image.
            BadData: The file does not hold what the layout promises.
        """
        if file is None:
            raise BadData("an image without a file name has no region features")
        stem = Path(file).stem
        number = re.search(r"\d+$", stem)
        names = [stem, *([str(int(number[0]))] if number else [])]
        for name in names:
            path = self.folder / f"{name}.npz"
            if path.is_file():
                return _read(path)
        raise MissingData(f"no features of image {file} at {self.folder}: expected {names[0]}.npz")


def convert(
    source: Path,
    out: Path,
    extractor: str = "unknown",
    on_progress: Callable[[int], None] | None = None,
) -> Mapping[str, Any]:
    """Write the features of a TSV file in the safe layout.

    Args:
        source: TSV of bottom-up attention or LXMERT, without a header.
        out: Folder to write; must not have a manifest.
        extractor: What the features were extracted with, for records: numbers depend on it.
        on_progress: Called with the number of images so far.

    Returns:
        The manifest: "images", "regions", "dim", "extractor", "source" and "sha256", of all files.

    Raises:
        UsageError: The folder has features already, or the source is a database of pickles.
        MissingData: The file does not exist.
        BadData: A row that does not hold what the format promises, with its number.
    """
    if source.is_dir() or source.suffix in (".mdb", ".lmdb", ".pkl", ".pickle", ".pth"):
        raise UsageError(
            f"{source} is not a TSV: databases of pickles are refused, since reading one may run code "
            "that it holds; give the TSV that it was made from"
        )
    if not source.is_file():
        raise MissingData(f"no features at {source}")
    if (out / MANIFEST).exists():
        raise UsageError(f"{out} has features already: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    counts, dim = [], 0
    for name, regions, size in _rows(source):
        if name in digests:
            raise BadData(f"{source}: image {name} occurs twice")
        if dim and regions.features.shape[1] != dim:
            raise BadData(
                f"{source}: image {name} has {regions.features.shape[1]} features, not {dim}"
            )
        dim = regions.features.shape[1]
        content = io.BytesIO()
        np.savez(content, features=regions.features, boxes=regions.boxes, size=size)
        (out / f"{name}.npz").write_bytes(content.getvalue())
        arrays = regions.features.tobytes() + regions.boxes.tobytes() + size.tobytes()
        digests[name] = hashlib.sha256(arrays).hexdigest()
        counts.append(len(regions.boxes))
        if on_progress is not None:
            on_progress(len(digests))
    if not digests:
        raise BadData(f"{source} has no rows")
    whole = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    manifest = {
        "images": len(digests),
        "regions": sum(counts),
        "dim": dim,
        "extractor": extractor,
        "source": source.name,
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }
    write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _rows(source: Path) -> Iterator[tuple[str, Regions, NDArray[np.int64]]]:
    """Every image of a TSV: its id, regions and size."""
    csv.field_size_limit(sys.maxsize)
    with source.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter="\t"), start=1):
            try:
                yield _row(row)
            except (ValueError, binascii.Error) as error:
                raise BadData(f"{source}, row {number}: {error}") from None


def _row(row: list[str]) -> tuple[str, Regions, NDArray[np.int64]]:
    """One row; ValueError says what does not fit."""
    names = {len(_LXMERT): _LXMERT, len(_BOTTOM_UP): _BOTTOM_UP}.get(len(row))
    if names is None:
        raise ValueError(f"expected {len(_BOTTOM_UP)} or {len(_LXMERT)} columns, got {len(row)}")
    values = dict(zip(names, row, strict=True))
    lxmert = names is _LXMERT
    name = values["img_id" if lxmert else "image_id"]
    if not _ID.fullmatch(name):
        raise ValueError(f"'{name}' is not an image id")
    width, height = (int(values[key]) for key in (("img_w", "img_h") if lxmert else ("image_w", "image_h")))  # fmt: skip
    count = int(values["num_boxes"])
    boxes = np.frombuffer(base64.b64decode(values["boxes"], validate=True), "<f4")
    features = np.frombuffer(base64.b64decode(values["features"], validate=True), "<f4")
    if count < 1 or boxes.size != 4 * count or features.size == 0 or features.size % count:
        raise ValueError(
            f"{count} boxes, but {boxes.size} numbers of boxes, {features.size} of features"
        )
    if width < 1 or height < 1:
        raise ValueError(f"a size of {width} x {height}")
    scaled = boxes.reshape(count, 4) / np.array([width, height, width, height], np.float32)
    regions = Regions(features.reshape(count, -1).astype(np.float32), scaled.astype(np.float32))
    _check(regions)
    return name, regions, np.array([width, height], np.int64)


def _check(regions: Regions) -> None:
    """Refuse boxes that are not fractions of the image; ValueError says so."""
    boxes = regions.boxes
    if not np.isfinite(regions.features).all() or not np.isfinite(boxes).all():
        raise ValueError("numbers that are not finite")
    if boxes.min() < -_OUTSIDE or boxes.max() > 1 + _OUTSIDE:
        raise ValueError(
            f"boxes from {boxes.min():g} to {boxes.max():g}: expected fractions of the sides"
        )


def _read(path: Path) -> Regions:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            features = np.asarray(arrays["features"], np.float32)
            boxes = np.asarray(arrays["boxes"], np.float32)
        if features.ndim != 2 or boxes.shape != (len(features), 4) or not len(features):
            raise ValueError(f"features {features.shape} and boxes {boxes.shape}")
        regions = Regions(features, boxes)
        _check(regions)
    except (OSError, ValueError, KeyError) as error:
        raise BadData(f"{path}: {error}; convert the features again") from None
    return regions
