"""The comparison of caption searches: every way does the same amount of the same work."""

import json

import pytest
import torch
from torch import nn

from unimo2.bench.captioning import image_rows, make_searchers, measure
from unimo2.cli import main
from unimo2.modeling.configuration import Unimo2Config

TINY = {
    "image_size": 16, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
    "vision_layers": 1, "text_layers": 1, "fusion_layers": 2, "vocab_size": 50,
    "max_position_embeddings": 20, "dictionary_size": 8, "grounded_tokens": 4, "patch_size": 8,
}  # fmt: skip


def tiny() -> Unimo2Config:
    """A model for counting, not for timing."""
    return Unimo2Config.mini(**TINY)


def test_every_way_writes_as_many_tokens_for_as_many_images() -> None:
    """Against the numbers asked for: the end token ends nothing early."""
    torch.manual_seed(0)
    ways = make_searchers(tiny(), 3, 2, 6, torch.float32, torch.device("cpu"))
    assert len(ways) == 3
    for way in ways:
        assert [len(tokens) for tokens in way.search()] == [6, 6, 6], way.name


def test_every_way_runs_its_layers_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a count of the calls of linear maps to the vocabulary: one a token, two beams an image."""
    torch.manual_seed(0)
    ways = make_searchers(tiny(), 3, 2, 6, torch.float32, torch.device("cpu"))
    rows: list[int] = []
    plain = nn.functional.linear

    def counted(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None):
        if len(weight) == 50:
            rows.append(hidden.numel() // hidden.shape[-1])
        return plain(hidden, weight, bias)

    monkeypatch.setattr(nn.functional, "linear", counted)
    for way in ways:
        rows.clear()
        way.search()
        assert len(rows) == 6 and rows[1:] == [6] * 5, way.name


def test_the_decoders_are_of_one_size() -> None:
    """Against parameters of layers by hand: 4 D^2 + 2 D F and their biases and norms, three deep."""
    ours, prefix, cross = make_searchers(tiny(), 1, 2, 3, torch.float32, torch.device("cpu"))
    width, inner, depth, words = 32, 64, 3, 50
    layer = 4 * width**2 + 2 * width * inner + (4 * width + inner + width) + 4 * width
    attention = 4 * width**2 + 4 * width + 2 * width
    positions = 5 + 4 + 1  # patches with class token, grounded tokens, and the start token
    assert prefix.parameters == depth * layer + (words + positions + 3) * width + 2 * width
    assert cross.parameters > depth * (layer + attention) + words * width
    assert abs(ours.parameters - (depth * layer + words * width)) < 3_500
    assert image_rows(tiny()) == positions - 1


def test_a_run_prints_one_line_a_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the figures of one run: ours is the unit, and the JSON says the same."""
    monkeypatch.setattr(Unimo2Config, "mini", classmethod(lambda cls: Unimo2Config(**TINY)))
    options = ["--size", "mini", "--images", "2", "--beams", "2", "--tokens", "3", "--repeats", "1"]
    assert main(["bench", "caption", *options]) == 0
    output = capsys.readouterr().out
    assert "mini, float32: 2 images at once, 2 beams, 3 tokens each, 9 rows of an image" in output
    assert output.count("transformers generate") == 2 and " 1.00x\n" in output
    assert main(["bench", "caption", *options, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["mini, float32"]
    assert [way["slower"] > 0 for way in figures["ways"]] == [True] * 3
    assert figures["ways"][0]["slower"] == 1.0


def test_speeds_are_of_the_rounds() -> None:
    """Against the definition: captions a second are images by the median second."""
    speed = measure(tiny(), 2, 2, 3, torch.float32, torch.device("cpu"), repeats=1)
    ours, *others = speed.ways
    for way in others:
        assert way.slower == pytest.approx(ours.captions_per_second / way.captions_per_second)
