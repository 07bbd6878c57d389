"""Model cards hold a model's results in the hub's format."""

from dataclasses import replace

import pytest
import yaml

from builders.tiny_models import task_model
from evals import records
from reports.model_card import model_card
from reports.selection import gather
from unimo2.cli import main
from unimo2.errors import BadCheckpoint, UsageError
from unimo2.formats.weights import weights_sha256


def read(text):
    """The metadata of a card."""
    return yaml.safe_load(text.split("---\n")[1])


def test_a_card_has_every_newest_result(make_record, tmp_path):
    """Against the hub's own reader, and two records of which the newer counts."""
    from huggingface_hub import ModelCard

    found = [make_record(value=10.0), make_record(value=40.0), make_record("other")]
    text = model_card("mini", found)
    results = ModelCard(text).data.eval_results
    assert {r.metric_type: r.metric_value for r in results}["image_retrieval/R@1"] == 41.0
    assert len(results) == 6 and {r.dataset_type for r in results} == {"unimo2-mini-flickr"}
    assert "embedded scale model" in text and "40.0 to 43.0" in text


def test_the_metadata_are_those_of_the_card():
    """Against the card of the embedded model; the committed records are its results."""
    from zoo import cards

    known = cards.read_all()["mini"]
    content = read(model_card("mini", gather()))
    assert content["datasets"] == list(known.training_data)
    assert content["model-index"][0]["name"] == "mini"
    assert content.get("license_name", content["license"]).lower() == known.licence.lower()


def test_a_run_folder_names_its_model(make_record, tmp_path):
    """Against a record on real data that only the folder holds."""
    records.write(make_record("mine", suite="paper"), tmp_path / "a")
    content = read(model_card(str(tmp_path / "a"), []))
    (result,) = ({r["dataset"]["type"] for r in content["model-index"][0]["results"]},)
    assert result == {"flickr"}


def test_a_folder_of_weights_has_the_results_of_these_weights(make_record, tmp_path):
    """Against two models that records call alike; the folder's digest says which is meant."""
    small = tmp_path / "training" / "model"
    task_model(None).save_pretrained(small)
    record = make_record("model", value=40.0)
    ours = replace(record, weights_sha256=weights_sha256(small))
    (small.parent / "train.json").write_text('{"command": "unimo2 pretrain --config x"}')
    text = model_card(str(small), [ours, make_record("model", value=10.0)])
    values = {r["metrics"][0]["value"] for r in read(text)["model-index"][0]["results"]}
    assert 41.0 in values and 11.0 not in values
    assert "unimo2 pretrain --config x" in text.split("---\n", 2)[2]
    assert "No result of these weights" in model_card(str(small), [record])
    with pytest.raises(BadCheckpoint):
        model_card(str(tmp_path), [ours])


def test_a_card_holds_results_of_one_set_of_weights(make_record):
    """Against an older record of other weights on another split, and rows of an ablation."""
    older = make_record("model", value=10.0)
    older = replace(older, data={**older.data, "split": "val"}, weights_sha256="1" * 64)
    text = model_card("model", [older, make_record("model", value=40.0)])
    assert {r["dataset"]["split"] for r in read(text)["model-index"][0]["results"]} == {"test"}
    assert "on other weights, left out: 1." in text
    rows = [
        replace(
            make_record("ablation", f"k={n}", training={"recipe": "x"}), weights_sha256=str(n) * 64
        )
        for n in (1, 2)
    ]
    (result,) = read(model_card("ablation", rows))["model-index"][0]["results"]
    assert len(result["metrics"]) == 12


def test_texts_are_shown_and_unknown_models_refused(make_record, capsys):
    """Against a command that is markup, and a name that nobody has."""
    record = replace(make_record("mine"), command="<script>x</script>\x1b[2J")
    body = model_card("mine", [record]).split("---\n", 2)[2]
    assert "\\<script" in body and "\x1b" not in body
    with pytest.raises(UsageError, match="neither a card nor a record"):
        model_card("nobody", [])
    assert main(["report", "--model-card", "mini"]) == 0
    assert capsys.readouterr().out.startswith("---\n")
