"""What there is: a line a record, a line a table."""

import csv
import io
from dataclasses import replace

from reports import paper
from reports.listing import listing, record_lines, table_lines
from reports.render import render
from reports.selection import arrange


def test_a_line_has_main_metric_interval_and_date(make_record):
    """Against a record made by hand, whose interval is (-1, +2), and a sample."""
    records = [make_record("b", value=40.0), make_record("a", "x", note="60 of 1,000")]
    first, second = record_lines(records)
    assert (first["model"], first["variant"], first["sample"]) == ("a", "x", "60 of 1,000")
    assert (second["metric"], second["value"]) == ("image_retrieval/R@1", 41.0)
    assert (second["low"], second["high"], second["n"]) == (40.0, 43.0, 1500)
    assert second["date"] == "2026-01-01" and second["setting"] == "zero-shot"


def test_the_texts_say_what_is_missing(make_record):
    """Against a record without metrics, a sample, and no records at all."""
    records = [replace(make_record("a"), metrics={}), make_record("b", note="60 of 1,000")]
    text = render(listing(records))
    assert "none: the truth is not public" in text and "test (60 of 1,000)" in text
    assert "Nothing was measured." in render(listing([]))


def test_tables_count_their_measured_columns(make_record):
    """Against zero-shot retrieval: 4 of the 14 numbers of Table 1, none of Table 3."""
    lines = {line["table"]: line for line in table_lines([make_record()])}
    assert list(lines) == list(paper.TABLES)
    assert lines[1]["columns"] == 14 and lines[1]["measured"] == {"mini": 4}
    assert lines[3]["measured"] == {} and lines[6]["columns"] == 0
    sample = {line["table"]: line for line in table_lines([make_record(note="1 of 2")])}
    assert sample[1]["measured"] == {}


def test_csv_has_every_field(make_record):
    """Against the lines, read back by the csv module."""
    records = [make_record(value=40.0)]
    block = render(listing(records, "csv"), "csv").split("\n\n")[0]
    rows = list(csv.DictReader(io.StringIO(block.partition("\n")[2])))
    assert len(rows) == 1 and list(rows[0]) == list(record_lines(records)[0])
    assert rows[0]["value"] == "41" and rows[0]["high"] == "43"


def test_the_product_of_a_dual_encoder_stands_beside_the_scores_of_others(make_record):
    """Against the number of sheets: one of the contrastive part alone is another protocol."""
    own, dot, part = (
        replace(make_record(), model=score, protocol={**make_record().protocol, "score": score})
        for score in ("fused", "dot", "contrastive")
    )
    assert len(arrange(1, [own, dot])[0]) == 1
    assert len(arrange(1, [own, part])[0]) == 2
