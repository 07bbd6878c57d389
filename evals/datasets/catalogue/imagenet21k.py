"""The whole of ImageNet: images with labels for pre-training."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck
from unimo2.formats.imagenet import NAME_FILES, synset_images
from unimo2.formats.parsing import Skips

_SOURCE = "ImageNet, release of autumn 2011"


def _verify(root: Path, images: ImageCheck) -> Findings:
    broken = Skips()
    count = 0
    classes: set[str] = set()
    for image in synset_images(root / "imagenet21k", broken):
        count += 1
        classes.add(image.wnid)
        images.see(image.path)
    counts = {("train", "images"): count, ("train", "classes"): len(classes)}
    return Findings(counts=counts, problems=broken.lines())


DATA_SET = DataSet(
    name="imagenet21k",
    title="ImageNet-21k",
    role="images",
    about="The whole of ImageNet, one folder a WordNet class, for 'a photo of [label]'.",
    licence="ImageNet's terms of access: non-commercial research and education only.",
    source="https://www.image-net.org/download.php",
    places=(
        Place(tuple(f"imagenet21k/{name}" for name in NAME_FILES), "names of the classes"),
        Place(("imagenet21k/",), "<wnid>/*.JPEG", needed=False),
    ),
    official=(
        Official("train", "images", 14_197_122, _SOURCE, "14M"),
        Official("train", "classes", 21_841, _SOURCE),
    ),
    notes=("the release of winter 2021 leaves out 2,674 classes of people and has 19,167",),
    verify=_verify,
)
