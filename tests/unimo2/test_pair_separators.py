"""How the two sentences of a pair are joined: RoBERTa's two separators, or the released code's one.

The released reader of sentence pairs writes <s> a </s> b </s>.
"""

from __future__ import annotations

import json

import pytest
from transformers import RobertaTokenizerFast

import zoo
from builders.tiny_tasks import write_model
from unimo2 import Unimo2Processor
from unimo2.data.texts import TokenTable
from unimo2.errors import UsageError
from unimo2.processing import PLAIN_SENTENCES, train_tokenizer

PAIR = ("a red square", "here is one square that is red")


def _roberta(place) -> RobertaTokenizerFast:
    """A tokenizer of RoBERTa's own class, from vocabulary and merges as files."""
    made = json.loads(train_tokenizer(PLAIN_SENTENCES, 400).backend_tokenizer.to_str())["model"]
    (place / "vocab.json").write_text(json.dumps(made["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in made["merges"]]
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return RobertaTokenizerFast(str(place / "vocab.json"), str(place / "merges.txt"))


def _joined(tokenizer, separators: int) -> list[int]:
    first, second = (tokenizer(text)["input_ids"][1:-1] for text in PAIR)
    return [0, *first, *[2] * separators, *second, 2]


@pytest.mark.parametrize("kind", ["ours", "roberta"])
@pytest.mark.parametrize("separators", [1, 2])
def test_pairs_are_joined_as_the_processor_says_and_after_reloading(kind, separators, tmp_path):
    """Independent truth: the two texts' own ids, put together by hand."""
    tokenizer = train_tokenizer(PLAIN_SENTENCES, 400) if kind == "ours" else _roberta(tmp_path)
    processor = Unimo2Processor(tokenizer, image_size=16, pair_separators=separators)
    processor.save_pretrained(tmp_path / "saved")
    again = Unimo2Processor.from_pretrained(tmp_path / "saved")
    assert again.pair_separators == separators
    for found in (processor, again):
        alone = found.tokenizer(PAIR[0])["input_ids"]
        assert alone[0] == 0 and alone[-1] == 2 and 2 not in alone[1:-1]
        assert found.tokenizer(*PAIR)["input_ids"] == _joined(found.tokenizer, separators)
        table = TokenTable.encode(found.tokenizer, [PAIR], 100)
        assert int(table.lengths[0]) == len(_joined(found.tokenizer, separators))
        cut = found.tokenizer(*PAIR, truncation=True, max_length=10)["input_ids"]
        assert len(cut) == 10 and cut.count(2) == separators + 1 and cut[-1] == 2


def test_evaluation_reads_pairs_as_the_folder_says(tmp_path):
    """Independent truth: the ids by hand; a folder from before the option has two separators."""
    folder = write_model(tmp_path / "model")
    path = folder / "processor_config.json"
    fields = json.loads(path.read_text())
    for separators, written in ((1, {"pair_separators": 1}), (2, {})):
        kept = {name: value for name, value in fields.items() if name != "pair_separators"}
        path.write_text(json.dumps(kept | written))
        model = zoo.load(folder, device="cpu")
        (row,) = model.tokens([PAIR[0]], [PAIR[1]])
        assert row == _joined(model.processor.tokenizer, separators)


def test_other_numbers_of_separators_are_refused():
    """Independent truth: there are two conventions."""
    with pytest.raises(UsageError, match="pair_separators 3"):
        Unimo2Processor(train_tokenizer(PLAIN_SENTENCES, 300), pair_separators=3)
