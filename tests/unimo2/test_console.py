"""What a terminal shows: text as it is, escapes for what it would obey, figures whole."""

import io
import json
import sys

import pytest

from unimo2 import console

HOSTILE = "run[final].tsv :100: [red]x[/red] \x1b[2J\x9b31m\u202egpj.exe\x07"
SHOWN = r"run[final].tsv :100: [red]x[/red] \x1b[2J\x9b31m\u202egpj.exe\x07"


def test_marks_are_shown_and_control_characters_escaped(capsys):
    """Truth: the escapes of Python's own strings; line breaks of ours stay."""
    console.say(f"first\n{HOSTILE}")
    console.note(f"a\nb {HOSTILE}", err=True)
    assert capsys.readouterr() == (f"first\n{SHOWN}\n", f"note    a\\nb {SHOWN}\n")


def test_json_stays_json(capsys):
    """Truth: json reads what was given, and no byte of it moves a cursor."""
    content = {"model": HOSTILE + "\U000e0001\ud83d", "letters": "größe 図"}
    console.print_json(content)
    out = capsys.readouterr().out
    assert json.loads(out) == content and "größe 図" in out
    assert all(letter.isprintable() for letter in out.replace("\n", ""))
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.print_json(float("nan"))


def test_a_stream_that_cannot_write_a_letter_or_is_closed_loses_nothing_else(monkeypatch):
    """Truth: an ASCII terminal; and the streams of a detached program, which are None."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.say("größe 67.27")
    assert raw.getvalue() == b"gr\\xf6\\xdfe 67.27\n"
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.say("nobody hears this")
    console.note("nor this", err=True)
    assert console.terminal_width() is None


@pytest.mark.parametrize("width", [200, 60, 40, 24, 10, 1])
def test_no_figure_is_cut_however_narrow(width):
    """Truth: every cell, whole, in a line that begins with its row's name."""
    heads = ("metric", "%", "95 % interval", "chance", "n", "")
    rows = [
        ("accuracy", "66.67", "0.00 to 100.00", "50.00", "1,234,567", "at chance"),
        (HOSTILE, "5.00", "1.00 to 9.00", "", "3", ""),
    ]
    lines = console.table_lines(heads, [("", rows)], numbers=range(1, 5), width=width)
    for label, row in ((rows[0][0], rows[0]), (SHOWN, rows[1])):
        own = " ".join(line for line in lines if line.startswith(label))
        assert all(cell in own for cell in row[1:])
    fits = max(map(len, heads)) + 2 + max(map(len, rows[0][1:])) + len(SHOWN)
    assert width < fits or all(len(line) <= width for line in lines)


def test_groups_and_numbers_are_set_as_by_hand():
    """Truth: a table typed by hand."""
    groups = [("of images", [("R@1", "7.25")]), ("", [("R@10", "100.00")])]
    assert console.table_lines(("recall", "%"), groups, numbers=(1,)) == [
        "--------------",
        "recall       %",
        "--------------",
        "of images",
        "R@1       7.25",
        "--------------",
        "R@10    100.00",
        "--------------",
    ]
