"""Visual Genome: phrases about regions, pairs for pre-training."""

from __future__ import annotations

from array import array
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
from unimo2.formats.layout import VisualGenomeFiles
from unimo2.formats.parsing import Skips
from unimo2.formats.visual_genome import read_regions

_PHRASES = 12  # shown, of the fifty that an image has
_BELOW = VisualGenomeFiles(Path()).folder


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    import numpy as np

    lost, broken = Skips(), Skips()
    there = 0
    identifiers = array("q")
    for image in read_regions(VisualGenomeFiles(root).folder, lost, broken):
        there += 1
        images.see(image.path)
        identifiers.extend(region.id for region in image.regions)
    findings = VerificationReport(problems=[*broken.lines(), *lost.lines()])
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


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    for image in read_regions(VisualGenomeFiles(root).folder, skips, skips):
        lines = [f"{region.phrase} {region.box}" for region in image.regions[:_PHRASES]]
        rest = len(image.regions) - _PHRASES
        more = [f"and {rest} more"] if rest > 0 else []
        yield Sample(image.path, f"{image.id}: phrase (x, y, width, height)", (*lines, *more))


DATA_SET = DataSet(
    name="visual_genome",
    title="Visual Genome",
    role="pairs",
    about="Photos (half of them COCO's) with phrases about many regions of each.",
    licence="CC BY 4.0; photos under Flickr's terms of use.",
    source="https://homes.cs.washington.edu/~ranjay/visualgenome/api.html (images part 1 and 2, "
    "region descriptions, version 1.2 or 1.0)",
    places=(
        RequiredPath.files(
            "images with their regions' phrases", _BELOW / VisualGenomeFiles.REGIONS
        ),
        *(
            RequiredPath.folders(f"<image id>.jpg (part {part})", _BELOW / folder)
            for part, folder in enumerate(VisualGenomeFiles.IMAGES, start=1)
        ),
    ),
    official=(
        OfficialCount("train", "images", 108_077, "Visual Genome's home page", "108K"),
        OfficialCount(
            "train",
            "regions",
            5_408_689,
            "counted in region_descriptions.json by its users; 5.4 million on the home page",
            "5.41M",
        ),
    ),
    verify=_verify,
    samples=SampleReader(("train",), _samples),
)
