"""What a model had seen decides whether a number is zero-shot; record and table say it."""

import pytest

import evals
from builders.foreign_models import blip_folder, clip_folder
from builders.retrieval_fakes import write_flickr
from reports.tables import measured_tables
from unimo2.errors import IncompatibleModel

CARD = """
name = "{name}"
family = "{family}"
description = "a model"
capabilities = ["{capability}"]
licence = "MIT"
citation = "nobody"
{facts}

[source]
kind = "folder"
location = "{family}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Images, a CLIP and a BLIP."""
    folder = tmp_path_factory.mktemp("home")
    write_flickr(folder / "data", 8, 2)
    clip_folder(folder / "clip")
    blip_folder(folder / "blip")
    return folder


def measure(home, output, name, family="clip", facts="", **options):
    """The record of a model with a card of these facts."""
    capability = {"clip": "dual_encoder", "blip": "shortlister"}[family]
    if family == "blip":
        capability = 'pair_scorer", "shortlister'
    path = home / f"{name}.toml"
    path.write_text(CARD.format(name=name, family=family, capability=capability, facts=facts))
    return evals.run(
        "flickr", model=path, zero_shot=True, data_root=home / "data", output=output, **options
    )


def test_a_coco_tuned_model_is_measured_and_record_and_table_say_so(home, tmp_path):
    """Truth: the card by hand; a model that has seen other data alone is plainly zero-shot."""
    facts = 'training_data = ["coco", "sbu"]\nfinetuned_for = ["coco_retrieval"]'
    tuned = measure(home, tmp_path, "tuned", "blip", facts, rerank=4)
    plain = measure(home, tmp_path, "plain", "blip", 'training_data = ["sbu"]', rerank=4)
    told = tuned.protocol["lineage"]
    assert (told["card"], told["family"], told["zero_shot"]) == ("tuned", "blip", "yes")
    assert (told["seen"], told["tuned_for"]) == (["coco", "sbu"], ["coco_retrieval"])
    assert (
        "tuned: zero-shot: yes (trained on coco, sbu; fine-tuned for coco_retrieval)" in tuned.notes
    )
    assert not [note for note in plain.notes if "zero-shot" in note]
    [table] = measured_tables(1, [tuned, plain])
    remarks = table.frame["remark"].to_dict()
    assert "fine-tuned for coco_retrieval" in remarks["tuned+rerank-4"]
    assert "tuned" not in remarks["plain+rerank-4"]
    assert str(home) not in str(tuned.protocol)  # nothing of where files lie


def test_unknown_training_data_is_never_a_yes(home, tmp_path):
    """Truth: a card that lists none, one that says unknown, a folder without a card, an object."""
    said = 'training_data = ["unknown: the web"]'
    for facts in ("", said, f'{said}\nadapted_from = "clip-vit-b32"', 'adapted_from = "nobody"'):
        record = measure(home, tmp_path, "web", facts=facts, fresh=True)
        assert record.protocol["lineage"]["zero_shot"] == "unknown"
        assert any(note.startswith("web: zero-shot: unknown") for note in record.notes)
    seen = measure(home, tmp_path, "seen", facts='training_data = ["flickr30k"]')
    assert seen.protocol["lineage"]["zero_shot"] == "no"
    assert any("seen: zero-shot: no" in note for note in seen.notes)


def test_a_model_made_of_a_tuned_one_is_not_zero_shot(home, tmp_path):
    """Truth: fine-tuned for the benchmark itself, or by way of a card that is."""
    for facts in ('finetuned_for = ["flickr"]', 'adapted_from = "vilt-b32-flickr"'):
        with pytest.raises(IncompatibleModel, match="fine-tuned for flickr.*not zero-shot"):
            measure(home, tmp_path, "late", facts=facts)
