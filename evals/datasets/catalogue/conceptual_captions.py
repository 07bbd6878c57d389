"""Conceptual Captions: pairs from the web for pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets.checks import check_web_pairs, merge
from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck
from unimo2.formats.parsing import Skips
from unimo2.formats.web_captions import CC_FILES, CC_FOLDERS, conceptual_captions, in_shards

_SOURCE = "Sharma et al., 2018, and the official download page"


def _verify(root: Path, images: ImageCheck) -> Findings:
    return merge(_splits(root / "conceptual_captions", images))


def _splits(folder: Path, images: ImageCheck) -> Iterator[Findings]:
    for split in CC_FILES:
        if (folder / CC_FILES[split]).is_file() or in_shards(folder / CC_FOLDERS[split]):
            lost, broken = Skips(), Skips()
            pairs = conceptual_captions(folder, split, lost, broken)
            yield check_web_pairs(pairs, split, lost, broken, images)


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
        Place(
            (
                f"conceptual_captions/{CC_FILES['train']}",
                "conceptual_captions/training/00000/",
                "conceptual_captions/training/*.tar",
            ),
            "caption<TAB>address, no header; or what img2dataset wrote",
        ),
        Place(
            ("conceptual_captions/training/",),
            "<CRC-32 of the address>[.jpg]; or 00000/000000000.jpg with 000000000.txt",
            needed=False,
        ),
        Place((f"conceptual_captions/{CC_FILES['val']}",), "the same for val", needed=False),
        Place(("conceptual_captions/validation/",), "as training/", needed=False),
    ),
    official=(
        Official("train", "pairs", 3_318_333, _SOURCE, "3.01M"),
        Official("val", "pairs", 15_840, _SOURCE),
    ),
    notes=(
        "the paper's 3.01M pairs are fewer than were published: images vanish from the web, and "
        "every download has others",
    ),
    verify=_verify,
)
