"""Plain text of any origin, such as WikiText; not one of the corpora of the paper."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.checks import check_text
from evals.datasets.entry import DataSet, Findings, Place
from evals.datasets.images import ImageCheck


def _verify(root: Path, images: ImageCheck) -> Findings:
    return check_text(root / "text")


DATA_SET = DataSet(
    name="text",
    title="Plain text (WikiText, or any other)",
    role="text",
    about="Any text, for example WikiText-2 or WikiText-103 (Merity et al., 2017): articles of "
    "Wikipedia, small enough to try with; not one of the paper's corpora.",
    licence="WikiText CC BY-SA 3.0.",
    source="https://huggingface.co/datasets/Salesforce/wikitext",
    places=(Place(("text/",), "*.txt, *.tokens or *.raw, in folders of any depth"),),
    official=(),
    verify=_verify,
)
