"""LXMERT and VisualBERT from features of regions: conversion, and answers as the library's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import zoo
from builders.foreign_models import broken_folders, photos, region_folder
from builders.region_tsv import SIZES, numbers, tsv
from unimo2.errors import BadCheckpoint, BadData, MissingData, UsageError
from unimo2.formats.images import load_image
from zoo import protocols
from zoo.region_files import RegionFolder, convert

ANSWERS = ("yes", "no", "1", "2", "red")
QUESTIONS = ["what is this ?", "how many are there ?", "red", "is this a dog ?"]


@pytest.mark.parametrize("lxmert", [True, False])
def test_a_tsv_comes_back_as_it_was(tmp_path, lxmert):
    """Truth: the arrays before they were coded; boxes are fractions of the sides."""
    source = tsv(tmp_path / "f.tsv", lxmert)
    manifest = convert(source, tmp_path / "out", extractor="a detector")
    assert (manifest["images"], manifest["regions"], manifest["dim"]) == (3, 12, 6)
    folder = RegionFolder(tmp_path / "out")
    assert folder.manifest == manifest and manifest["extractor"] == "a detector"
    for name, (features, boxes) in numbers().items():
        width, height, _ = SIZES[name]
        found = folder.read(f"{name}.jpg")
        assert np.array_equal(found.features, features)
        assert np.allclose(found.boxes * [width, height, width, height], boxes, atol=1e-4)
    assert np.array_equal(folder.read("x_000007.jpg").features, numbers()["7"][0])
    again = convert(source, tmp_path / "again", extractor="other")
    assert again["sha256"] == manifest["sha256"]
    with pytest.raises(UsageError, match="has features already"):
        convert(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scale": 200}, "row 1: boxes from .* expected fractions of the sides"),
        ({"count": 2}, "row 1: 2 boxes, but 12 numbers of boxes"),
        ({"features": "!!"}, "row 1: "),
        ({"lines": 0}, "row 1: expected 6 or 10 columns, got 0|has no rows"),
    ],
)
def test_a_broken_tsv_is_one_line(tmp_path, changes, says):
    """Truth: what was broken."""
    with pytest.raises(BadData, match=says):
        convert(tsv(tmp_path / "f.tsv", **changes), tmp_path / "out")


def test_databases_of_pickles_are_refused(tmp_path):
    """Truth: an LMDB's folder and files; the reason is given."""
    (tmp_path / "db.lmdb").mkdir()
    (tmp_path / "a.pkl").write_bytes(b"")
    for name in ("db.lmdb", "a.pkl"):
        with pytest.raises(UsageError, match="may run code"):
            convert(tmp_path / name, tmp_path / "out")


def test_files_by_other_hands_are_checked(tmp_path):
    """Truth: boxes in pixels, a pickle, and an image that is not there."""
    convert(tsv(tmp_path / "f.tsv"), tmp_path / "out")
    folder = RegionFolder(tmp_path / "out")
    features, boxes = numbers()["photo"]
    np.savez(tmp_path / "out" / "photo.npz", features=features, boxes=boxes)
    with pytest.raises(BadData, match="photo.npz: boxes from .* to .*: expected fractions"):
        folder.read("photo.jpg")
    np.savez(tmp_path / "out" / "photo.npz", features=np.array([{}], dtype=object), boxes=boxes)
    with pytest.raises(BadData, match="photo.npz: "):
        folder.read("photo.jpg")
    with pytest.raises(MissingData, match="no features of image gone.jpg at .*expected gone.npz"):
        folder.read("gone.jpg")
    with pytest.raises(MissingData, match="no region features at"):
        RegionFolder(tmp_path)


