"""Python in the documents runs as it is printed."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages whose Python other tests install and run.
ELSEWHERE = {
    "docs/zoo/own-models.md": "tests/zoo/test_own_models.py",
    "docs/contributing/a-benchmark.md": "tests/builders/toy_package.py",
    "docs/contributing/a-model.md": "tests/builders/toy_package.py",
}
HERE = {"README.md", "docs/reports.md", "docs/prediction-formats.md"}


def snippets(page):
    """The blocks of Python in a page: fenced ones, and indented ones that import something."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:^(?: {4}.*)?\n)*^ {4}.*\n", rest, flags=re.M)
    code = (textwrap.dedent(block).strip() + "\n" for block in indented)
    return fenced + [block for block in code if re.match(r"(import|from) \w+", block)]


def test_every_page_with_python_is_run_by_some_test():
    """Truth: the pages, and the tests that name those that they run."""
    found = {str(page.relative_to(ROOT)) for page in PAGES if snippets(page)}
    assert found == HERE | set(ELSEWHERE)
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """A working folder with a picture, as a reader has one."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save("picture.jpg")
    return tmp_path


def test_the_python_of_the_readme(in_a_folder, capsys):
    """Truth: the record on disk, the paper's table and a caption in words."""
    (code,) = snippets(ROOT / "README.md")
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert list(in_a_folder.rglob("record.json"))
    assert "Metric(" in out and "UNIMO-2" in out and re.search(r"\['[A-Z]\w* \w+", out)


def test_the_python_of_the_reports(in_a_folder):
    """Truth: the files; the site's call is held against its signature, because it takes a minute."""
    (code,) = snippets(ROOT / "docs" / "reports.md")
    quick = code.replace("\nbuild(", "\n__import__('inspect').signature(build).bind(")
    assert quick != code
    names: dict[str, object] = {}
    exec(compile(quick, "reports.md", "exec"), names)
    names["reports"].figure("k-sweep").save(Path("k.svg"))
    assert "</svg>" in Path("k.svg").read_text()


def test_the_python_of_the_prediction_formats(in_a_folder):
    """Truth: the matrix by hand."""
    (code,) = snippets(ROOT / "docs" / "prediction-formats.md")
    exec(code, {"image_features": np.eye(2), "text_features": np.ones((3, 2))})
    assert np.array_equal(np.load("SCORES.npy"), np.ones((2, 3)))
