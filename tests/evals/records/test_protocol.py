"""Protocols: sentences of schema 1 and values of schema 2 say the same."""

import json

import pytest

from evals import records
from evals.records.protocol import facts, texts

RECORDS = sorted(records.MEASURED.rglob("record.json"))
NOT_TOLD = {"task", "training"}  # the benchmark's name; nested


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.parent.name)
def test_no_sentence_of_a_committed_record_is_left(path):
    """Against the sentences in the file: schema 2 has one word for each but a template."""
    sentences = json.loads(path.read_text())["protocol"]
    found = records.read(path).protocol
    words = [value for name, value in found.items() if isinstance(value, str) and name != "prompt"]
    assert words and not [word for word in words if " " in word]
    told = texts(found)
    assert {name: told[name] for name in sentences if name not in NOT_TOLD} == {
        name: value for name, value in sentences.items() if name not in NOT_TOLD
    }


def test_facts_are_stable_and_keep_what_they_do_not_know():
    """Against a benchmark's own entries, and a second translation."""
    own = {"score": "a plugin's own rule", "pairs": "every third", "odd": [1, 2], "zero_shot": True}
    assert facts(own) == own
    first = facts({"pairs": "shortlist of 5 classes an image by ...", "rerank": 5})
    assert first == {"pairs": "class_shortlist", "rerank": 5} == facts(first)
