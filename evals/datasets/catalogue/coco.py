"""COCO captions in Karpathy's split: captioning, and pairs for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import check_karpathy, karpathy_samples
from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.formats.karpathy import SPLITS
from unimo2.formats.layout import CocoFiles
from unimo2.formats.parsing import Skips

_SOURCE = "dataset_coco.json (Karpathy and Fei-Fei, 2015)"
_TRAINING = ("train", "restval")
_BELOW = CocoFiles(Path())


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    at = CocoFiles(root)
    findings = check_karpathy(at.annotations, at.folder, "coco", SPLITS, images)
    for unit in ("images", "captions"):
        together = sum(findings.counts.get((split, unit), 0) for split in _TRAINING)
        findings.counts["train+restval", unit] = together
    return findings


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    at = CocoFiles(root)
    return karpathy_samples(at.annotations, at.folder, split)


DATA_SET = DataSet(
    name="coco",
    title="COCO captions, Karpathy's split",
    role="benchmark",
    about="123,287 photos (train2014 and val2014) with five to seven human captions each; the "
    "paper's captioning, and with train and restval one of its pre-training corpora.",
    licence="Annotations CC BY 4.0; photos under Flickr's terms of use.",
    source="https://cocodataset.org/#download (train2014, val2014, annotations); "
    "dataset_coco.json from caption_datasets.zip at "
    "https://cs.stanford.edu/people/karpathy/deepimagesent/",
    places=(
        RequiredPath.files("captions and splits", _BELOW.annotations),
        RequiredPath.folders("COCO_train2014_*.jpg", _BELOW.images("train2014")),
        RequiredPath.folders("COCO_val2014_*.jpg", _BELOW.images("val2014")),
        RequiredPath.files(
            "references in the caption server's form",
            *(_BELOW.references(images) for images in ("val2014", "val2017")),
            needed=False,
        ),
    ),
    official=(
        OfficialCount("train", "images", 82_783, _SOURCE),
        OfficialCount("restval", "images", 30_504, _SOURCE),
        OfficialCount("train+restval", "images", 113_287, _SOURCE, "113.2K"),
        OfficialCount("val", "images", 5_000, _SOURCE, "5K"),
        OfficialCount("test", "images", 5_000, _SOURCE, "5K"),
        OfficialCount("train", "captions", 414_113, _SOURCE),
        OfficialCount("restval", "captions", 152_634, _SOURCE),
        OfficialCount("train+restval", "captions", 566_747, _SOURCE, "567K"),
        OfficialCount("val", "captions", 25_010, _SOURCE),
        OfficialCount("test", "captions", 25_010, _SOURCE),
    ),
    notes=("the paper counts restval as training images, as everybody does: 82,783 + 30,504",),
    look_alikes={
        123_287: "all of Karpathy's",
        113_287: "Karpathy's train and restval together",
        40_504: "all of val2014, restval included",
        118_287: "the training images of 2017",
        40_775: "all of test2014, which has no public captions",
        40_670: "all of test2017, which has no public captions",
    },
    benchmark="coco",
    verify=_verify,
    samples=SampleReader(("test", "val", "train", "restval"), _samples),
)
