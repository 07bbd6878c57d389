"""Figures hold the measured numbers and the paper's, and can be written for print."""

import json
import re

import pytest

import reports
from reports import paper
from reports.figures import FIGURES, read_logs
from unimo2.errors import UsageError


@pytest.fixture
def sweep(make_record, trained):
    """Rows of K and C of one training."""
    records = [
        make_record("ablation", f"k={k}", value=float(k), training=trained(k)) for k in (10, 20, 32)
    ]
    records += [
        make_record("ablation", f"c={c}", value=c / 10, training=trained(size=c)) for c in (64, 128)
    ]
    return records


@pytest.mark.parametrize(
    ("name", "at", "value"), [("k-sweep", "20", 21.0), ("c-sweep", "128", 13.8)]
)
def test_a_sweep_has_the_measured_curve_and_the_papers(sweep, name, at, value):
    """Against the points of the lines: the records' values, and all of Table 5's."""
    made = reports.figure(name, sweep)
    ours, theirs = made.figure.axes
    measured = {
        (int(x), round(float(y), 1))
        for line in ours.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert (int(at), value) in measured and f"{value:.1f}" in made.alt
    group = "Top-K" if name == "k-sweep" else "GD Size C"
    published = {
        (int(one["row_label"]), float(one["value"]))
        for one in paper.number_rows(5)
        if one["row_group"] == group and one["metric"] == "R@1" and one["column"][:8] == "ZeroShot"
    }
    shown = {
        (int(x), float(y))
        for line in theirs.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert shown == published and len(published) >= 8


def test_differences_are_to_the_full_training(make_record, trained):
    """Against two rows whose recalls differ by 9 points; half-widths 1.5 each add in squares."""
    records = [
        make_record("ablation", "full", value=50.0, training=trained()),
        make_record("ablation", "x", value=41.0, training=trained(), without="gd"),
    ]
    made = reports.figure("without", records)
    assert "w/o GD (P) ZS-IR -9.0 (-11.1 to -6.9, unpaired)" in made.alt


def test_recalls_of_every_model_are_drawn(make_record):
    """Against the alternative text and the names at the axis, a dollar sign included."""
    made = reports.figure("retrieval", [make_record("a$b$"), make_record("b", value=10.0)])
    names = [label.get_text() for label in made.figure.axes[0].get_yticklabels()]
    assert len(names) == 2 and names[0].startswith("a$b$")
    assert "R@1 61.0" in made.alt and "a$b$" in made.data("svg").decode()


def test_training_and_dictionary_come_from_logs(tmp_path):
    """Against two logs written by hand."""
    for name in ("one", "two"):
        folder = tmp_path / "pretrain" / name
        folder.mkdir(parents=True)
        lines = [
            {"step": n, "loss": 9.0 / n, "dictionary_used": n / 10, "dictionary_perplexity": 2.0}
            for n in (1, 2, 3)
        ]
        (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [log.name for log in read_logs(tmp_path)] == ["pretrain/one", "pretrain/two"]
    assert "pretrain/two from 9.00 to 3.00" in reports.figure("training", [], tmp_path).alt
    assert "dictionary_used 0.1 to 0.3" in reports.figure("dictionary", [], tmp_path).alt


@pytest.mark.parametrize(
    ("form", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_figures_are_written_for_papers(tmp_path, sweep, form, start):
    """Against the first bytes of each format; the same records give the same file."""
    made = reports.figure("k-sweep", sweep)
    made.save(tmp_path / "new" / f"a.{form}")
    content = (tmp_path / "new" / f"a.{form}").read_bytes()
    assert content.startswith(start) and content == reports.figure("k-sweep", sweep).data(form)
    if form == "svg":
        outside = re.findall(rb'(?:href|src)="(?!#)[^"]*"|url\((?!#)', content)
        assert not outside


def test_a_notebook_shows_a_figure(sweep):
    """Against the element that it becomes."""
    assert reports.figure("k-sweep", sweep)._repr_html_().startswith("<svg")


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_draw_is_said(name, tmp_path):
    """Against no records and no logs: what makes them is named."""
    with pytest.raises(UsageError, match="'unimo2 "):
        reports.figure(name, [], tmp_path)


def test_mistakes_are_named(sweep, tmp_path):
    """Against an unknown figure and an unknown format."""
    with pytest.raises(UsageError, match="k-sweep, c-sweep"):
        reports.figure("pie", sweep)
    with pytest.raises(UsageError, match="a name in .svg, .pdf, .png"):
        reports.figure("k-sweep", sweep).save(tmp_path / "a.bmp")
