"""`zoo.check.check` runs one item of each capability of a model."""

import json

import pytest
import torch

from builders.foreign_models import blip_folder, clip_folder, text_folder, vilt_folder
from unimo2.errors import BadCheckpoint, IncompatibleModel
from zoo.check import _TRIALS, check
from zoo.protocols import CAPABILITIES


def test_every_capability_has_a_trial():
    """Truth: the table of capabilities."""
    assert set(_TRIALS) == set(CAPABILITIES)


@pytest.mark.parametrize(
    ("name", "ran"),
    [
        ("mini", {"pair_scorer", "shortlister", "dual_encoder"}),
        ("mini-coco", {"captioner"}),
        ("mini-vqa", {"answerer"}),
        ("mini-snli-ve", {"pair_classifier"}),
        ("mini-imagenet", {"image_classifier"}),
        ("mini-mnli", {"text_classifier"}),
    ],
)
def test_embedded_models_pass(name, ran):
    """Truth: the capabilities that their cards list, and Unimo2's shortlist."""
    found = check(name, "cpu")
    assert set(found["ran"]) == ran and found["model"] == name
    assert torch.__version__.startswith(found["versions"]["torch"])
    assert json.loads(json.dumps(found)) == found


def test_foreign_models_pass(tmp_path):
    """Truth: the members that each family has; a card that cannot run, and weights of NaN, do not."""
    clip_folder(tmp_path / "clip")
    vilt_folder(tmp_path / "vilt", "vqa")
    blip_folder(tmp_path / "blip")
    text_folder(tmp_path / "text")
    assert set(check(tmp_path / "clip", "cpu")["ran"]) == {"dual_encoder"}
    assert check(tmp_path / "vilt", "cpu")["ran"]["answerer"]["kind"] == "classes"
    assert set(check(tmp_path / "blip", "cpu")["ran"]) == {
        "pair_scorer",
        "shortlister",
        "dual_encoder",
    }
    assert check(tmp_path / "text", "cpu")["ran"]["text_classifier"]["of"] == 2
    with pytest.raises(IncompatibleModel, match="cannot be run here"):
        check("soho")
    model, _ = text_folder(tmp_path / "nan")
    model.classifier.bias.data.fill_(float("nan"))
    model.save_pretrained(tmp_path / "nan")
    with pytest.raises(BadCheckpoint, match="model 'nan' gives numbers that are not finite"):
        check(tmp_path / "nan", "cpu")
