"""What `unimo2 bench retrieval` compares is the same computation, and operations are counted right."""

import json

import pytest
import torch

from evals.bench.retrieval import Bench, measure
from unimo2 import Unimo2Config
from unimo2.bench.fusion import forward_flops
from unimo2.bench.timing import operations
from unimo2.cli import main

CPU = torch.device("cpu")
SIZES = {
    "image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 32,
    "num_attention_heads": 2, "vision_layers": 1, "text_layers": 1, "fusion_layers": 3,
    "dictionary_size": 12, "grounded_tokens": 3, "vocab_size": 50,
}  # fmt: skip


def _bench(images: int = 5, captions: int = 2) -> Bench:
    torch.manual_seed(0)
    config = Unimo2Config.mini(**SIZES)
    return Bench.of(config, images, captions, 4, CPU, torch.float32, batch_size=2)


def test_all_ways_give_the_same_scores():
    """Independent truth: the released algorithm, which runs both towers for every pair."""
    bench = _bench()
    expected = torch.stack(bench.score_released())
    assert expected.shape == (2, 5)
    for way in (bench.score, bench.score_gathered, bench.score_dense):
        assert (torch.stack(way()) - expected).abs().max() < 1e-5


def test_operations_are_those_of_the_formula():
    """Independent truth: products and attention of every layer by hand, plus the two poolers.

    Dense fusion with a mask multiplies all rows with all keys.
    """
    one = _bench(1, 1)
    model = one.scorer.model
    layout = model.fusion.make_layout(
        torch.zeros(1, 5, 16), torch.zeros(1, 3, 16), torch.zeros(1, 4, 16), None
    )
    linear = forward_flops(model.config, layout, 1)
    heads = 2 * (2 * 16 * 16) + 2 * 16 * 2  # two poolers and the matching head
    unmasked = 3 * 4 * 16 * (2 * 5 * 4)  # three layers; the visual-text block both ways
    assert operations(one.score_dense) == linear + unmasked + heads
    assert operations(one.score) < 0.8 * linear


def test_speed_says_what_the_protocol_would_take():
    """Independent truth: hours and pairs a second of one method give its 5,000,000 pairs."""
    config = Unimo2Config.mini(**SIZES)
    speed, fast = measure(config, 3, 2, 4, [torch.float32, torch.bfloat16], CPU, repeats=1)
    names = [method.name for method in speed.methods]
    assert names[0] == "this project, exhaustive" and "--rerank 64" in names[1]
    for method in speed.methods:
        assert method.pairs_per_second * method.hours * 3600 == pytest.approx(5e6)
        assert method.share > 0
    own, rerank, dense, released = speed.methods
    assert own.slower == 1
    assert rerank.fusion_gflop == pytest.approx(own.fusion_gflop * 384_000 / 5_000_000)
    assert released.tower_gflop > 10 * dense.tower_gflop == 10 * own.tower_gflop
    assert speed.projection_mib * 2**20 == 5 * 48 * 4
    assert (speed.dtype, fast.dtype) == ("float32", "bfloat16")
    assert fast.projection_mib == speed.projection_mib / 2
    assert speed.released_ratio == pytest.approx(released.slower)
    # Of another format, too: the released algorithm's hours in float32 by our own in bfloat16.
    assert fast.released_ratio == pytest.approx(released.hours / fast.methods[0].hours)


def test_bench_prints_every_way(capsys, monkeypatch):
    """Independent truth: the figures' own names, and numbers that JSON can read."""
    monkeypatch.setattr(Unimo2Config, "mini", lambda: Unimo2Config(**SIZES))
    line = ["bench", "retrieval", "--size", "mini", "--images", "2", "--captions", "1"]
    line += ["--dtype", "float32", "--dtype", "bfloat16", "--repeats", "1", "--device", "cpu"]
    assert main(line) == 0
    shown = capsys.readouterr().out
    for name in ("released algorithm, towers", "dense masked", "--rerank 64", "matmul rate", "MiB"):
        assert shown.count(name) == 2
    assert shown.count("the released algorithm in float32 takes") == 1
    assert main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mini, float32"]["pairs"] == 2
    assert main(["bench", "retrieval", "--dtype", "float8"]) == 2
