"""SBU Captioned Photo Dataset: pairs from Flickr for pre-training."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.checks import check_web_pairs
from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import SBU_CAPTIONS, SBU_JSON, SBU_URLS, sbu


def _verify(root: Path, images: ImageCheck) -> Findings:
    lost, broken = Skips(), Skips()
    return check_web_pairs(sbu(root / "sbu", lost, broken), "train", lost, broken, images)


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
                f"sbu/{SBU_JSON}",
                f"sbu/dataset/{SBU_URLS}",
                f"sbu/{SBU_URLS}",
                "sbu/images/00000/",
                "sbu/images/*.tar",
            ),
            f"lists image_urls and captions; or addresses, with {SBU_CAPTIONS} beside them",
        ),
        Place(
            ("sbu/images/", "sbu/dataset/"),
            "<last part of the address>; or what img2dataset wrote",
            needed=False,
        ),
    ),
    official=(Official("train", "pairs", 1_000_000, "Ordonez et al., 2011", "867K"),),
    notes=("the paper's 867K pairs are fewer than were published: photos vanish from the web",),
    verify=_verify,
)
