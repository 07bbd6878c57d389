"""Differences in tables and figures are those of `unimo2 compare` where items were kept."""

from dataclasses import replace

import numpy as np
import pytest

import reports
from evals import records
from evals.compare import compare
from evals.metrics.ranking import Metric
from reports.differences import Differences, PairedDifference, independent
from reports.site import SiteRequest, build
from unimo2.cli import main


@pytest.fixture
def pair(vqa):
    """Two runs on the same questions whose scores differ by chance, of a split of Table 1."""
    runs, _, _ = vqa
    rng = np.random.default_rng(5)
    for record in records.find([runs]):
        of_table = replace(record, data={**record.data, "split": "test-dev"})
        records.write(of_table, record.path.parent)
        samples = records.read_samples(record.path.parent)
        samples["score"] = rng.choice([0.0, 0.3, 1.0], len(samples))
        records.write_samples(samples, record.path.parent)
    return records.find([runs])


def test_differences_of_runs_that_kept_their_items_are_paired(pair):
    """Against `evals.compare.compare`: difference and interval of the same draws."""
    a, b = pair
    change = Differences().between(b, a, "accuracy")
    wanted = compare(a.path.parent, b.path.parent).metrics["accuracy"]
    assert change.paired and change.by == pytest.approx(wanted.difference)
    assert (change.low, change.high) == pytest.approx(wanted.ci95)
    assert change.tied == wanted.tied


def test_other_runs_are_taken_for_independent(pair):
    """Against half-widths of 3 and 4 points, which add in squares to 5."""
    ours, theirs = (
        Metric(value, 10, (value - half, value + half), None, False)
        for value, half in ((50.0, 3.0), (41.0, 4.0))
    )
    assert independent(ours, theirs) == PairedDifference(9.0, 4.0, 14.0, paired=False)
    a, b = pair
    (a.path.parent / records.SAMPLES).unlink()
    assert not Differences().between(b, a, "accuracy").paired


def test_the_sites_tables_show_paired_differences(pair, tmp_path, vqa):
    """Against `Differences` of the two rows of Table 1, the first of which is compared with."""
    runs, root, _ = vqa
    folder = build(tmp_path / "site", SiteRequest(runs=runs, data_root=root)).index.parent
    text = (folder / "table-1.html").read_text(encoding="utf-8")
    one, evil = sorted(pair, key=lambda record: record.model != "one")
    assert str(Differences().between(one, evil, "accuracy")) in text
    assert "paired" in text and "unpaired" not in text


def test_the_dot_plot_holds_the_one_to_one_map(make_record, trained):
    """Against two trainings of which nothing but the map differs, as the paper's Table 4 has it."""
    full = make_record("ablation", "full", value=50.0, training=trained())
    mapped = make_record("ablation", "1-1", value=45.0, training=trained(grounding="nearest"))
    assert "1-to-1 Map ZS-IR -5.0 (" in reports.figure("without", [full, mapped]).alt


@pytest.mark.parametrize("form", ["text", "md", "latex", "csv", "html"])
def test_compare_writes_every_form_of_a_report(pair, capsys, tmp_path, form):
    """Against the difference, interval and p-value of `evals.compare.compare`, and the same file."""
    folders = [str(record.path.parent) for record in pair]
    assert main(["compare", *folders, "--format", form]) == 0
    text = capsys.readouterr().out
    found = compare(*(record.path.parent for record in pair)).metrics["accuracy"]
    for number in (f"{found.difference:+.2f}", f"{found.ci95[1]:+.2f}", f"{found.p_value:.4f}"):
        assert number in text
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    path = tmp_path / "new" / "table"
    assert main(["compare", *folders, "--format", form, "--output", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == text
