"""Flickr30k in Karpathy's split: image-text retrieval."""

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
from unimo2.formats.layout import Flickr30kFiles
from unimo2.formats.parsing import Skips

_SOURCE = "dataset_flickr30k.json (Karpathy and Fei-Fei, 2015)"
_BELOW = Flickr30kFiles(Path())


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    at = Flickr30kFiles(root)
    splits = ("train", "val", "test")
    return check_karpathy(at.annotations, at.images, "flickr30k", splits, images)


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    at = Flickr30kFiles(root)
    return karpathy_samples(at.annotations, at.images, split)


DATA_SET = DataSet(
    name="flickr30k",
    title="Flickr30k, Karpathy's split",
    role="benchmark",
    about="31,783 photos from Flickr with five human captions each, of which Karpathy's split "
    "uses 31,014; the paper's image-text retrieval.",
    licence="Photos belong to their photographers (Flickr's terms); captions for non-commercial "
    "research and education.",
    source="Images on request from https://shannon.cs.illinois.edu/DenotationGraph/; "
    "dataset_flickr30k.json from caption_datasets.zip at "
    "https://cs.stanford.edu/people/karpathy/deepimagesent/",
    places=(
        RequiredPath.files("captions and splits", _BELOW.annotations),
        RequiredPath.folders("<id>.jpg", _BELOW.images),
    ),
    official=(
        OfficialCount("train", "images", 29_000, _SOURCE, "29K"),
        OfficialCount("val", "images", 1_014, _SOURCE, "1K"),
        OfficialCount("test", "images", 1_000, _SOURCE, "1K"),
        OfficialCount("train", "captions", 145_000, _SOURCE, "145K"),
        OfficialCount("val", "captions", 5_070, _SOURCE, "5K"),
        OfficialCount("test", "captions", 5_000, _SOURCE, "5K"),
    ),
    look_alikes={
        31_014: "all of Karpathy's",
        31_783: "all of Flickr30k, with the 769 that Karpathy leaves out",
        30_014: "Karpathy's train and val together",
        29_783: "the training images of another split (SNLI-VE's and Flickr30k Entities')",
        8_000: "all of Karpathy's Flickr8k",
        8_092: "all of Flickr8k",
        6_000: "the training images of Flickr8k",
    },
    benchmark="flickr",
    verify=_verify,
    samples=SampleReader(("test", "val", "train"), _samples),
)
