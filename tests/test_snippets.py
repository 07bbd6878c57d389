"""Python in the documents runs as it is printed."""

import re
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer

from unimo2.cli.app import build
from unimo2.cli.arguments import expand

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages whose Python other tests install and run.
ELSEWHERE = {
    "docs/zoo/own-models.md": "tests/zoo/test_own_models.py",
    "docs/contributing/a-benchmark.md": "tests/builders/toy_package.py",
    "docs/contributing/a-data-set.md": "tests/builders/nlvr2.py",
    "docs/contributing/a-model.md": "tests/builders/toy_package.py",
}
HERE = {"README.md", "docs/reports.md", "docs/prediction-formats.md", "docs/scale.md"}


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
    """A working folder without anything in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme(in_a_folder, capsys):
    """Truth: the record on disk, the paper's table and the caption that is printed beside it."""
    (code,) = snippets(ROOT / "README.md")
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert list(in_a_folder.rglob("record.json"))
    assert "Metric(" in out and "UNIMO-2" in out and code.rpartition("# ")[2].strip() in out


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


class Executor:
    """In the place of submitit's, which runs on clusters: keeps the commands of its jobs."""

    jobs: list[list[str]] = []

    def __init__(self, folder):
        self.folder = folder

    def update_parameters(self, **parameters):
        """Any resources will do."""

    def submit(self, job):
        """Keep a job's command."""
        self.jobs.append(job)


def test_the_python_of_the_scale_page(monkeypatch):
    """Truth: the parser of the command line, for every job."""
    helpers = SimpleNamespace(CommandFunction=list)
    module = SimpleNamespace(AutoExecutor=Executor, helpers=helpers)
    monkeypatch.setitem(sys.modules, "submitit", module)
    monkeypatch.setattr(Executor, "jobs", [])
    (code,) = snippets(ROOT / "docs" / "scale.md")
    exec(compile(code, "scale.md", "exec"), {})
    root = typer.main.get_command(build())
    outputs = set()
    for job in Executor.jobs:
        assert job[:4] == ["accelerate", "launch", "-m", "unimo2"]
        verb, *words = expand(root, job[4:])
        given = root.commands[verb].make_context(verb, words).params
        assert given["task"] == "mnli"
        outputs.add(given["output"])
    assert len(outputs) == 3
