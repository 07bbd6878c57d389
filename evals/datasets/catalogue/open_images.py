"""Open Images: images with labels for pre-training."""

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
from unimo2.formats.layout import OpenImagesFiles
from unimo2.formats.open_images import label_file, read_open_images
from unimo2.formats.parsing import Skips

_BELOW = OpenImagesFiles(Path()).folder


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    folder = OpenImagesFiles(root).folder
    lost, broken = Skips(), Skips()
    there, labels, repeated = 0, 0, 0
    seen: set[int] = set()
    for image in read_open_images(folder, lost, broken):
        there += 1
        labels += len(image.labels)
        images.see(image.path)
        number = int(image.id, 16)
        repeated += number in seen
        seen.add(number)
    findings = VerificationReport(problems=[*broken.lines(), *lost.lines()])
    findings.counts = {
        ("train", "images"): there + lost.total,
        ("train", "images on disk"): there,
        ("train", "labels"): labels,
    }
    if repeated:
        findings.problems.append(f"{repeated:,} images have rows in more than one place")
    path = label_file(folder)
    if path is not None and "boxable" not in path.name:
        findings.notes.append(f"{path.name} labels more than the 1,743,042 images of the paper")
    return findings


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in read_open_images(OpenImagesFiles(root).folder, skips, skips):
        yield Sample(image.path, image.path.name, (", ".join(image.labels),))


DATA_SET = DataSet(
    name="open_images",
    title="Open Images (V4 to V7), images with boxes",
    role="images",
    about="Photos from Flickr with labels that people verified; the paper takes a subset without "
    "descriptions and makes 'a photo of [label]' of the labels.",
    licence="Annotations CC BY 4.0; photos listed as CC BY 2.0.",
    source="https://storage.googleapis.com/openimages/web/download_v7.html",
    places=(
        RequiredPath.files("verified labels", *(_BELOW / name for name in OpenImagesFiles.LABELS)),
        RequiredPath.files(
            "names of the labels", *(_BELOW / name for name in OpenImagesFiles.CLASS_NAMES)
        ),
        RequiredPath.folders(
            "<ImageID>.jpg (train_0/ ... train_f/ as the archives unpack)",
            _BELOW / "train",
            _BELOW / "train_0",
        ),
    ),
    official=(
        OfficialCount(
            "train", "images", 1_743_042, "download page, training images with boxes", "1.7M"
        ),
    ),
    notes=("the paper does not say which subset it took; 1.7M is what has boxes",),
    verify=_verify,
    samples=SampleReader(("train",), _samples),
)
