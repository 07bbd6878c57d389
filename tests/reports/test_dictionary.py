"""The page of the grounded dictionary: rows, words and outlined patches of a real model."""

import io
from pathlib import Path

import pytest
from PIL import Image

from evals import records
from evals.suite_mini import SuiteRequest, make_suite
from reports.dictionary import ROWS, dictionary_rows
from reports.site import SiteRequest, build
from unimo2.errors import IncompatibleModel


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An embedded suite with a few images."""
    folder = tmp_path_factory.mktemp("dictionary") / "suite"
    make_suite(folder, SuiteRequest(scale=0.03, flickr_test=10), 1, parts=["flickr30k"])
    return folder


def test_rows_come_with_outlined_patches(root):
    """Against the shares' order, and the red outline in the middle of each patch's picture."""
    lead, rows = dictionary_rows("mini", root, limit=8)
    assert len(rows) == ROWS and "8 validation images" in lead
    used = [int(row["images"].split()[0]) + int(row["texts"].split()[0]) for row in rows]
    assert all(a >= b - 2 for a, b in zip(used, used[1:], strict=False))  # rounded shares
    for patch in rows[0]["patches"]:
        with Image.open(io.BytesIO(patch["content"])) as picture:
            assert picture.size == (72, 72) and picture.getpixel((23, 36))[:3] == (208, 0, 0)
    assert all(row["words"] for row in rows)


def test_the_site_shows_them(root, tmp_path, monkeypatch):
    """Against the pictures in the folder."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    (tmp_path / "runs").mkdir()
    request = SiteRequest(tmp_path / "runs", root, dictionary="mini")
    folder = build(tmp_path / "site", request).index.parent
    page = Path(folder / "dictionary.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == ROWS + 1
    assert all(f"thumbs/{p.name}" in page for p in (folder / "thumbs").glob("*.png"))


def test_a_model_without_a_dictionary_is_refused(root):
    """Against the embedded model for VQA, which is fine-tuned."""
    with pytest.raises(IncompatibleModel, match="mini-vqa"):
        dictionary_rows("mini-vqa", root)
