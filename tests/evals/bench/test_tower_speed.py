"""What `unimo2 bench towers` compares is the same computation, and the rest is the whole protocol."""

import json

import torch
from transformers import CLIPConfig

from builders.foreign_models import TEXT, VISION
from evals.bench import towers
from unimo2.cli import main

CPU = torch.device("cpu")


def small():
    """A CLIP of two layers."""
    return CLIPConfig(text_config={**TEXT, "vocab_size": 99}, vision_config=VISION)


def test_both_ways_give_the_same_vectors_and_times_are_told():
    """Truth: transformers' own loop, with padding and a mask; texts of three lengths share a call."""
    encoder = towers.random_clip(small(), CPU)
    texts = ["a b c", "d", "a b c d e f g", "x y", "d e f"]
    mine, plain = encoder.embed_texts(texts), towers._plain_texts(encoder, texts)
    assert (mine - plain).abs().max() < 1e-6 and mine.std(0).max() > 1e-3
    assert (torch.stack([encoder.embed_texts([one])[0] for one in texts]) - mine).abs().max() < 1e-6
    speed = towers.measure(encoder, images=3, texts=4, repeats=2, rest=(6, 30))
    assert speed.largest_difference < 1e-6
    assert min(speed.images_ratio, speed.texts_ratio, speed.rest_seconds) > 0
    every = 6 / speed.images_per_second + 30 / speed.texts_per_second + speed.rest_seconds
    assert abs(speed.rest_share - 100 * speed.rest_seconds / every) < 1e-9


def test_a_folder_can_be_timed(tmp_path, capsys, monkeypatch):
    """Truth: the command's figures have the names of the dataclass; a model that is no CLIP is refused."""
    from builders.foreign_models import clip_folder, vilt_folder

    clip_folder(tmp_path / "clip")
    vilt_folder(tmp_path / "vilt")
    rest = towers._rest
    monkeypatch.setattr(towers, "_rest", lambda images, captions, width: rest(4, 8, width))
    words = ["bench", "towers", "--images", "2", "--texts", "2", "--repeats", "1", "--json"]
    assert main([*words, "--model", str(tmp_path / "clip")]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(towers.TowerSpeed.__annotations__)
    assert main([*words, "--model", str(tmp_path / "vilt")]) == 2
    assert "expected a transformers CLIP or SigLIP" in capsys.readouterr().err
