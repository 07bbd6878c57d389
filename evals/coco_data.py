"""COCO captions in Karpathy's split, from his JSON and COCO's photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evals.benchmark import Request
from evals.item_data import Extent, fingerprint, first_items, known_split
from evals.metrics.captions import java_on_path, why_no_spice
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.formats.images import loaded
from unimo2.formats.karpathy import SPLITS, KarpathyImage, parse_karpathy
from unimo2.formats.object_tags import read_object_tags
from unimo2.formats.parsing import first_few
from zoo.protocols import TagReader

if TYPE_CHECKING:
    from zoo.protocols import Captioner

ANNOTATIONS = "coco/dataset_coco.json"


@dataclass(frozen=True)
class CocoData:
    """Images and references of one split.

    Attributes:
        images: In the order of the annotation file, all with COCO's own id.
        extent: How many.
        fingerprint: sha256 of ids, references and images. Object tags are part of the protocol:
            runs with and without them are on the same data.
        tags: Object tags of each image; None for captions without.
    """

    images: tuple[KarpathyImage, ...]
    extent: Extent
    fingerprint: str
    tags: tuple[tuple[str, ...], ...] | None = None

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
        counts = {"captions": captions}
        if self.tags is not None:
            counts["tagged"] = sum(1 for tags in self.tags if tags)
        return {**self.extent.summary(self.fingerprint), **counts}

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        notes = self.extent.notes()
        bare = 0 if self.tags is None else sum(1 for tags in self.tags if not tags)
        if bare:
            notes.append(f"{bare:,} of {len(self.images):,} images have no object tags")
        return notes


def read(suite: Suite, request: Request) -> CocoData:
    """Read one split, and make sure that its image files and Java are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file is not there, or no Java, without which captions cannot be scored.
        BadData: A broken file, a split without images, images without COCO's id, object tags of
            none of them.
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
        tags=_tags(images, request.object_tags),
    )


def _tags(images: Sequence[KarpathyImage], path: Path | None) -> tuple[tuple[str, ...], ...] | None:
    """The object tags of each image; None without a file."""
    if path is None:
        return None
    return read_object_tags(path).of_images([(one.cocoid, one.filename) for one in images])


def captions_of(
    model: Captioner, data: CocoData, numbers: Sequence[int], beam_size: int
) -> list[str]:
    """Caption some images, with their object tags where there are any.

    Args:
        model: Writes captions; with tags also a `TagReader`.
        data: From `read`.
        numbers: Places of the images.
        beam_size: Beams of an image.

    Returns:
        One caption an image.
    """
    images = loaded([data.images[number].path for number in numbers])
    if data.tags is None:
        return model.caption(images, beam_size)
    tags = [data.tags[number] for number in numbers]
    return cast(TagReader, model).caption_with_tags(images, tags, beam_size)


def notices(request: Request) -> list[str]:
    """What the user should know before the first caption is searched for."""
    reason = why_no_spice()
    return [f"SPICE will not be measured: {reason}"] if reason else []
