"""SNLI-VE files: small ones in both official spellings, the real rows, and broken ones."""

import json

import pytest

from unimo2.errors import BadData, MissingData
from unimo2.formats.snli_ve import Pair, read_pairs, read_predictions


def row(**changes):
    """A row with the official fields (the parses that nobody reads are left out)."""
    return {
        "Flickr30K_ID": "4705552913", "annotator_labels": ["neutral", "entailment"],
        "captionID": "4705552913.jpg#2", "gold_label": "neutral", "pairID": "4705552913.jpg#2r1n",
        "sentence1": "Two women are embracing.", "sentence2": "The sisters are hugging.",
    } | changes  # fmt: skip


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_a_pair(tmp_path):
    """Against what was written: "-" is no label, and U+2028 inside a sentence ends no line."""
    text = "Hugging\u2028sisters."
    path = tmp_path / "dev.jsonl"
    rows = [row(), row(pairID="b", gold_label="-", sentence2=text)]
    path.write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    first, second = read_pairs(path)
    assert first == Pair(
        "4705552913.jpg#2r1n", "4705552913", "Two women are embracing.",
        "The sisters are hugging.", "neutral",
    )  # fmt: skip
    assert (second.label, second.hypothesis) == (None, text)


def test_the_older_spelling_of_the_image(tmp_path):
    """Against a row of the older files: "Flikr30kID" with ".jpg"."""
    old = row(Flikr30kID="4705552913.jpg")
    del old["Flickr30K_ID"]
    assert read_pairs(write(tmp_path / "x.jsonl", old))[0].image == "4705552913"


def test_the_real_rows(real_data):
    """Against ../shared/real/snli_ve: 21 rows in both spellings."""
    folder = real_data / "snli_ve"
    new = read_pairs(folder / "allennlp_sample_pairs.jsonl")
    old = read_pairs(folder / "cpuknows_sample_data.jsonl")
    assert len(new) + len(old) == 21
    assert new[0] == Pair(
        "2248275918.jpg#2r1c", "2248275918",
        "A toddler poses in front of a computer at a business office.",
        "A toddler sleeps outside.", "contradiction",
    )  # fmt: skip
    assert old[0].image == "555378351"
    assert all(pair.id.startswith(pair.image) for pair in new + old)


def test_predictions_in_capitals(tmp_path):
    """Against the labels, which no case tells apart."""
    rows = [
        {"pairID": "1.jpg#0r1e", "prediction": "ENTAILMENT"},
        {"pairID": "b", "prediction": "Neutral"},
    ]
    expected = {"1.jpg#0r1e": "entailment", "b": "neutral"}
    assert read_predictions(write(tmp_path / "p.jsonl", *rows)) == expected


BROKEN = [
    (read_pairs, [row(gold_label="maybe")], "line 1: unknown label 'maybe'"),
    (read_pairs, [row(), row()], "pairID occurs more than once: 4705552913.jpg#2r1n"),
    (read_pairs, [{"pairID": "a"}], "line 1: field 'gold_label' is missing"),
    (read_pairs, [], "no pairs"),
    (read_pairs, [[1]], "expected an object, found list"),
    (read_predictions, [{"pairID": "a", "prediction": "-"}], "unknown label '-'"),
    (read_predictions, [{"pairID": "a"}], "'prediction' is missing"),
    (read_predictions, [{"pairID": "a", "prediction": "neutral"}] * 2, "more than once: a"),
]


@pytest.mark.parametrize(("read", "rows", "says"), BROKEN)
def test_broken_files_are_refused(tmp_path, read, rows, says):
    """Against files that are wrong by construction."""
    with pytest.raises(BadData, match=says) as error:
        read(write(tmp_path / "x.jsonl", *rows))
    assert "\n" not in str(error.value)


def test_missing_and_malformed_files(tmp_path):
    """Against nothing at all, and a file whose second line is cut off."""
    with pytest.raises(MissingData, match="SNLI-VE pairs not found"):
        read_pairs(tmp_path / "no.jsonl")
    path = write(tmp_path / "x.jsonl", row())
    path.write_text(path.read_text() + '{"pairID": "b", ')
    with pytest.raises(BadData, match="line 2: malformed JSON"):
        read_pairs(path)
    path.write_text("{}\n" + "[" * 100_000)
    with pytest.raises(BadData, match="line 1: field"):
        read_pairs(path)
    for content, says in (("[" * 100_000, "nested too deeply"), ("1" * 5000, "more digits")):
        path.write_text(content)
        with pytest.raises(BadData, match=f"line 1: malformed JSON: .*{says}"):
            read_pairs(path)
