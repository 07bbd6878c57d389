"""ImageNet-1k: image classification."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from evals.datasets.checks import first_of
from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.errors import BadData
from unimo2.formats.imagenet import LabelledImage, find_above, read_labels, read_synsets
from unimo2.formats.layout import ImageNetFiles
from unimo2.formats.parsing import MISSING_IMAGE, Skips, first_few

_SOURCE = "Russakovsky et al., 2015 (ILSVRC 2012)"
_BELOW = ImageNetFiles(Path())


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    at = ImageNetFiles(root)
    findings = VerificationReport()
    known = _check_mapping(at.mapping, findings)
    read: dict[str, list[LabelledImage]] = {}
    for split in ("train", "val"):
        if not at.images(split).is_dir():
            continue
        broken, left_out = Skips(), Skips()
        try:
            read[split] = read_labels(at.images(split), broken, left_out)
        except BadData as error:
            findings.problems.append(str(error))
            continue
        findings.problems += broken.lines()
        if left_out.total:
            others = f"{left_out.total:,} files beside the images are not read"
            findings.notes.append(f"{split}: {others}, {first_of(left_out)}")
        _check_split(split, read[split], known, findings)
        for image in read[split]:
            if image.path is not None:
                images.see(image.path)
    train, val = read.get("train", []), read.get("val", [])
    shared = len({image.name for image in train} & {image.name for image in val})
    if shared:
        findings.problems.append(f"{shared:,} images are in train and in val")
    findings.problems += _check_solution(at.images("val"), val)
    return findings


def _check_mapping(path: Path, findings: VerificationReport) -> Collection[str]:
    """Classes that have a name; a problem if their list is missing."""
    if not path.is_file():
        findings.problems.append(f"no {path}: the classes have no names")
        return ()
    broken = Skips()
    try:
        synsets = read_synsets(path, broken)
    except BadData as error:
        findings.problems.append(str(error))
        return ()
    findings.problems += broken.lines()
    findings.counts["all", "classes"] = len(synsets)
    return frozenset(synset.wnid for synset in synsets)


def _check_split(
    split: str, found: Sequence[LabelledImage], known: Collection[str], findings: VerificationReport
) -> None:
    classes = {image.wnid for image in found}
    findings.counts[split, "images"] = len(found)
    findings.counts[split, "classes"] = len(classes)
    unnamed = sorted(classes - set(known)) if known else []
    if unnamed:
        findings.problems.append(
            f"{split}: {len(unnamed):,} classes that {_BELOW.MAPPING} does not name: {first_few(unnamed)}"
        )


def _check_solution(folder: Path, found: Sequence[LabelledImage]) -> list[str]:
    """Disagreements of sorted images with the official list of their classes, if present."""
    path = find_above(folder, _BELOW.SOLUTION)
    flat = any(image.path is not None and image.path.parent == folder for image in found)
    if path is None or flat or not found:
        return []  # flat images have their classes from that very list
    broken = Skips()
    official = {image.name: image.wnid for image in read_labels(path, broken)}
    wrong = [image for image in found if official.get(image.name, image.wnid) != image.wnid]
    unknown = [image.name for image in found if image.name not in official]
    lost = len(official.keys() - {image.name for image in found})
    problems = broken.lines()
    if wrong:
        first = f"{wrong[0].path}: its class is {official[wrong[0].name]}"
        problems.append(f"val: {len(wrong):,} images in the folder of another class, first {first}")
    if unknown:
        problems.append(
            f"val: {len(unknown):,} images that {path} does not name, first {unknown[0]}"
        )
    if lost:
        problems.append(f"val: {lost:,} of the {len(official):,} images of {path} not on disk")
    return problems


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    at = ImageNetFiles(root)
    names = {synset.wnid: synset.names for synset in read_synsets(at.mapping)}
    for image in read_labels(at.images(split)):
        if image.path is None:
            skips.add(MISSING_IMAGE, image.name)
        else:
            label = ", ".join(names.get(image.wnid, ("a class without a name",)))
            yield Sample(image.path, f"{image.name} ({image.wnid})", (label,))


DATA_SET = DataSet(
    name="imagenet",
    title="ImageNet-1k (ILSVRC 2012)",
    role="benchmark",
    about="Photos of 1,000 classes; the paper's image classification, zero-shot and fine-tuned.",
    licence="ImageNet's terms of access: non-commercial research and education only.",
    source="https://www.image-net.org/download.php (or the Kaggle ImageNet object localization "
    "challenge)",
    places=(
        RequiredPath.files("names of the classes", _BELOW.mapping),
        RequiredPath.folders("<wnid>/*.JPEG", _BELOW.images("train")),
        RequiredPath.folders(
            f"<wnid>/*.JPEG; or *.JPEG as distributed, with {_BELOW.SOLUTION} in imagenet/",
            _BELOW.images("val"),
            needed=True,
        ),
    ),
    official=(
        OfficialCount("train", "images", 1_281_167, _SOURCE),
        OfficialCount("val", "images", 50_000, _SOURCE),
        OfficialCount("all", "classes", 1_000, _SOURCE),
        OfficialCount("train", "classes", 1_000, _SOURCE),
        OfficialCount("val", "classes", 1_000, _SOURCE),
    ),
    notes=(
        f"as distributed, val is one flat folder and {_BELOW.SOLUTION} names the classes; both "
        "forms are read",
    ),
    look_alikes={
        100_000: "as many as the official test images, which have no public classes",
        1_331_167: "the train and val images together",
        14_197_122: "the images of all of ImageNet (imagenet21k)",
        10_000: "as many as ImageNetV2's",
    },
    benchmark="imagenet",
    verify=_verify,
    samples=SampleReader(("val", "train"), _samples),
)
