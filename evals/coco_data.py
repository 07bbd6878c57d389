"""COCO captions in Karpathy's split, from his JSON and COCO's photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.benchmark import Request
from evals.item_data import Extent, fingerprint, first_items, known_split
from evals.java import java_on_path
from evals.spice import why_no_spice
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.formats.fields import first_few
from unimo2.formats.karpathy import SPLITS, KarpathyImage, parse_karpathy

ANNOTATIONS = "coco/dataset_coco.json"


@dataclass(frozen=True)
class CocoData:
    """Images and references of one split.

    Attributes:
        images: In the order of the annotation file, all with COCO's own id.
        extent: How many.
        fingerprint: sha256 of ids, references and images.
    """

    images: tuple[KarpathyImage, ...]
    extent: Extent
    fingerprint: str

    @property
    def ids(self) -> list[int]:
        """`[images]`, COCO's ids."""
        return [image.cocoid for image in self.images if image.cocoid is not None]

    @property
    def paths(self) -> list[Path]:
        """`[images]`, their files."""
        return [image.path for image in self.images]

    @property
    def references(self) -> Mapping[int, Sequence[str]]:
        """The captions that people wrote, by COCO's id."""
        captions = ([caption.text for caption in image.captions] for image in self.images)
        return dict(zip(self.ids, captions, strict=True))

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        captions = sum(len(image.captions) for image in self.images)
        return {**self.extent.summary(self.fingerprint), "captions": captions}

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        return self.extent.notes()


def read(suite: Suite, request: Request) -> CocoData:
    """Read one split, and make sure that its image files and Java are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file is not there, or no Java, without which captions cannot be scored.
        BadData: A broken file, a split without images, images without COCO's id.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "COCO")
    path = suite.root / ANNOTATIONS
    everything = parse_karpathy(path, suite.root / "coco", (request.split,))
    images = first_items(everything, request.limit, "images")
    bare = [image.filename for image in images if image.cocoid is None]
    if bare:
        raise BadData(f"{path}: {len(bare):,} images without a cocoid: {first_few(bare)}")
    with java_on_path():
        pass
    lines = [[image.cocoid, *(caption.text for caption in image.captions)] for image in images]
    extent = Extent.of(suite, "coco", (request.split,), "images", len(images), len(everything))
    return CocoData(
        images=images,
        extent=extent,
        fingerprint=fingerprint(request.split, lines, [image.path for image in images]),
    )


def notices(request: Request) -> list[str]:
    """What the user should know before the first caption is searched for."""
    reason = why_no_spice()
    return [f"SPICE will not be measured: {reason}"] if reason else []
