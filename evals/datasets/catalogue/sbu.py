"""SBU Captioned Photo Dataset: pairs from Flickr for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import check_web_pairs, web_samples
from evals.datasets.entry import DataSet, Findings, Official, Place, Sample, Samples
from evals.datasets.images import ImageCheck
from unimo2.formats.layout import Sbu
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import sbu

_BELOW = Sbu(Path()).folder


def _verify(root: Path, images: ImageCheck) -> Findings:
    lost, broken = Skips(), Skips()
    pairs = sbu(Sbu(root).folder, lost, broken)
    return check_web_pairs(pairs, "train", lost, broken, images)


def _samples(root: Path, split: str, skips: Skips) -> Iterator[Sample]:
    return web_samples(sbu(Sbu(root).folder, skips, skips))


DATA_SET = DataSet(
    name="sbu",
    title="SBU Captioned Photo Dataset",
    role="pairs",
    about="Photos on Flickr with what their owners wrote, as addresses; many are gone.",
    licence="None stated; photos and texts belong to their owners.",
    source="https://www.cs.rice.edu/~vo9/sbucaptions/",
    places=(
        Place(
            (
                f"{_BELOW}/{Sbu.JSON}",
                f"{_BELOW}/{Sbu.UNPACKED}/{Sbu.URLS}",
                f"{_BELOW}/{Sbu.URLS}",
                f"{_BELOW}/{Sbu.IMAGES}/00000/",
                f"{_BELOW}/{Sbu.IMAGES}/*.tar",
            ),
            f"lists image_urls and captions; or addresses, with {Sbu.CAPTIONS} beside them",
        ),
        Place.folders(
            "<last part of the address>; or what img2dataset wrote",
            _BELOW / Sbu.IMAGES,
            _BELOW / Sbu.UNPACKED,
        ),
    ),
    official=(Official("train", "pairs", 1_000_000, "Ordonez et al., 2011", "867K"),),
    notes=("the paper's 867K pairs are fewer than were published: photos vanish from the web",),
    verify=_verify,
    samples=Samples(("train",), _samples),
)
