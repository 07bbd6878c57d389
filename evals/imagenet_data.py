"""ImageNet from its official files: classes with their names, and the images of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.benchmark import Request
from evals.item_data import Extent, fingerprint, known_split, spread_items
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.formats.imagenet import MAPPING, LabelledImage, Synset, read_labels, read_synsets
from unimo2.formats.parsing import first_few

SPLITS = ("val", "train")
_SOLUTION = "LOC_val_solution.csv"


@dataclass(frozen=True)
class ImageNetData:
    """Labelled images of one split.

    Attributes:
        images: All with a path; a limit spreads them evenly over the classes.
        synsets: All classes to choose from, in the order of their numbers.
        extent: How many.
        fingerprint: sha256 of classes, labels and images.
    """

    images: tuple[LabelledImage, ...]
    synsets: tuple[Synset, ...]
    extent: Extent
    fingerprint: str

    @property
    def paths(self) -> list[Path]:
        """`[images]`, their files."""
        return [image.path for image in self.images if image.path is not None]

    @property
    def targets(self) -> list[str]:
        """`[images]`, their synset ids."""
        return [image.wnid for image in self.images]

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return {**self.extent.summary(self.fingerprint), "classes": len(self.synsets)}

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        return self.extent.notes()


def read(suite: Suite, request: Request) -> ImageNetData:
    """Read one split and make sure that all its image files are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file or folder is not there.
        BadData: A broken file, no images, or a class that the mapping lacks.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "ImageNet")
    root = suite.root / "imagenet"
    synsets = tuple(read_synsets(root / MAPPING))
    everything = _labelled(root, request.split)
    known = {synset.wnid for synset in synsets}
    unknown = sorted({image.wnid for image in everything} - known)
    if unknown:
        raise BadData(f"{root / MAPPING} lacks classes that have images: {first_few(unknown)}")
    images = spread_items(everything, request.limit, "images")
    lines: list[Any] = [[synset.wnid, *synset.names] for synset in synsets]
    lines += [[image.name, image.wnid] for image in images]
    paths = [image.path for image in images if image.path is not None]
    return ImageNetData(
        images=images,
        synsets=synsets,
        extent=Extent.of(
            suite, "imagenet", (request.split,), "images", len(images), len(everything)
        ),
        fingerprint=fingerprint(request.split, lines, paths),
    )


def _labelled(root: Path, split: str) -> list[LabelledImage]:
    """Images in folders named by synset, or as val is distributed: flat, with a file of labels."""
    folder, solution = root / split, root / _SOLUTION
    sorted_by_class = folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())
    if sorted_by_class or split != "val" or not solution.is_file():
        return read_labels(folder)
    labels = read_labels(solution)
    return [replace(image, path=folder / f"{image.name}.JPEG") for image in labels]
