"""Visual Genome: phrases about regions, pairs for pre-training."""

from __future__ import annotations

from array import array
from pathlib import Path

from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck
from unimo2.formats.parsing import Skips
from unimo2.formats.visual_genome import IMAGE_FOLDERS, REGIONS_FILE, read_regions


def _verify(root: Path, images: ImageCheck) -> Findings:
    import numpy as np

    lost, broken = Skips(), Skips()
    there = 0
    identifiers = array("q")
    for image in read_regions(root / "visual_genome", lost, broken):
        there += 1
        images.see(image.path)
        identifiers.extend(region.id for region in image.regions)
    findings = Findings(problems=[*broken.lines(), *lost.lines()])
    findings.counts = {
        ("train", "images"): there + lost.total,
        ("train", "images on disk"): there,
        # A missing image takes its phrases with it: its regions are not counted.
        ("train", "regions"): len(identifiers),
    }
    repeated = len(identifiers) - len(np.unique(np.asarray(identifiers)))
    if repeated:
        findings.problems.append(f"{repeated:,} region ids occur more than once")
    return findings


DATA_SET = DataSet(
    name="visual_genome",
    title="Visual Genome",
    role="pairs",
    about="Photos (half of them COCO's) with phrases about many regions of each.",
    licence="CC BY 4.0; photos under Flickr's terms of use.",
    source="https://homes.cs.washington.edu/~ranjay/visualgenome/api.html (images part 1 and 2, "
    "region descriptions, version 1.2 or 1.0)",
    places=(
        Place((f"visual_genome/{REGIONS_FILE}",), "images with their regions' phrases"),
        Place((f"visual_genome/{IMAGE_FOLDERS[0]}/",), "<image id>.jpg (part 1)", needed=False),
        Place((f"visual_genome/{IMAGE_FOLDERS[1]}/",), "<image id>.jpg (part 2)", needed=False),
    ),
    official=(
        Official("train", "images", 108_077, "Visual Genome's home page", "108K"),
        Official(
            "train",
            "regions",
            5_408_689,
            "counted in region_descriptions.json by its users; 5.4 million on the home page",
            "5.41M",
        ),
    ),
    verify=_verify,
)
