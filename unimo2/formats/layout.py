"""Where the official files of every data set lie below a data root.

Every official name is written here and nowhere else. A data set over `Path()` gives paths relative
to the data root: `Vqa(Path()).questions("val")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class _Layout:
    """A data set below a data root, in the folder of its own name."""

    root: Path
    NAME: ClassVar[str]

    @property
    def folder(self) -> Path:
        return self.root / self.NAME


class Flickr30kFiles(_Layout):
    """Flickr30k in Karpathy's split."""

    NAME = "flickr30k"

    @property
    def annotations(self) -> Path:
        """Karpathy's JSON."""
        return self.folder / "dataset_flickr30k.json"

    @property
    def images(self) -> Path:
        return self.folder / "flickr30k-images"


class CocoFiles(_Layout):
    """COCO's photos and captions; `images` is the folder of a year, such as "val2014"."""

    NAME = "coco"

    @property
    def annotations(self) -> Path:
        """Karpathy's JSON."""
        return self.folder / "dataset_coco.json"

    def references(self, images: str) -> Path:
        """Captions in the caption server's form."""
        return self.folder / "annotations" / f"captions_{images}.json"

    def images(self, images: str) -> Path:
        return self.folder / images

    def image(self, images: str, image_id: int) -> Path:
        return self.images(images) / f"COCO_{images}_{image_id:012d}.jpg"


class VqaFiles(_Layout):
    """VQA v2.0, whose photos are COCO's; splits are "train", "val", "test-dev" and "test-std"."""

    NAME = "vqa"
    SUBTYPES: ClassVar[Mapping[str, str]] = {
        "train": "train2014",
        "val": "val2014",
        "test-dev": "test-dev2015",
        "test-std": "test2015",
    }
    """The server's names of the splits."""
    IMAGES: ClassVar[Mapping[str, str]] = {**SUBTYPES, "test-dev": "test2015"}
    """COCO's folders of their photos."""

    def questions(self, split: str) -> Path:
        return self.folder / f"v2_OpenEnded_mscoco_{self.SUBTYPES[split]}_questions.json"

    def annotations(self, split: str) -> Path:
        """The answers; those of the test splits are on the server (a generated suite has them)."""
        folder = self.folder / "server" if split.startswith("test") else self.folder
        return folder / f"v2_mscoco_{self.SUBTYPES[split]}_annotations.json"

    def complementary_pairs(self, split: str) -> Path:
        return self.folder / f"v2_mscoco_{self.SUBTYPES[split]}_complementary_pairs.json"

    def image(self, split: str, image_id: int) -> Path:
        return CocoFiles(self.root).image(self.IMAGES[split], image_id)


class SnliVeFiles(_Layout):
    """SNLI-VE, whose photos are those of Flickr30k; splits are "train", "dev" and "test"."""

    NAME = "snli_ve"

    def pairs(self, split: str) -> Path:
        return self.folder / f"snli_ve_{split}.jsonl"

    def image(self, name: str) -> Path:
        """The photo that a pair names."""
        return Flickr30kFiles(self.root).images / f"{name}.jpg"


class ImageNetFiles(_Layout):
    """ImageNet-1k; splits are "train" and "val"."""

    NAME = "imagenet"
    MAPPING = "LOC_synset_mapping.txt"
    SOLUTION = "LOC_val_solution.csv"

    @property
    def mapping(self) -> Path:
        """Names of the classes."""
        return self.folder / self.MAPPING

    @property
    def solution(self) -> Path:
        """Classes of the validation images."""
        return self.folder / self.SOLUTION

    def images(self, split: str) -> Path:
        return self.folder / split


class ImageNet21kFiles(_Layout):
    """The whole of ImageNet: one folder per class."""

    NAME = "imagenet21k"
    CLASS_NAMES = ("words.txt", ImageNetFiles.MAPPING)
    """Alternatives: the first that is there is read."""


class GlueFiles(_Layout):
    """The tasks of GLUE; splits are named as the files are ("dev", "dev_matched" ...)."""

    NAME = "glue"
    FOLDERS: ClassVar[Mapping[str, str]] = {
        "sst2": "SST-2",
        "cola": "CoLA",
        "stsb": "STS-B",
        "mnli": "MNLI",
    }

    def task(self, task: str) -> Path:
        """The folder of a task."""
        return self.folder / self.FOLDERS[task]

    def rows(self, task: str, split: str) -> Path:
        return self.task(task) / f"{split}.tsv"


class VisualGenomeFiles(_Layout):
    """Visual Genome's region descriptions; images lie as their two archives unpack."""

    NAME = "visual_genome"
    REGIONS = "region_descriptions.json"
    IMAGE_DATA = "image_data.json"
    """Source of each image."""
    IMAGES = ("VG_100K", "VG_100K_2")


class ConceptualCaptionsFiles(_Layout):
    """Conceptual Captions; splits are "train" and "val"."""

    NAME = "conceptual_captions"
    CAPTIONS: ClassVar[Mapping[str, str]] = {
        "train": "Train_GCC-training.tsv",
        "val": "Validation_GCC-1.1.0-Validation.tsv",
    }
    IMAGES: ClassVar[Mapping[str, str]] = {"train": "training", "val": "validation"}
    """Folders of downloaded images, which are ours to choose."""


class SbuFiles(_Layout):
    """The SBU Captioned Photo Dataset: one JSON, or two text files of which lines belong together."""

    NAME = "sbu"
    JSON = "sbu-captions-all.json"
    URLS = "SBU_captioned_photo_dataset_urls.txt"
    CAPTIONS = "SBU_captioned_photo_dataset_captions.txt"
    UNPACKED = "dataset"
    """The folder into which the archive of the two text files unpacks."""
    IMAGES = "images"


class OpenImagesFiles(_Layout):
    """Open Images V4 to V7."""

    NAME = "open_images"
    LABELS = (
        "train-annotations-human-imagelabels-boxable.csv",
        "oidv6-train-annotations-human-imagelabels-boxable.csv",
        "oidv7-train-annotations-human-imagelabels-boxable.csv",
        "train-annotations-human-imagelabels.csv",
        "oidv6-train-annotations-human-imagelabels.csv",
        "oidv7-train-annotations-human-imagelabels.csv",
    )
    """Names under which the training labels were published; the first that is there is read."""
    CLASS_NAMES = (
        "class-descriptions-boxable.csv",
        "oidv7-class-descriptions-boxable.csv",
        "class-descriptions.csv",
        "oidv6-class-descriptions.csv",
        "oidv7-class-descriptions.csv",
    )
    """Names of the class lists; all that are there are read."""
