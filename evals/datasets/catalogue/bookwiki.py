"""BookCorpus and English Wikipedia: text for pre-training."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.checks import check_text
from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_text(root / "bookwiki")


DATA_SET = DataSet(
    name="bookwiki",
    title="BookCorpus and English Wikipedia",
    role="text",
    about="Books and encyclopedia articles, 16 GB of plain text; the first of RoBERTa's corpora.",
    licence="Wikipedia CC BY-SA; BookCorpus is no longer distributed, books belong to their authors.",
    source="Wikipedia from https://dumps.wikimedia.org/ (WikiExtractor makes text of it); BookCorpus (Zhu et al., 2015) has no official source any more",
    places=(Place(("bookwiki/",), "*.txt, in folders of any depth"),),
    official=(
        Official("all", "MB", 16_000, "Liu et al., 2019, section 3.2 (16 GB)", "16G", about=True),
    ),
    notes=("the paper's table 6 gives a size, not a number of texts",),
    verify=_verify,
)
