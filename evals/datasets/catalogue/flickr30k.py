"""Flickr30k in Karpathy's split: image-text retrieval."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.checks import check_karpathy
from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck

_SOURCE = "dataset_flickr30k.json (Karpathy and Fei-Fei, 2015)"


def _verify(root: Path, images: ImageCheck) -> Findings:
    folder = root / "flickr30k"
    captions, pictures = folder / "dataset_flickr30k.json", folder / "flickr30k-images"
    return check_karpathy(captions, pictures, "flickr30k", ("train", "val", "test"), images)


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
        Place(("flickr30k/dataset_flickr30k.json",), "captions and splits"),
        Place(("flickr30k/flickr30k-images/",), "<id>.jpg", needed=False),
    ),
    official=(
        Official("train", "images", 29_000, _SOURCE, "29K"),
        Official("val", "images", 1_014, _SOURCE, "1K"),
        Official("test", "images", 1_000, _SOURCE, "1K"),
        Official("train", "captions", 145_000, _SOURCE, "145K"),
        Official("val", "captions", 5_070, _SOURCE, "5K"),
        Official("test", "captions", 5_000, _SOURCE, "5K"),
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
)
