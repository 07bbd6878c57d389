"""The whole of ImageNet: images with labels for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.formats.imagenet import synset_images
from unimo2.formats.layout import ImageNet21kFiles
from unimo2.formats.parsing import Skips

_SOURCE = "ImageNet, release of autumn 2011"
_BELOW = ImageNet21kFiles(Path()).folder


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    broken = Skips()
    count = 0
    classes: set[str] = set()
    for image in synset_images(ImageNet21kFiles(root).folder, broken):
        count += 1
        classes.add(image.wnid)
        images.see(image.path)
    counts = {("train", "images"): count, ("train", "classes"): len(classes)}
    return VerificationReport(counts=counts, problems=broken.lines())


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in synset_images(ImageNet21kFiles(root).folder, skips):
        yield Sample(image.path, f"{image.path.name} ({image.wnid})", (", ".join(image.names),))


DATA_SET = DataSet(
    name="imagenet21k",
    title="ImageNet-21k",
    role="images",
    about="The whole of ImageNet, one folder a WordNet class, for 'a photo of [label]'.",
    licence="ImageNet's terms of access: non-commercial research and education only.",
    source="https://www.image-net.org/download.php",
    places=(
        RequiredPath.files(
            "names of the classes", *(_BELOW / name for name in ImageNet21kFiles.CLASS_NAMES)
        ),
        RequiredPath.folders("<wnid>/*.JPEG", _BELOW),
    ),
    official=(
        OfficialCount("train", "images", 14_197_122, _SOURCE, "14M"),
        OfficialCount("train", "classes", 21_841, _SOURCE),
    ),
    notes=("the release of winter 2021 leaves out 2,674 classes of people and has 19,167",),
    verify=_verify,
    samples=SampleReader(("train",), _samples),
)
