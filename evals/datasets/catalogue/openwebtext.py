"""OpenWebText: text for pre-training."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.checks import check_text
from evals.datasets.entry import DataSet, Findings, Official, Place
from evals.datasets.images import ImageCheck


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_text(root / "openwebtext")


DATA_SET = DataSet(
    name="openwebtext",
    title="OpenWebText",
    role="text",
    about="Web pages that Reddit links to, 8,013,769 documents; an open replication of WebText.",
    licence="CC0 for the packaging; pages belong to their owners.",
    source="https://skylion007.github.io/OpenWebTextCorpus/ (unpack to .txt files)",
    places=(Place(("openwebtext/",), "*.txt, in folders of any depth"),),
    official=(
        Official("all", "MB", 38_000, "Liu et al., 2019, section 3.2 (38 GB)", "38G", about=True),
    ),
    notes=("the paper's table 6 gives a size, not a number of texts",),
    verify=_verify,
)
