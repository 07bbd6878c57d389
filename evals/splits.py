"""Items of a split: number, unit, fingerprint, and whether they are the official ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from evals.datasets.registry import all_data_sets
from evals.datasets.suites import MINI, Suite
from unimo2.console import tracked
from unimo2.errors import BadData, MissingData, Unimo2Error, UsageError
from unimo2.formats.images import check_image

Item = TypeVar("Item")


@dataclass(frozen=True)
class SplitInfo:
    """The part of a data set that a run measures.

    Attributes:
        title: The data set's name for a reader.
        split: Its name.
        suite: Name of the suite.
        root_name: Name of the data root's folder.
        unit: Name of the items, in the plural.
        used: Items that are measured.
        images: Different images among them; None for texts.
        official: These are exactly as many items as published numbers are measured on.
        note: How they differ; None if they do not, or for a suite that has no official counts.
    """

    title: str
    split: str
    suite: str
    root_name: str
    unit: str
    used: int
    images: int | None
    official: bool
    note: str | None

    @classmethod
    def of(
        cls,
        suite: Suite,
        data_set: str,
        splits: Sequence[str],
        unit: str,
        used: int,
        available: int,
        images: int | None = None,
    ) -> SplitInfo:
        """Compare with the official counts.

        Args:
            suite: The data root.
            data_set: Name in the data catalogue; one of another package need not be there.
            splits: The request's split, and the catalogue's splits that it is made of, if others.
            unit: Name of the items, in the plural; the catalogue counts these.
            used: Items that are measured.
            available: Items of the split, before a limit.
            images: Different images among those measured.

        Returns:
            The extent.
        """
        entry = all_data_sets().get(data_set)
        counted = splits[1:] or splits[:1]
        rows = () if entry is None else entry.official
        counts = [one.count for one in rows if one.split in counted and one.unit == unit]
        wanted = available if suite.name == MINI or entry is None else sum(counts)
        note = None if used == wanted else f"{used:,} of {wanted:,}"
        official = suite.name != MINI and entry is not None and note is None
        title = data_set if entry is None else entry.title
        name = suite.root.resolve().name
        return cls(title, splits[0], suite.name, name, unit, used, images, official, note)

    def summary(self, fingerprint: str) -> dict[str, Any]:
        """The record's "data"."""
        counts = {self.unit: self.used}
        if self.images is not None:
            counts["images"] = self.images
        return {
            "fingerprint": fingerprint,
            "root_name": self.root_name,
            "split": self.split,
            **counts,
            "official": self.official,
            "note": self.note,
        }

    def notes(self) -> list[str]:
        """Notes about a sample."""
        if self.note is None:
            return []
        if self.suite == MINI:
            return [f"{self.split} {self.unit}: {self.note} of this suite"]
        return [
            f"{self.split} {self.unit}: {self.note}; this is not the official split of "
            f"{self.title}, so it is not comparable with published numbers"
        ]


def first_items(items: Sequence[Item], limit: int | None, unit: str) -> tuple[Item, ...]:
    """The first items, all without a limit; UsageError for a limit below 1."""
    check_limit(limit, unit)
    return tuple(items[:limit])


def spread_items(items: Sequence[Item], limit: int | None, unit: str) -> tuple[Item, ...]:
    """As many items as the limit says, spread evenly, where the order is one of classes."""
    check_limit(limit, unit)
    if limit is None or limit >= len(items):
        return tuple(items)
    return tuple(items[place * len(items) // limit] for place in range(limit))


def check_limit(limit: int | None, unit: str) -> None:
    """Refuse a limit below 1."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: expected at least 1 ({unit})")


@dataclass(frozen=True)
class SplitData:
    """The items of one split; benchmarks add theirs.

    Attributes:
        extent: How many, of what.
        fingerprint: The sha256 of items, truth and images.
        pictures: Image files of the items; they are opened before the first batch.
        contents: `[items]`, from `contents_of`; none where predictions are not kept by content.
    """

    extent: SplitInfo
    fingerprint: str
    pictures: Sequence[Path] = field(default=(), kw_only=True)
    contents: Sequence[str] = field(default=(), kw_only=True)

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return self.extent.summary(self.fingerprint)

    def notes(self) -> list[str]:
        """Notes about the data."""
        return self.extent.notes()


def fingerprint(split: str, items: Iterable[object], images: Iterable[Path] = ()) -> str:
    """The sha256 of all that a model sees and is judged by.

    Args:
        split: Its name.
        items: Each fit for JSON: ids, texts, truth.
        images: Files that belong to the items.

    Returns:
        64 hexadecimal digits.

    Raises:
        MissingData: An image is not there; it says how many are not.
    """
    digest = hashlib.sha256(split.encode())
    for item in items:
        digest.update(json.dumps(item).encode())
    paths = list(dict.fromkeys(images))
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingData(
            f"{len(missing):,} of {len(paths):,} images are not on disk, first {missing[0]}"
        )
    for path in tracked(paths, "hashing images", "images"):
        digest.update(content_of(path))
    return digest.hexdigest()


def contents_of(
    items: Sequence[object], images: Sequence[Path] = (), shared: object = None
) -> tuple[str, ...]:
    """What the prediction of each item depends on, beside the model and how it is measured.

    Args:
        items: Each fit for JSON, as for `fingerprint`.
        images: `[items]`, the file of each; none for texts.
        shared: What all predictions depend on, fit for JSON: the classes to choose from.

    Returns:
        `[items]`, 64 hexadecimal digits each.
    """
    found = []
    for place, item in enumerate(items):
        digest = hashlib.sha256(json.dumps([shared, item]).encode())
        if images:
            digest.update(content_of(images[place]))
        found.append(digest.hexdigest())
    return tuple(found)


def content_of(path: Path) -> bytes:
    """The sha256 of a file, read again only if it has changed: validation in training asks often.

    Raises:
        MissingData: It is not there.
    """
    try:
        return _content(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise MissingData(f"image not found: {path}") from None


@lru_cache(maxsize=1 << 17)
def _content(path: Path, changed: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def check_images(paths: Sequence[Path]) -> None:
    """Open all images of a run before its first batch, so that a bad one costs no work.

    On all processors: Pillow decodes outside the interpreter's lock.

    Args:
        paths: Files, with repetitions.

    Raises:
        BadData: Some cannot be read; the first is named.
    """
    distinct = list(dict.fromkeys(paths))
    faults = []
    pool = ThreadPoolExecutor()
    try:
        opened = pool.map(_fault, distinct)
        for fault in tracked(opened, "opening images", "images", len(distinct)):
            faults += [fault] if fault else []
    finally:
        pool.shutdown(cancel_futures=True)  # also of an interrupted run
    if len(faults) == 1:
        raise BadData(faults[0])
    if faults:
        raise BadData(
            f"{len(faults):,} of {len(distinct):,} images cannot be read; the first: {faults[0]}"
        )


def _fault(path: Path) -> str:
    """Why an image cannot be read; "" if it can."""
    try:
        check_image(path)
    except Unimo2Error as error:
        return str(error)
    return ""