def opened(tmp_path, kind):
    """A model, its card, and the three photos as they are read from disk."""
    model = region_folder(tmp_path / "m", kind)
    convert(tsv(tmp_path / "f.tsv"), tmp_path / "features")
    card = replace(
        zoo.resolve(tmp_path / "m"),
        labels=ANSWERS,
        options={"features": str(tmp_path / "features")},
    )
    images = []
    for name, photo in zip(SIZES, photos(), strict=True):
        photo.save(tmp_path / f"{name}.jpg")
        images.append(load_image(tmp_path / f"{name}.jpg"))
    return model, card, images


@torch.no_grad()
def example(tmp_path, model, kind, name, question):
    """The library's own code for one question: logits."""
    inputs = AutoTokenizer.from_pretrained(tmp_path / "m")(question, return_tensors="pt")
    features, boxes = (torch.from_numpy(one.copy()) for one in numbers()[name])
    width, height, _ = SIZES[name]
    boxes = boxes / torch.tensor([width, height, width, height])
    if kind == "lxmert":
        out = model(**inputs, visual_feats=features[None], visual_pos=boxes[None].float())
        return out.question_answering_score[0]
    shape = features[None].shape[:-1]
    inputs.update(
        visual_embeds=features[None],
        visual_token_type_ids=torch.ones(shape, dtype=torch.long),
        visual_attention_mask=torch.ones(shape),
    )
    return model(**inputs).logits[0]


@pytest.mark.parametrize("kind", ["lxmert", "visual_bert"])
def test_answers_equal_the_librarys_example_with_boxes_cut_or_padded(tmp_path, kind):
    """Truth: transformers' example, one question a call with the image's own number of boxes."""
    model, card, images = opened(tmp_path, kind)
    adapter = zoo.load_card(card, "cpu")
    protocols.require(adapter, "answerer")
    asked = [images[0], images[1], images[2], images[1]]
    names = [list(SIZES)[n] for n in (0, 1, 2, 1)]
    expected = torch.stack(
        [example(tmp_path, model, kind, n, q) for n, q in zip(names, QUESTIONS, strict=True)]
    )
    for adapter.batch_size in (1, 50):
        assert (adapter.logits(asked, QUESTIONS) - expected).abs().max() < 1e-5
    same = adapter.logits(images, ["red"] * 3)
    single = torch.stack([example(tmp_path, model, kind, n, "red") for n in SIZES])
    assert (same - single).abs().max() < 1e-5 and single.std(0).max() > 1e-2
    assert adapter.answer(asked, QUESTIONS) == [ANSWERS[n] for n in expected.argmax(1).tolist()]
    assert adapter.settings["features"]["extractor"] == "unknown"
    assert len(adapter.settings["features"]["sha256"]) == 64


def test_what_a_region_model_needs_is_said(tmp_path):
    """Truth: no features, features of another length, and answers without names."""
    _, card, _ = opened(tmp_path, "lxmert")
    with pytest.raises(BadCheckpoint, match='needs features of image regions: .*"features"'):
        zoo.load_card(replace(card, options={}), "cpu")
    with pytest.raises(BadCheckpoint, match="nothing names the 5 answers"):
        zoo.load_card(replace(card, labels=()), "cpu")
    with pytest.raises(BadCheckpoint, match="2 answers where the model has 5 columns"):
        zoo.load_card(replace(card, labels=("a", "b")), "cpu")
    path = tmp_path / "features" / "manifest.json"
    path.write_text(path.read_text().replace('"dim": 6', '"dim": 2048'))
    with pytest.raises(BadCheckpoint, match="takes features of 6 numbers; those at .* have 2048"):
        zoo.load_card(card, "cpu")


@pytest.mark.parametrize("kind", ["lxmert", "visual_bert"])
def test_any_tensor_that_is_lost_or_reshaped_is_named(tmp_path, kind):
    """Truth: one tensor at a time is taken away, cut or added."""
    _, card, _ = opened(tmp_path, kind)
    broken = replace(card, source=replace(card.source, location=str(tmp_path / "b")))
    for says in broken_folders(tmp_path / "m", tmp_path / "b", every=6):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load_card(broken, "cpu")
