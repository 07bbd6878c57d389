"""ImageNet-1k: image classification."""

from __future__ import annotations

from evals.data_sets.entry import DataSet, Official, Place

_SOURCE = "Russakovsky et al., 2015 (ILSVRC 2012)"

DATA_SET = DataSet(
    name="imagenet",
    title="ImageNet-1k (ILSVRC 2012)",
    role="benchmark",
    about="Photos of 1,000 classes; the paper's image classification, zero-shot and fine-tuned.",
    licence="ImageNet's terms of access: non-commercial research and education only.",
    source="https://www.image-net.org/download.php (or the Kaggle ImageNet object localization "
    "challenge)",
    places=(
        Place(("imagenet/LOC_synset_mapping.txt",), "names of the classes"),
        Place(("imagenet/train/",), "<wnid>/*.JPEG", needed=False),
        Place(("imagenet/val/",), "<wnid>/*.JPEG", needed=False),
    ),
    official=(
        Official("train", "images", 1_281_167, _SOURCE),
        Official("val", "images", 50_000, _SOURCE),
        Official("all", "classes", 1_000, _SOURCE),
    ),
    notes=("as distributed, val is one flat folder and LOC_val_solution.csv names the classes",),
    benchmark="imagenet",
)
