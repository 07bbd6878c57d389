"""Text classifiers of transformers: equal to one text a call, and refused where they are not whole."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize
from transformers import AutoModelForSequenceClassification, AutoTokenizer, RobertaForMaskedLM

import zoo
from builders.foreign_models import CAPTIONS, CLASSIFIERS, broken_folders, text_folder
from unimo2.errors import BadCheckpoint, IncompatibleModel, UsageError
from zoo import protocols


@torch.no_grad()
def alone(folder, first, second=None):
    """Logits of each text alone, by the library's own example code."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [(text,) for text in first] if second is None else list(zip(first, second, strict=True))
    return torch.cat(
        [model(**tokenizer(*p, truncation=True, return_tensors="pt")).logits for p in pairs]
    )


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_logits_equal_the_librarys_example_alone_and_in_a_batch(kind, tmp_path):
    """Truth: transformers' own code, one text a call; decoders here have no padding token."""
    text_folder(tmp_path / "m", kind)
    adapter = zoo.load(tmp_path / "m", device="cpu")
    for second in (None, CAPTIONS[::-1]):
        expected = alone(tmp_path / "m", CAPTIONS, second)
        for adapter.batch_size in (1, 2, 50):
            found = adapter.classify_texts(CAPTIONS, second)
            assert (found - expected).abs().max() < 1e-5
        assert expected.std(0).max() > 1e-3
    assert adapter.text_classes == ("no", "yes")
    assert adapter.model.config.get_text_config().pad_token_id == (
        None if kind in ("gpt2", "llama") else 1
    )
    protocols.require(adapter, "text_classifier")


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_any_tensor_that_is_lost_or_reshaped_is_named(kind, tmp_path):
    """Truth: one tensor at a time is taken away, cut or added."""
    text_folder(tmp_path / "m", kind)
    for says in broken_folders(tmp_path / "m", tmp_path / "b", every=5):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "b", device="cpu")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    """Truth: the tokenizer's files are taken away."""
    text_folder(tmp_path / "m", "roberta")
    for path in (tmp_path / "m").glob("token*"):
        path.unlink()
    with pytest.raises(BadCheckpoint, match="m has no tokenizer|cannot be read as a tokenizer"):
        zoo.load(tmp_path / "m", device="cpu")


@pytest.mark.parametrize("rows", [10, 4000])
def test_a_tokenizer_of_another_size_is_refused(rows, tmp_path):
    """Truth: a vocabulary beyond the embedding, and one far below it."""
    _, tokenizer = text_folder(tmp_path / "m", "bert", vocab_size=rows)
    with pytest.raises(BadCheckpoint, match=f"{len(tokenizer)} tokens where .* for {rows}"):
        zoo.load(tmp_path / "m", device="cpu")


def test_unknown_tokens_are_counted(tmp_path, caplog):
    """Truth: the words that the vocabulary lacks, by hand; the count of tokens includes two a text."""
    text_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    with caplog.at_level(logging.WARNING):
        adapter.classify_texts(["red", "quux foo bar", "zzz red"], None)
    assert (adapter.unknown_tokens, adapter.tokens_read) == (4, 12)
    assert "no token for 4 of 12" in caplog.text


def test_a_card_names_the_classes(tmp_path):
    """Truth: LABEL_0 ... of a configuration without names; the card's number must be the model's."""
    text_folder(tmp_path / "m", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    card = zoo.resolve(tmp_path / "m")
    named = replace(card, labels=("contradiction", "neutral", "entailment"))
    assert zoo.load_card(named, "cpu").text_classes == named.labels
    with pytest.raises(BadCheckpoint, match="lists 2 labels where the model has 3"):
        zoo.load_card(replace(card, labels=("a", "b")), "cpu")


def test_a_masked_language_model_must_be_fine_tuned_first(tmp_path):
    """Truth: RoBERTa's own weights for masked words; left-over heads are legitimate, missing ones not."""
    model, _ = text_folder(tmp_path / "m", "roberta")
    text_folder(tmp_path / "mlm", "roberta")
    RobertaForMaskedLM(model.config).save_pretrained(tmp_path / "mlm")
    with pytest.raises(BadCheckpoint, match="'RobertaForMaskedLM', which has no adapter"):
        zoo.resolve(tmp_path / "mlm")
    path = tmp_path / "mlm" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "architectures": ["RobertaForSequenceClassification"]}))
    with pytest.raises(BadCheckpoint, match="4 weights are missing, .*classifier.dense.bias"):
        zoo.load(tmp_path / "mlm", device="cpu")
    new = replace(zoo.resolve(tmp_path / "mlm"), may_be_new=(r"classifier\..*",))
    assert zoo.load_card(new, "cpu").text_classes == ("no", "yes")


