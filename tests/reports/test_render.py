"""Every form holds every cell, in order."""

import csv
import io
import re

import pandas as pd
import pytest

import reports
from reports import paper
from reports.render import FORMS, Table, render
from unimo2.errors import UsageError


def plain(text):
    """A document without the marks that escape or emphasise."""
    return re.sub(r"[\\*]|&#x27;", "", text)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "csv"])
@pytest.mark.parametrize("number", paper.TABLES)
def test_every_cell_is_there_in_order(form, number):
    """Against the table's own frame, cell after cell."""
    table = paper.as_printed(number)
    text, place = plain(render([table], form)), 0
    for _, rows in table.groups():
        for row in rows:
            for cell in row:
                wanted = cell.replace("†", r"$dagger$") if form == "latex" else cell
                place = text.index(wanted, place) + len(wanted)
    assert place > 0


@pytest.mark.parametrize("number", paper.TABLES)
def test_csv_has_one_number_a_field_and_reads_back(number):
    """Against `published`, read back by the csv module."""
    (table,) = reports.report_tables(number, [], "csv")
    lines = [line for line in render([table], "csv").splitlines() if not line.startswith("# ")]
    rows = list(csv.reader(io.StringIO("\n".join(lines))))
    frame = reports.published(number)
    assert rows[0][1:] == [
        " ".join(c).strip() if isinstance(c, tuple) else c for c in frame.columns
    ]
    assert [row[1:] for row in rows[1:]] == frame.to_numpy().tolist()


def test_csv_keeps_published_and_measured_apart(make_record):
    """Against two blocks: no line of numbers has both the paper's and a measured one."""
    tables = reports.report_tables(1, [make_record(value=40.0)], "csv")
    published, measured = render(tables, "csv").split("\n\n")
    assert "72.70" in published and "72.70" not in measured
    assert ",41,40,43,1500," in measured and ",41," not in published


def test_text_columns_are_aligned():
    """Against the column at which each head begins."""
    frame = pd.DataFrame({"a": ["1", "22222"], "b": ["x", "y"]}, index=["one", "two"])
    lines = render([Table("T", frame)]).splitlines()
    assert lines[2].index("b") == lines[4].index("x") == lines[5].index("y")


def test_markdown_and_latex_escape_their_own_marks():
    """Against the marks' meaning in each language."""
    frame = pd.DataFrame({"a_b": ["1|2", "5 %"]}, index=["x & y", "#"])
    assert r"1\|2" in render([Table("T", frame)], "md")
    latex = render([Table("T", frame)], "latex")
    assert r"a\_b" in latex and r"x \& y" in latex and r"5 \%" in latex and r"\#" in latex
    assert "x &amp; y" in render([Table("T", frame)], "html")


def test_an_unknown_form_is_refused():
    """Against the forms that exist."""
    with pytest.raises(UsageError, match="text, md, csv, latex, html"):
        render([], "pdf")


@pytest.mark.parametrize("number", paper.TABLES)
def test_a_wide_table_folds_for_a_terminal(number):
    """Against the width, and the cells of the unfolded table: each stands there as often."""
    table = paper.as_printed(number)
    folded = render([table], "text", 80)
    rows = [row for _, group in table.groups() for row in group]
    labels = [table.heads()[0], *(row[0] for row in rows)]
    narrowest = max(map(len, labels)) + 2 + max(len(cell) for row in rows for cell in row[1:])
    assert max(map(len, folded.splitlines())) <= max(80, narrowest)
    whole = render([table])
    for cell in (cell for row in rows for cell in row[1:]):
        assert folded.count(cell) >= whole.count(cell)
    assert render([table], "text", 10_000) == whole


def test_a_folded_table_repeats_its_row_labels():
    """Against three columns of which two fit."""
    frame = pd.DataFrame({"a": ["1" * 8], "b": ["2" * 8], "c": ["3" * 8]}, index=["row"])
    lines = render([Table("T", frame)], "text", 24).splitlines()
    assert [line for line in lines if line.startswith("row")] == [
        "row  11111111  22222222",
        "row  33333333",
    ]
