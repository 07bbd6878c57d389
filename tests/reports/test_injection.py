"""Texts from records are shown and never executed, whatever the form."""

import csv
import io
import os
import re
import stat
import threading
from html.parser import HTMLParser

import pytest

import reports
from builders.evil import EVIL
from evals import records
from reports.listing import listing
from reports.render import Grid, Table, render, save
from reports.selection import gather
from unimo2.console import visible
from unimo2.errors import BadData, MissingData, UsageError


@pytest.fixture(params=EVIL.values(), ids=EVIL)
def evil(request):
    """A text that means something to some reader of a report."""
    return request.param


@pytest.fixture
def table(evil):
    """A table that holds the text in every place where one can stand."""
    grid = Grid(evil, [evil, "b"], [(evil, evil), (evil, "[x]")], [[evil, "1"], ["2", evil]])
    return Table(evil, grid, (evil,))


def test_terminals_are_never_commanded(table):
    """Against the control and format characters of Unicode: no line holds any but its break."""
    for form in ("text", "md", "csv", "latex", "html"):
        text = render([table], form)
        assert all(letter in "\n\u00a0" or letter.isprintable() for letter in text)


def test_a_row_stays_one_row(table):
    """Against the number of lines that the same table has with harmless texts."""
    grid = Grid("t", ["t", "b"], [("t", "t"), ("t", "[x]")], [["t", "1"], ["2", "t"]])
    plain = Table("t", grid, ("t",))
    for form in ("text", "md", "csv", "latex", "html"):
        assert render([table], form).count("\n") == render([plain], form).count("\n")


def test_a_spreadsheet_computes_nothing(table):
    """Against the characters with which a formula begins, in every cell as csv reads it."""
    text = render([table], "csv")
    rows = [row for row in csv.reader(io.StringIO(text)) if not row[0].startswith("#")]
    for cell in (cell for row in rows for cell in row):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t"))


def test_numbers_of_csv_stay_numbers():
    """Against numbers below zero and in other notations."""
    numbers = ["-1.5", "+2", "-1e-05", "-", "-3.2 %"]
    grid = Grid("a", [str(n) for n in range(len(numbers))], [("", "x")], [numbers])
    assert list(csv.reader(io.StringIO(render([Table("t", grid)], "csv"))))[2][1:] == numbers


class _Reader(HTMLParser):
    """Collects elements, attributes and texts."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def test_html_has_no_element_but_its_own(table, evil):
    """Against the elements of a table, read by the library's parser; the text is there as text."""
    reader = _Reader()
    reader.feed(render([table], "html"))
    assert reader.tags <= {"table", "caption", "tr", "th", "td", "p"}
    assert reader.attributes <= {"colspan"}
    assert visible(evil) in reader.texts


def test_markdown_cells_stay_cells_and_hold_no_html(table):
    """Against GitHub's rules: unescaped pipes separate, "<" begins an element, "](" a link."""
    lines = [line for line in render([table], "md").splitlines() if line.startswith("|")]
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4
    text = render([table], "md")
    assert not re.search(r"(?<!\\)(?:\\\\)*<", text)
    assert not re.search(r"(?<!\\)(?:\\\\)*\]\(", text)
    assert not re.search(r"(?<!\\)(?:\\\\)*`", text)


def test_latex_has_no_command_but_its_own(table):
    """Against the commands that the form writes."""
    own = {
        *("begin", "end", "caption", "toprule", "midrule", "bottomrule", "multicolumn", "textit"),
        *("footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "textless"),
        *("textgreater", "textbar", "textasciigrave", "dagger", "pm", "leq"),
    }
    text = render([table], "latex")
    assert set(re.findall(r"\\([a-zA-Z]+)", text)) <= own
    assert not re.search(r"\\\\\s*\[|rule\s*\[", text)  # an argument of the command before
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_records_with_evil_names_are_shown(make_record, evil):
    """Against a model's name: the reports of a record hold it, escaped, in each form."""
    record = make_record(evil, evil)
    for form in ("text", "csv", "html", "md", "latex"):
        text = render([*reports.report_tables(1, [record], form), *listing([record], form)], form)
        assert all(letter in "\n\u00a0" or letter.isprintable() for letter in text)
        assert "<script>" not in text.replace(r"\<script", "") or form in ("text", "csv")


def test_a_notebook_shows_records_and_tables_escaped(make_record):
    """Against a model called like an element."""
    record = make_record(EVIL["script"])
    (_, measured) = reports.report_tables(1, [record])
    for shown in (record._repr_html_(), measured._repr_html_()):
        assert "<table" in shown and "<script" not in shown and "&lt;script" in shown
    assert "61.0" in make_record()._repr_html_()
    assert "test split (60 of 1,000)" in make_record(note="60 of 1,000")._repr_html_()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e308", "1e999", '"61"', "true"])
def test_records_with_impossible_numbers_are_refused(tmp_path, make_record, number):
    """Against what JSON, floating point or arithmetic on intervals makes of them."""
    path = records.write(make_record(), tmp_path / "mini" / "flickr" / "mini" / "a").path
    text = path.read_text(encoding="utf-8")
    assert gather(tmp_path)
    path.write_text(text.replace('"value": 61.0', f'"value": {number}'), encoding="utf-8")
    with pytest.raises(BadData, match=r"record\.json"):
        gather(tmp_path)


def test_a_folder_of_runs_that_is_named_must_be_there(tmp_path, monkeypatch):
    """Against a folder that is not; the usual one may be missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    assert gather() == []
    with pytest.raises(MissingData, match="no folder of runs at nowhere"):
        gather(tmp_path.relative_to(tmp_path) / "nowhere")


def test_documents_go_through_pipes_and_links_and_not_into_folders(tmp_path):
    """Against a pipe that is read, a link whose target is read, and a folder."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    writer = threading.Thread(target=save, args=("through", pipe))
    writer.start()
    assert pipe.read_text() == "through"
    writer.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    target.write_text("old")
    link.symlink_to(target)
    save("new", link)
    assert link.is_symlink() and target.read_text() == "new"
    with pytest.raises(UsageError, match="is a folder"):
        save("x", tmp_path)
    save("x", tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_text() == "x"