def test_sharded_and_bin_weights_load_and_have_a_digest(tmp_path):
    """Truth: the logits of the plain folder; a digest that changes with the weights."""
    model, _ = text_folder(tmp_path / "m")
    digests = {zoo.load(tmp_path / "m", device="cpu").weights_sha256}
    expected = zoo.load(tmp_path / "m", device="cpu").classify_texts(CAPTIONS, None)
    for name in ("sharded", "bin"):
        shutil.copytree(tmp_path / "m", tmp_path / name)
        (tmp_path / name / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    for name in ("sharded", "bin"):
        adapter = zoo.load(tmp_path / name, device="cpu")
        own = adapter.model.state_dict()
        assert all(torch.equal(own[key], tensor) for key, tensor in model.state_dict().items())
        assert (adapter.classify_texts(CAPTIONS, None) - expected).abs().max() < 1e-6
        digests.add(adapter.weights_sha256)
    assert len(digests) == 3
    next((tmp_path / "sharded").glob("*.safetensors")).unlink()
    with pytest.raises(BadCheckpoint, match="1 of .* files of weights are missing"):
        zoo.load(tmp_path / "sharded", device="cpu")


class Evil:
    """What a pickle may do when it is read."""

    def __reduce__(self):  # noqa: D105
        return (print, ("code ran",))


def test_a_pickle_with_code_is_refused(tmp_path, capsys):
    """Truth: nothing is printed, which the pickle would."""
    text_folder(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save({"a": Evil()}, tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(BadCheckpoint, match="cannot be read as") as error:
        zoo.load(tmp_path / "m", device="cpu")
    assert "\n" not in str(error.value)
    assert "code ran" not in capsys.readouterr().out


CODE = """
from transformers import BertForSequenceClassification
class Mine(BertForSequenceClassification):
    pass
"""


def test_code_in_a_folder_runs_only_when_trusted(tmp_path):
    """Truth: a folder that maps its class to a file of its own."""
    text_folder(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "mine.Mine"}
    config["architectures"] = ["MineForSequenceClassification"]
    path.write_text(json.dumps(config))
    (tmp_path / "m" / "mine.py").write_text(CODE)
    plain = zoo.load(tmp_path / "m", device="cpu")
    assert type(plain.model).__name__ == "BertForSequenceClassification"
    trusted = zoo.load(tmp_path / "m", device="cpu", trust_remote_code=True)
    assert type(trusted.model).__name__ == "Mine"
    with pytest.raises(UsageError, match="have no code of their own to trust"):
        zoo.load("mini", device="cpu", trust_remote_code=True)


def test_needed_code_is_neither_run_nor_asked_about(tmp_path, monkeypatch, capsys):
    """Truth: a file that prints when it is run, and a terminal on which "y" would be typed."""
    text_folder(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    auto = {"AutoConfig": "mine.Mine", "AutoModelForSequenceClassification": "mine.Mine"}
    config = {**json.loads(path.read_text()), "model_type": "mine", "auto_map": auto}
    path.write_text(json.dumps(config))
    (tmp_path / "m" / "mine.py").write_text("print('code ran')\nclass Mine:\n    pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(BadCheckpoint, match="none of it was run.*add --trust-remote-code") as error:
        zoo.load(tmp_path / "m", device="cpu")
    assert "\n" not in str(error.value) and "code ran" not in capsys.readouterr().out


def test_an_error_in_the_forward_is_one_line_that_names_the_model(tmp_path):
    """Truth: a model whose forward always fails."""
    text_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    adapter.model.classifier = torch.nn.Linear(3, 2)
    with pytest.raises(
        IncompatibleModel, match="model 'm' fails in classify_texts .RuntimeError: "
    ):
        adapter.classify_texts(CAPTIONS, None)


def sentence_folder(folder, mode):
    """A folder of sentence-transformers with BERT inside."""
    model, _ = text_folder(folder)
    model.bert.save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(json.dumps([{"type": f"x.{kind}"} for kind in kinds]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({mode: True, "other": 1}))
    return model.bert


@pytest.mark.parametrize("mode", ["pooling_mode_mean_tokens", "pooling_mode_cls_token"])
def test_a_sentence_encoder_gives_pairs_their_cosine(tmp_path, mode):
    """Truth: the padded batch with a mask, pooled as sentence-transformers does."""
    model = sentence_folder(tmp_path / "m", mode)
    adapter = zoo.load(tmp_path / "m", device="cpu")
    inputs = adapter.tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    mask = inputs["attention_mask"].unsqueeze(-1)
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mean = (states * mask).sum(1) / mask.sum(1)
    expected = normalize(states[:, 0] if "cls" in mode else mean, dim=-1)
    assert (adapter.embed(CAPTIONS) - expected).abs().max() < 1e-5
    found = adapter.classify_texts(CAPTIONS, CAPTIONS[::-1])
    assert (found[:, 0] - (expected * expected.flip(0)).sum(1)).abs().max() < 1e-5
    assert adapter.text_classes == ("similarity",)
    with pytest.raises(IncompatibleModel, match="compares two sentences"):
        adapter.classify_texts(CAPTIONS, None)


def test_another_pooling_is_refused(tmp_path):
    """Truth: the pooling of the folder's configuration."""
    sentence_folder(tmp_path / "m", "pooling_mode_max_tokens")
    with pytest.raises(BadCheckpoint, match="pooling_mode_max_tokens: only the mean"):
        zoo.load(tmp_path / "m", device="cpu")
