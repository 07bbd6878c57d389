"""SBU Captioned Photo Dataset: pairs from Flickr for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import check_web_pairs, web_samples
from evals.datasets.entry import (
    DataSet,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    Sample,
    SampleReader,
    VerificationReport,
)
from unimo2.formats.layout import SbuFiles
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import sbu

_BELOW = SbuFiles(Path()).folder


def _verify(root: Path, images: ImageCheck) -> VerificationReport:
    lost, broken = Skips(), Skips()
    pairs = sbu(SbuFiles(root).folder, lost, broken)
    return check_web_pairs(pairs, "train", lost, broken, images)


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    return web_samples(sbu(SbuFiles(root).folder, skips, skips))


DATA_SET = DataSet(
    name="sbu",
    title="SBU Captioned Photo Dataset",
    role="pairs",
    about="Photos on Flickr with what their owners wrote, as addresses; many are gone.",
    licence="None stated; photos and texts belong to their owners.",
    source="https://www.cs.rice.edu/~vo9/sbucaptions/",
    places=(
        RequiredPath(
            (
                f"{_BELOW}/{SbuFiles.JSON}",
                f"{_BELOW}/{SbuFiles.UNPACKED}/{SbuFiles.URLS}",
                f"{_BELOW}/{SbuFiles.URLS}",
                f"{_BELOW}/{SbuFiles.IMAGES}/00000/",
                f"{_BELOW}/{SbuFiles.IMAGES}/*.tar",
            ),
            f"lists image_urls and captions; or addresses, with {SbuFiles.CAPTIONS} beside them",
        ),
        RequiredPath.folders(
            "<last part of the address>; or what img2dataset wrote",
            _BELOW / SbuFiles.IMAGES,
            _BELOW / SbuFiles.UNPACKED,
        ),
    ),
    official=(OfficialCount("train", "pairs", 1_000_000, "Ordonez et al., 2011", "867K"),),
    notes=("the paper's 867K pairs are fewer than were published: photos vanish from the web",),
    verify=_verify,
    samples=SampleReader(("train",), _samples),
)
