"""Features kept on disk: read where everything is the same, computed anew where anything differs."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import TEXTS, images, processor, task_model

import zoo
from zoo import interfaces
from zoo.features import FeatureStore


def counted(task, model, weights="0" * 64):
    """An adapter and the number of pictures that its vision tower sees."""
    adapter = zoo.task_adapter(task, model, processor(), "tiny", weights)
    seen = []
    adapter.base.vision.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    return adapter, seen


def test_kept_features_give_the_same_results_without_the_tower(tmp_path):
    """Truth: the results without a store; the pictures that reach the tower, counted."""
    model = task_model("snli_ve", ["a", "b", "c"])
    adapter, seen = counted("snli_ve", model)
    interfaces.require(adapter, "pair_classifier")
    expected = adapter.classify_pairs(images(4), TEXTS)
    assert sum(seen) == 4
    adapter.keep_features(tmp_path)
    for total in (8, 8):
        assert (adapter.classify_pairs(images(4), TEXTS) - expected).abs().max() < 1e-6
        assert sum(seen) == total
    other, seen = counted("snli_ve", model)
    other.keep_features(tmp_path)
    other.classify_pairs(images(3)[::-1], TEXTS[:3])
    assert sum(seen) == 0
    other.keep_features(None)
    other.classify_pairs(images(3), TEXTS[:3])
    assert sum(seen) == 3


def test_other_weights_or_formats_do_not_share_features(tmp_path):
    """Truth: each store differs from the first in one thing; the tower runs for each."""
    pixels = torch.rand(2, 3, 4, 4)
    calls = []

    def tower(some):
        calls.append(len(some))
        return some.flatten(2)

    stores = [
        ("a" * 64, "float32", "cpu"),
        ("b" * 64, "float32", "cpu"),
        ("a" * 64, "bfloat16", "cpu"),
        ("a" * 64, "float32", "cuda:1"),
    ]
    for fields in stores:
        FeatureStore(tmp_path, *fields).through(pixels, tower)
    assert calls == [2, 2, 2, 2]
    again = FeatureStore(tmp_path, "a" * 64, "float32", "cuda:0")
    assert torch.equal(again.through(pixels, tower), pixels.flatten(2))
    assert again.hits == 2
    again.through(torch.cat([pixels, pixels + 1]), tower)
    assert calls[4:] == [2]


@pytest.mark.parametrize("damage", [b"", b"not a tensor at all"])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    """Truth: the tower's own features."""
    pixels = torch.rand(1, 3, 4, 4)
    store = FeatureStore(tmp_path, "a" * 64, "float32", "cpu")
    store.through(pixels, lambda some: some.flatten(2))
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(damage)
    assert torch.equal(store.through(pixels, lambda some: some.flatten(2)), pixels.flatten(2))
    assert store.hits == 0
    assert path.stat().st_size > len(damage)


def test_text_encoders_keep_none():
    """Truth: they have no vision tower."""
    from tiny_models import text_encoder

    encoder = zoo.task_adapter("sst2", text_encoder(["0", "1"]), processor().tokenizer, "t", "")
    assert not isinstance(encoder, interfaces.FeatureKeeper)
