"""Image-text pairs and labelled images, read from the official layouts below a data root."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from unimo2.errors import MissingData, UsageError
from unimo2.formats.imagenet import synset_folders
from unimo2.formats.karpathy import read_karpathy, select_karpathy
from unimo2.formats.layout import CocoFiles, Flickr30kFiles, VisualGenomeFiles
from unimo2.formats.open_images import read_open_images
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import ImageSource, PairColumns, WebPair
from unimo2.formats.visual_genome import read_origins, read_phrases
from unimo2.formats.web_captions import (
    conceptual_captions_columns,
    sbu_columns,
    sidecar_columns,
)

_TRAINING_SPLITS = ("train", "restval")


class TrainingImage(NamedTuple):
    """One image with its texts: captions, phrases, or names of its classes."""

    # Absolute path of the image (a string where there are millions), or its place in a shard.
    path: ImageSource | str
    texts: tuple[str, ...]  # one or more


@dataclass(frozen=True)
class CaptionedFolder:
    """Images of one folder that share their texts: a class of ImageNet-21k."""

    folder: Path  # absolute
    files: tuple[str, ...]
    texts: tuple[str, ...]  # one or more


def read_pairs(
    root: Path, sets: Sequence[str], lost: Skips | None = None, leave_out: Sequence[str] = ()
) -> Iterator[TrainingImage]:
    """The training images of some `PAIR_SETS`, set by set in the order of their files.

    `lost` counts images that are not on disk and rows that cannot be used; None makes the first one
    an error. `leave_out` names `OVERLAPPING` data sets whose validation and test images are left out
    of Visual Genome, and counted too.

    Raises:
        UsageError: An unknown corpus.
        MissingData: A file is missing or holds no training image.
    """
    for found in read_pair_columns(root, sets, lost, leave_out):
        if isinstance(found, TrainingImage):
            yield found
        else:
            yield from (TrainingImage(pair.path, (pair.text,)) for pair in found.one_by_one())


def read_pair_columns(
    root: Path, sets: Sequence[str], lost: Skips | None = None, leave_out: Sequence[str] = ()
) -> Iterator[Paired]:
    """As `read_pairs`, but columns of pairs are not taken apart."""
    known = dict(PAIR_SETS)
    if leave_out and "visual_genome" in sets:
        known["visual_genome"] = partial(
            _visual_genome, copies=copies_of_evaluation(root, leave_out)
        )
    return _read(root, sets, known, "pairs", lost)


OVERLAPPING = ("coco", "flickr30k")
"""Data sets with photos that Visual Genome holds, too."""


def copies_of_evaluation(root: Path, sets: Sequence[str]) -> dict[int, str]:
    """Images of Visual Genome that are validation or test images elsewhere: id and data set."""
    coco: set[int] = set()
    flickr: set[int] = set()
    if "coco" in sets:
        images = select_karpathy(CocoFiles(root).annotations, root, ("val", "test"))[0]
        coco = {image.cocoid for image in images if image.cocoid is not None}
    if "flickr30k" in sets:
        images = select_karpathy(Flickr30kFiles(root).annotations, root, ("val", "test"))[0]
        # A photo is called after its number: 1000092795.jpg; Flickr8k's have a key behind it.
        numbers = (image.filename.partition(".")[0].partition("_")[0] for image in images)
        flickr = {int(number) for number in numbers if number.isdigit()}
    copies: dict[int, str] = {}
    for origin in read_origins(root / VisualGenomeFiles.NAME):
        if origin.coco_id in coco:
            copies[origin.id] = "coco"
        elif origin.flickr_id in flickr:
            copies[origin.id] = "flickr30k"
    return copies


def read_labelled(
    root: Path, sets: Sequence[str], lost: Skips | None = None
) -> Iterator[TrainingImage]:
    """The images of some `IMAGE_SETS`, with the names of their classes; as `read_pairs`."""
    for found in read_classes(root, sets, lost):
        if isinstance(found, TrainingImage):
            yield found
        else:
            yield from (TrainingImage(found.folder / name, found.texts) for name in found.files)


def read_classes(root: Path, sets: Sequence[str], lost: Skips | None = None) -> Iterator[Captioned]:
    """As `read_labelled`, but folders of one class are not taken apart."""
    return _read(root, sets, IMAGE_SETS, "images", lost)


Paired = TrainingImage | PairColumns
Captioned = TrainingImage | CaptionedFolder
Some = TypeVar("Some", Paired, Captioned)
Reader = Callable[[Path, Skips | None], Iterator[Some]]


def _read(
    root: Path, sets: Sequence[str], known: dict[str, Reader[Some]], kind: str, lost: Skips | None
) -> Iterator[Some]:
    for name in sets:
        if name not in known:
            raise UsageError(f"unknown corpus of {kind} {name!r}; known are: {', '.join(known)}")
        found = False
        for image in known[name](root / name, lost):
            found = True
            yield image
        if not found:
            raise MissingData(f"{root / name} holds no {kind} to train on")


def _karpathy(annotations: Path, images: Path) -> Iterator[Paired]:
    for image in read_karpathy(annotations, images, splits=_TRAINING_SPLITS):
        yield TrainingImage(image.path, tuple(caption.text for caption in image.captions))


def _visual_genome(
    folder: Path, lost: Skips | None, copies: Mapping[int, str] | None = None
) -> Iterator[Paired]:
    for image in read_phrases(folder, lost, lost):
        owner = (copies or {}).get(image.id)
        if owner is not None:
            if lost is not None:
                reason = f"image of visual_genome that {owner} validates or tests with"
                lost.add(reason, str(image.path))
        elif image.phrases:
            yield TrainingImage(image.path, image.phrases)


def _of_the_web(found: Iterable[PairColumns | WebPair]) -> Iterator[Paired]:
    for some in found:
        if isinstance(some, WebPair):
            yield TrainingImage(some.path, (some.text,))
        elif some.names:
            yield some


def _imagenet21k(folder: Path, lost: Skips | None) -> Iterator[Captioned]:
    for one in synset_folders(folder, lost):
        if one.files:
            yield CaptionedFolder(one.path, one.files, one.names[:1])


def _open_images(folder: Path, lost: Skips | None) -> Iterator[Captioned]:
    for image in read_open_images(folder, lost, lost):
        # Its names of classes are headings: "Palm tree".
        yield TrainingImage(image.file, tuple([label.lower() for label in image.labels]))


# Corpora of pairs: folders of the data root. Of COCO, train and restval; of the others, train.
# Conceptual Captions and SBU may be what img2dataset wrote (tar shards, or folders of files) where
# their images would be; "shards" is any other data of that form.
PAIR_SETS: dict[str, Reader[Paired]] = {
    "coco": lambda folder, lost: _karpathy(CocoFiles(folder.parent).annotations, folder),
    "flickr30k": lambda folder, lost: _karpathy(
        Flickr30kFiles(folder.parent).annotations, Flickr30kFiles(folder.parent).images
    ),
    "visual_genome": _visual_genome,
    "conceptual_captions": lambda folder, lost: _of_the_web(
        conceptual_captions_columns(folder, "train", lost, lost)
    ),
    "sbu": lambda folder, lost: _of_the_web(sbu_columns(folder, lost, lost)),
    "shards": lambda folder, lost: _of_the_web(sidecar_columns(folder, lost, lost)),
}
# Corpora of images alone, whose classes have names.
IMAGE_SETS: dict[str, Reader[Captioned]] = {
    "imagenet21k": _imagenet21k,
    "open_images": _open_images,
}


def prompted(images: Iterable[Captioned], prompts: Sequence[str]) -> Iterator[Captioned]:
    """Pseudo pairs: every label in every prompt (paper, section 4.1: "a photo of [label]")."""
    known: dict[str, list[str]] = {}  # millions of images share thousands of labels
    for image in images:
        for label in image.texts:
            if label not in known:
                known[label] = [prompt.replace("[label]", label) for prompt in prompts]
        texts = tuple(chain.from_iterable(known[label] for label in image.texts))
        if isinstance(image, TrainingImage):
            yield TrainingImage(image.path, texts)
        else:
            yield CaptionedFolder(image.folder, image.files, texts)
