"""A linear probe on frozen features, against scikit-learn called directly and timm's own features."""

import shutil

import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from timm.models._hub import save_for_hf

import evals
from builders.foreign_models import clip_folder, shaken, vilt_folder
from builders.item_fakes import LAST, write_imagenet
from evals import records
from evals.image_classification import linear_probe
from unimo2.errors import BadData, IncompatibleModel, UsageError
from unimo2.formats.images import load_image

CLASSES = 6


def noisy(count, seed):
    """Features of three classes with much noise, `[count, 5]`, and their labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, 5)) * 2 + np.eye(3, 5)[labels]
    return features.astype(np.float32), labels


def test_the_strength_is_the_best_of_a_search_that_narrows():
    """Truth: scikit-learn for every C that was tried, on the same images held out."""
    features, labels = noisy(300, 1)
    found = linear_probe.fit(features, labels, 4, seed=3)
    held = linear_probe._held_out(labels, 3)
    assert [int(held[labels == label].sum()) for label in range(3)] == [
        round(0.1 * (labels == label).sum()) for label in range(3)
    ]
    assert not np.array_equal(held, linear_probe._held_out(labels, 4))

    def accuracy(strength):
        model = LogisticRegression(C=strength, max_iter=1000).fit(features[~held], labels[~held])
        return 100 * model.score(features[held], labels[held])

    first = [10.0**exponent for exponent in range(-6, 7, 2)]
    assert found.accuracy >= max(map(accuracy, first))
    assert found.accuracy == pytest.approx(accuracy(found.strength))
    assert 7 < found.tried <= 17 and found.unfinished == 0
    whole = LogisticRegression(C=found.strength, max_iter=1000).fit(features, labels)
    logits = found.logits(features)
    np.testing.assert_allclose(logits[:, :3], whole.decision_function(features), atol=1e-6)
    assert (logits[:, 3] < logits[:, :3].min()).all()  # nobody has taught the fourth class
    assert "1 classes have no training image" in " ".join(found.notes())


def test_two_classes_and_too_few_images():
    """Truth: scikit-learn's predictions of two classes; one class, or one image of each, is refused."""
    features, labels = noisy(200, 2)
    some = labels < 2
    found = linear_probe.fit(features[some], labels[some], 2, seed=0)
    model = LogisticRegression(C=found.strength, max_iter=1000).fit(features[some], labels[some])
    predicted = found.logits(features[some]).argmax(1)
    np.testing.assert_array_equal(predicted, model.predict(features[some]))
    for chosen in (labels == 0, np.arange(len(labels)) < 1):
        with pytest.raises(BadData, match="two classes, two of each"):
            linear_probe.fit(features[chosen], labels[chosen], 3, seed=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """ImageNet with both splits: six classes of four pictures, and one class without any."""
    folder = write_imagenet(tmp_path_factory.mktemp("data"), CLASSES)
    shutil.copytree(folder / "imagenet" / "val", folder / "imagenet" / "train")
    return folder


def run(root, output, model, **options):
    """The record of a probe."""
    return evals.run("imagenet", model=model, probe=True, data_root=root, output=output, **options)


def test_a_timm_tower_is_probed(root, tmp_path):
    """Truth: timm's own features (a model without a head) and scikit-learn on them."""
    torch.manual_seed(0)
    model = shaken(timm.create_model("resnet10t", num_classes=5), 0.05)
    save_for_hf(model, str(tmp_path / "tower"), safe_serialization=True)
    record = run(root, tmp_path / "runs", tmp_path / "tower")
    samples = records.read_samples(record.path.parent)
    model.reset_classifier(0)
    config = timm.data.resolve_data_config({}, model=model)
    transform = timm.data.create_transform(**config, is_training=False)
    paths = sorted((root / "imagenet" / "val").rglob("*.JPEG"))
    with torch.inference_mode():
        features = model(torch.stack([transform(load_image(path)) for path in paths])).numpy()
    labels = np.arange(len(paths)) // 4
    strength = linear_probe.read(record.path.parent).strength
    whole = LogisticRegression(C=strength, max_iter=1000).fit(features, labels)
    ids = [f"n{number:08d}" for number in whole.predict(features)]
    assert samples["prediction"].tolist() == ids and LAST not in ids
    assert record.metrics["accuracy"].value == pytest.approx(100 * whole.score(features, labels))
    probe = record.protocol["probe"]
    assert probe["classifier"] == "logistic_regression" and probe["held_out"] == 0.1
    assert (record.variant, record.protocol["zero_shot"]) == ("linear-probe", False)
    assert any(note.startswith("linear probe: C ") for note in record.notes)
    assert "--probe" in record.command


def test_any_image_tower_is_probed_and_nothing_else(root, tmp_path):
    """Truth: a CLIP has vectors, a ViLT has none; a probe is no zero-shot model."""
    clip_folder(tmp_path / "clip")
    record = run(root, tmp_path / "runs", tmp_path / "clip", probe_images=12)
    assert record.protocol["probe"]["images"] == 12
    assert any("fitted on 12 training images" in note for note in record.notes)
    assert record.variant == "linear-probe-12-images"
    vilt_folder(tmp_path / "vilt")
    with pytest.raises(IncompatibleModel, match="as image_encoder"):
        run(root, tmp_path / "runs", tmp_path / "vilt")
    with pytest.raises(UsageError, match="leave --zero-shot out"):
        run(root, tmp_path / "runs", tmp_path / "clip", zero_shot=True)
    with pytest.raises(UsageError, match="measure it on --split val"):
        run(root, tmp_path / "runs", tmp_path / "clip", split="train")
