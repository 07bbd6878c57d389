"""`unimo2 report`, from the command line to the text."""

import json

import pytest

from evals import records
from unimo2.cli import main


@pytest.fixture(autouse=True)
def no_records(monkeypatch, tmp_path):
    """No records in the package, and a runs folder that is not there."""
    monkeypatch.setattr(records, "MEASURED", tmp_path / "none")
    monkeypatch.chdir(tmp_path)


def test_several_tables_come_in_the_order_asked_for(capsys):
    """Against the tables' titles."""
    assert main(["report", "--table", "3", "1", "2"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"Table {n}: ") for n in (3, 1, 2)]
    assert places == sorted(places) and "72.70/91.18" in out


@pytest.mark.parametrize("number", range(1, 11))
def test_every_table_is_there_with_what_was_measured_beneath(capsys, number):
    """Against the ten tables of the paper; settings (6 to 9) are not measured."""
    assert main(["report", "--table", str(number)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Table {number}: ")
    assert ("not measured" in out) == (number not in (6, 7, 8, 9))


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("md", "| UNIMO-2 |"),
        ("csv", "UNIMO-2,66.3,80.8"),
        ("latex", r"\toprule"),
        ("json", '"value": "66.3"'),
    ],
)
def test_forms_and_files(form, mark, tmp_path, capsys):
    """Against a mark of each form; a file holds the same as the terminal shows."""
    assert main(["report", "--table", "2", "--format", form]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "new" / "table"
    assert main(["report", "--table", "2", "--format", form, "--output", str(path)]) == 0
    captured = capsys.readouterr()
    assert path.read_text(encoding="utf-8") == shown and mark in shown
    assert captured.out == "" and str(path) in captured.err


def test_without_a_table_it_says_what_there_is(capsys):
    """Against the ten tables and an empty runs folder; JSON holds the same."""
    assert main(["report"]) == 0
    out = capsys.readouterr().out
    assert "Nothing was measured." in out and "none of 14 columns" in out
    assert main(["report", "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["records"] == [] and [line["table"] for line in content["tables"]] == [
        *range(1, 11)
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--table", "11"], "--table"),
        (["--table", "0"], "--table"),
        (["--table", "one"], "--table"),
        (["--table"], "--table needs at least one value"),
        (["--table", "1", "--format", "pdf"], "pdf"),
        (["--table", "1", "--data-root", "nowhere"], "--data-root nowhere: not found"),
        (["--runs", "nowhere"], "--runs nowhere: not found"),
        (["--figure", "k-sweep"], "--figure applies only with --output"),
        (["--figure", "pie", "--output", "pie.svg"], "k-sweep, c-sweep"),
        (["--model-card", "nobody"], "neither a card nor a record"),
        (["--html", "site", "--runs", "nowhere"], "--runs nowhere: not found"),
    ],
)
def test_mistakes_are_one_line_and_status_2(capsys, arguments, text):
    """Against what the line must name."""
    assert main(["report", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and text in captured.err


def test_the_site_and_figures_are_written(tmp_path, capsys, monkeypatch):
    """Against the files, with the records of the package."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--html", "site"]) == 0
    assert "wrote site/index.html" in capsys.readouterr().err
    assert (tmp_path / "site" / "index.html").is_file()
    assert main(["report", "--figure", "k-sweep", "--output", "new/k.pdf"]) == 0
    assert (tmp_path / "new" / "k.pdf").read_bytes().startswith(b"%PDF")


def test_a_terminal_gets_folded_tables(capsys, monkeypatch):
    """Against the width of a terminal; a pipe gets whole lines."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["report", "--table", "1"]) == 0
    folded = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert main(["report", "--table", "1"]) == 0
    assert (
        max(map(len, folded.splitlines()))
        <= 70
        < max(map(len, capsys.readouterr().out.splitlines()))
    )
