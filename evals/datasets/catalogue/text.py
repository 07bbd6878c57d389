"""Text for pre-training: BookCorpus and Wikipedia, OpenWebText, and plain text of any origin."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from evals.datasets.checks import check_text
from evals.datasets.entry import (
    DataSet,
    HubFile,
    HubForm,
    ImageCheck,
    OfficialCount,
    RequiredPath,
    VerificationReport,
)


def _verify(folder: str, root: Path, images: ImageCheck) -> VerificationReport:
    return check_text(root / folder)


BOOKWIKI = DataSet(
    name="bookwiki",
    title="BookCorpus and English Wikipedia",
    role="text",
    about="Books and encyclopedia articles, 16 GB of plain text; the first of RoBERTa's corpora.",
    licence="Wikipedia CC BY-SA; BookCorpus is no longer distributed, books belong to their authors.",
    source="Wikipedia from https://dumps.wikimedia.org/ (WikiExtractor makes text of it); BookCorpus "
    "(Zhu et al., 2015) has no official source any more",
    places=(RequiredPath.folders("*.txt, in folders of any depth", Path("bookwiki"), needed=True),),
    official=(
        OfficialCount(
            "all", "MB", 16_000, "Liu et al., 2019, section 3.2 (16 GB)", "16G", about=True
        ),
    ),
    notes=("the paper's table 6 gives a size, not a number of texts",),
    verify=partial(_verify, "bookwiki"),
)

OPENWEBTEXT = DataSet(
    name="openwebtext",
    title="OpenWebText",
    role="text",
    about="Web pages that Reddit links to, 8,013,769 documents; an open replication of WebText.",
    licence="CC0 for the packaging; pages belong to their owners.",
    source="https://skylion007.github.io/OpenWebTextCorpus/ (unpack to .txt files)",
    places=(
        RequiredPath.folders("*.txt, in folders of any depth", Path("openwebtext"), needed=True),
    ),
    official=(
        OfficialCount(
            "all", "MB", 38_000, "Liu et al., 2019, section 3.2 (38 GB)", "38G", about=True
        ),
    ),
    notes=("the paper's table 6 gives a size, not a number of texts",),
    verify=partial(_verify, "openwebtext"),
)

TEXT = DataSet(
    name="text",
    title="Plain text (WikiText, or any other)",
    role="text",
    about="Any text, for example WikiText-2 or WikiText-103 (Merity et al., 2017): articles of "
    "Wikipedia, small enough to try with; not one of the paper's corpora.",
    licence="WikiText CC BY-SA 3.0.",
    source="https://huggingface.co/datasets/Salesforce/wikitext",
    places=(
        RequiredPath.folders(
            "*.txt, *.tokens or *.raw, in folders of any depth", Path("text"), needed=True
        ),
    ),
    official=(),
    verify=partial(_verify, "text"),
    hub=HubForm(
        "Salesforce/wikitext",
        "wikitext-2-raw-v1",
        "text/wikitext-2-raw-v1",
        tuple(HubFile(split, f"{split}.txt") for split in ("train", "validation", "test")),
        {"text": "text"},
    ),
)
