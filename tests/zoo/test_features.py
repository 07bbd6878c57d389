"""Features kept on disk: read where everything is the same, computed anew where anything differs."""

import pytest
import torch

import zoo
from builders.tiny_models import TEXTS, images, processor, task_model
from unimo2.errors import IncompatibleModel
from zoo import protocols
from zoo.feature_cache import IMAGES, FeatureStore
from zoo.feature_cache import TEXTS as WORDS


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
    protocols.require(adapter, "pair_classifier")
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


def _all_features(adapter, texts):
    """Every tensor of some texts and of three pictures."""
    items = [*adapter.encode_texts(texts), *adapter.encode_images(images(3))]
    return [tensor for item in items for tensor in item.tensors.values()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_retrieval_is_bit_identical_with_kept_features(tmp_path, dtype):
    """Truth: the features without a store, of a first run that fills it and of one that reads it."""
    from unimo2.devices import find_dtype
    from zoo.families.unimo2 import set_precision

    model = task_model(None)
    set_precision(model, find_dtype(dtype))
    adapter, seen = counted(None, model)
    adapter.base.text.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    texts = [*TEXTS, TEXTS[0] + " and round", TEXTS[3]]
    plain = _all_features(adapter, texts)
    assert sum(seen) == len(texts) + 3
    adapter.keep_features(tmp_path)
    for _ in range(2):
        kept = _all_features(adapter, texts)
        assert all(torch.equal(a, b) for a, b in zip(kept, plain, strict=True))
        assert sum(seen) == 2 * (len(texts) + 3)
    more = _all_features(adapter, [TEXTS[1], "is it green"])
    assert sum(seen) == 2 * (len(texts) + 3) + 1
    again, _ = counted(None, model)
    alone = _all_features(again, [TEXTS[1], "is it green"])
    limit = 1e-6 if dtype == "float32" else 0.05
    assert all((a - b).abs().max() < limit for a, b in zip(more, alone, strict=True))


def test_texts_and_images_do_not_meet(tmp_path):
    """Truth: the same numbers given to two towers, and two texts of other lengths."""
    given = torch.arange(4).view(1, 4)
    store = FeatureStore(tmp_path, "a" * 64, "float32", "cpu")
    for number, kind in enumerate((IMAGES, WORDS)):
        computed = torch.full((1, 4, 2), float(number))
        assert torch.equal(store.through(kind, given, lambda some, c=computed: c), computed)
    assert store.hits == 0
    store.through(WORDS, given[:, :3], lambda some: torch.zeros(1, 3, 2))
    assert store.hits == 0
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


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
        FeatureStore(tmp_path, *fields).through(IMAGES, pixels, tower)
    assert calls == [2, 2, 2, 2]
    again = FeatureStore(tmp_path, "a" * 64, "float32", "cuda:0")
    assert torch.equal(again.through(IMAGES, pixels, tower), pixels.flatten(2))
    assert again.hits == 2
    again.through(IMAGES, torch.cat([pixels, pixels + 1]), tower)
    assert calls[4:] == [2]


def _cut(content: bytes) -> bytes:
    return content[:-5]


def _flip(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"not a tensor at all", _cut, _flip])
def test_a_damaged_file_is_computed_again(tmp_path, damage, caplog):
    """Truth: the tower's own features; a file that is empty, foreign, cut off, or off by one bit."""
    pixels = torch.rand(1, 3, 4, 4)
    store = FeatureStore(tmp_path, "a" * 64, "float32", "cpu")
    store.through(IMAGES, pixels, lambda some: some.flatten(2))
    [path] = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(
        store.through(IMAGES, pixels, lambda some: some.flatten(2)), pixels.flatten(2)
    )
    assert store.hits == 0
    assert path.read_bytes() == whole
    assert f"{path} are damaged" in caplog.text
    caplog.clear()
    assert torch.equal(store.through(IMAGES, pixels, lambda some: some), pixels.flatten(2))
    assert (store.hits, caplog.text) == (1, "")


def test_text_encoders_keep_none(tmp_path):
    """Truth: they have no vision tower."""
    from builders.tiny_models import text_encoder

    encoder = zoo.task_adapter("sst2", text_encoder(["0", "1"]), processor().tokenizer, "t", "")
    with pytest.raises(IncompatibleModel, match="cannot cache features: leave --features out"):
        encoder.keep_features(tmp_path)
