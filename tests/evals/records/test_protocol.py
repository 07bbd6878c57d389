"""Protocols: sentences of schema 1 and values of schema 2 say the same."""

import json
from pathlib import Path

import pytest

from evals.records.protocol import facts, texts

# Protocols of records of schema 1, as they came with the package once.
WRITTEN = json.loads(Path(__file__).with_name("schema_1.json").read_text())
NOT_TOLD = {"task", "training"}  # the benchmark's name; nested


@pytest.mark.parametrize("name", WRITTEN)
def test_no_sentence_of_schema_1_is_left(name):
    """Against the sentences in the file: schema 2 has one word for each but a template."""
    sentences = WRITTEN[name]
    found = facts(sentences)
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
