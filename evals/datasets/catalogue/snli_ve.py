"""SNLI-VE: whether a sentence follows from a Flickr30k photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import by_image, check_files
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
from unimo2.formats.layout import Flickr30kFiles, SnliVeFiles
from unimo2.formats.parsing import MISSING_IMAGE, Skips
from unimo2.formats.snli_ve import LABELS, NO_MAJORITY, read_pairs

_SOURCE = "README of the SNLI-VE repository (Xie et al., 2019)"
_SPLITS = ("train", "dev", "test")
_BELOW = SnliVeFiles(Path())


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    findings = VerificationReport()
    first_split: dict[str, str] = {}
    at = SnliVeFiles(root)
    for split in _SPLITS:
        path = at.pairs(split)
        if not path.is_file():
            continue
        try:
            shown = _check_split(split, path, findings)
        except BadData as error:
            findings.problems.append(str(error))
            continue
        findings.problems += check_files(split, map(at.image, shown), images)
        shared = Counter(first_split[name] for name in shown if name in first_split)
        findings.problems += [
            f"{count:,} images are in {other} and in {split}" for other, count in shared.items()
        ]
        first_split |= dict.fromkeys(shown, split)
    return findings


def _check_split(split: str, path: Path, findings: VerificationReport) -> list[str]:
    """Count one file; the names of its images."""
    broken = Skips()
    pairs = read_pairs(path, broken)
    findings.problems += broken.lines()
    labels = Counter(pair.label for pair in pairs)
    shown = sorted({pair.image for pair in pairs})
    findings.counts[split, "pairs"] = len(pairs)
    findings.counts[split, "images"] = len(shown)
    for label in LABELS:
        findings.counts[split, label] = labels[label]
    if labels[None]:
        findings.notes.append(
            f"{split}: {labels[None]:,} pairs with the label '{NO_MAJORITY}' (no majority among the "
            "annotators); they are left out of every score"
        )
    return shown


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    return by_image(_lines(SnliVeFiles(root), split, skips))


def _lines(at: SnliVeFiles, split: str, skips: Skips) -> Iterator[tuple[Path, str]]:
    """Photo, and label with sentence."""
    for pair in read_pairs(at.pairs(split)):
        path = at.image(pair.image)
        if path.is_file():
            yield path, f"{pair.label or NO_MAJORITY}: {pair.hypothesis}"
        else:
            skips.add(MISSING_IMAGE, str(path))


DATA_SET = DataSet(
    name="snli_ve",
    title="SNLI-VE",
    role="benchmark",
    about="Sentences of SNLI with the Flickr30k photo that stood behind the premise: entailment, "
    "neutral or contradiction.",
    licence="Code BSD-2-Clause; SNLI is CC BY-SA 4.0; photos as for Flickr30k.",
    source="https://github.com/necla-ml/SNLI-VE",
    places=(
        RequiredPath.files("training pairs", _BELOW.pairs("train")),
        RequiredPath.files("development pairs", _BELOW.pairs("dev")),
        RequiredPath.files("test pairs", _BELOW.pairs("test")),
        RequiredPath.folders("<Flickr30K_ID>.jpg", Flickr30kFiles(Path()).images),
    ),
    official=(
        OfficialCount("train", "pairs", 529_527, _SOURCE, "529.5K (as images)"),
        OfficialCount("dev", "pairs", 17_858, _SOURCE, "17.9K (as images)"),
        OfficialCount("test", "pairs", 17_901, _SOURCE, "17.9K (as images)"),
        OfficialCount("train", "images", 29_783, _SOURCE),
        OfficialCount("dev", "images", 1_000, _SOURCE),
        OfficialCount("test", "images", 1_000, _SOURCE),
        OfficialCount("train", "entailment", 176_932, _SOURCE),
        OfficialCount("dev", "entailment", 5_959, _SOURCE),
        OfficialCount("test", "entailment", 5_973, _SOURCE),
        OfficialCount("train", "neutral", 176_045, _SOURCE),
        OfficialCount("dev", "neutral", 5_960, _SOURCE),
        OfficialCount("test", "neutral", 5_964, _SOURCE),
        OfficialCount("train", "contradiction", 176_550, _SOURCE),
        OfficialCount("dev", "contradiction", 5_939, _SOURCE),
        OfficialCount("test", "contradiction", 5_964, _SOURCE),
    ),
    notes=(
        "the paper's table 7 counts SNLI-VE's image-sentence pairs as images: 529.5K / 17.9K / "
        "17.9K are pairs, of 29,783 / 1,000 / 1,000 images",
    ),
    look_alikes={
        550_152: "all training pairs of SNLI, of which SNLI-VE leaves some out",
        565_286: "train, dev and test together",
        547_385: "train and dev together",
        547_428: "train and test together",
    },
    benchmark="snli_ve",
    verify=_verify,
    samples=SampleReader(_SPLITS[::-1], _samples),
)
