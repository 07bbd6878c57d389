"""Conceptual Captions: pairs from the web for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import check_web_pairs, merge, web_samples
from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.formats.layout import ConceptualCaptionsFiles as _CC
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import conceptual_captions, in_shards

_SOURCE = "Sharma et al., 2018, and the official download page"
_BELOW = _CC(Path()).folder


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    return merge(_splits(_CC(root).folder, images))


def _splits(folder: Path, images: ImageCheck) -> Iterator[VerificationReport]:
    for split, captions in _CC.CAPTIONS.items():
        if (folder / captions).is_file() or in_shards(folder / _CC.IMAGES[split]):
            lost, broken = Skips(), Skips()
            pairs = conceptual_captions(folder, split, lost, broken)
            yield check_web_pairs(pairs, split, lost, broken, images)


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    return web_samples(conceptual_captions(_CC(root).folder, split, skips, skips))


DATA_SET = DataSet(
    name="conceptual_captions",
    title="Conceptual Captions (CC3M)",
    role="pairs",
    about="Images on the web with a cleaned version of the text beside them, as addresses; many "
    "are dead.",
    licence="Captions free for any purpose with acknowledgement of Google; images belong to their "
    "owners.",
    source="https://ai.google.com/research/ConceptualCaptions/download",
    places=(
        RequiredPath(
            (
                f"{_BELOW}/{_CC.CAPTIONS['train']}",
                f"{_BELOW}/{_CC.IMAGES['train']}/00000/",
                f"{_BELOW}/{_CC.IMAGES['train']}/*.tar",
            ),
            "caption<TAB>address, no header; or what img2dataset wrote",
        ),
        RequiredPath.folders(
            "<CRC-32 of the address>[.jpg]; or 00000/000000000.jpg with 000000000.txt",
            _BELOW / _CC.IMAGES["train"],
        ),
        RequiredPath.files("the same for val", _BELOW / _CC.CAPTIONS["val"], needed=False),
        RequiredPath.folders(f"as {_CC.IMAGES['train']}/", _BELOW / _CC.IMAGES["val"]),
    ),
    official=(
        OfficialCount("train", "pairs", 3_318_333, _SOURCE, "3.01M"),
        OfficialCount("val", "pairs", 15_840, _SOURCE),
    ),
    notes=(
        "the paper's 3.01M pairs are fewer than were published: images vanish from the web, and "
        "every download has others",
    ),
    verify=_verify,
    samples=SampleReader(("train", "val"), _samples),
)
