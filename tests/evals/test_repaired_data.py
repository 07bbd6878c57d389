"""Inputs are opened before the first batch; after a repair only what changed is computed again."""

import io
import random

import numpy as np
import pytest
from PIL import Image

import evals
from builders.item_fakes import (
    FakeImageClassifier,
    FakePairClassifier,
    FakeTextClassifier,
    write_glue,
    write_imagenet,
    write_snli_ve,
)
from evals import records, splits
from unimo2.errors import BadData
from unimo2.formats.images import check_image, load_image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_quick_check_meets_every_file_that_is_cut_off(tmp_path, kind):
    """Truth: decoding the whole file, of one that is cut at 40 random places."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 70, 3)).astype("uint8")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    content, cut = stream.getvalue(), tmp_path / "photo.jpg"
    refused = 0
    for at in [len(content), *random.Random(1).sample(range(len(content)), 40)]:
        cut.write_bytes(content[:at])
        try:
            load_image(cut)
        except BadData as error:
            refused += 1
            with pytest.raises(BadData) as found:
                check_image(cut)
            assert str(found.value) == str(error)
        else:
            check_image(cut)
    assert refused >= 35


def test_all_that_is_bad_is_counted_and_the_first_named(tmp_path):
    """Truth: two files of three that were spoiled; one listed twice counts once."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    splits.check_images(paths)
    paths[1].write_bytes(paths[1].read_bytes()[:30])
    with pytest.raises(BadData, match="^image cannot be decoded: .*b.png"):
        splits.check_images([*paths, paths[1]])
    paths[2].write_bytes(b"")
    with pytest.raises(BadData, match="^2 of 3 images cannot be read; the first: image .*b.png"):
        splits.check_images([*paths, paths[1]])


BENCHMARKS = {
    "imagenet": (
        lambda root: write_imagenet(root, classes=6, images=60),
        lambda: FakeImageClassifier(batch_size=8),
        {"split": "val"},
        "imagenet/val/n00000005/ILSVRC2012_val_00000360.JPEG",
    ),
    "snli_ve": (
        lambda root: write_snli_ve(root, pairs=400),
        FakePairClassifier,
        {"split": "dev"},
        "flickr30k/flickr30k-images/399.jpg",
    ),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_bad_image_costs_nothing_and_a_repair_only_what_changed(tmp_path, name):
    """Truth: the model counts its items; a run that nobody interrupted gives the numbers."""
    write, make, more, last = BENCHMARKS[name]
    root, items = write(tmp_path / "data"), 360
    options = {"data_root": root, "output": tmp_path / "runs", **more}
    content = (root / last).read_bytes()
    (root / last).write_bytes(content[: len(content) // 2])
    model = make()
    with pytest.raises(BadData, match=last.rpartition("/")[2]):
        evals.run(name, model=model, **options)
    assert model.calls == 0 and not (tmp_path / "runs").exists()
    with pytest.raises(BadData, match=last.rpartition("/")[2]):
        evals.run(name, model=model, no_check=True, **options)
    assert 0 < model.calls < items
    done = model.calls
    (root / last).write_bytes(content)
    repaired = make()
    record = evals.run(name, model=repaired, **options)
    assert repaired.calls == items - done
    fresh = evals.run(name, model=make(), **{**options, "output": tmp_path / "fresh"})
    assert record.metrics == fresh.metrics
    found, expected = (records.read_samples(one.path.parent) for one in (record, fresh))
    assert found.equals(expected)
    assert not (record.path.parent / "predictions").exists()
    again = make()
    evals.run(name, model=again, fresh=True, **options)
    assert again.calls == items


def stopped(name, model, after, **options):
    """A run that fails in the call after so many."""
    method = next(m for m in dir(model) if m.startswith("classify_"))
    inner, calls = getattr(model, method), iter(range(after))

    def failing(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return inner(*args)

    setattr(model, method, failing)
    with pytest.raises(KeyboardInterrupt):
        evals.run(name, model=model, **options)


def test_an_item_that_is_taken_away_or_changed_leaves_the_others(tmp_path):
    """Truth: rows by hand; the others are not computed again wherever they then stand."""
    root = write_glue(tmp_path / "data", rows=700)
    options = {"data_root": root, "output": tmp_path / "runs", "split": "dev"}
    stopped("sst2", FakeTextClassifier(("0", "1")), 2, **options)
    path = root / "glue" / "SST-2" / "dev.tsv"
    lines = path.read_text().splitlines(keepends=True)
    del lines[3]
    lines[10] = lines[10].replace("sentence ", "sentence 77")
    path.write_text("".join(lines))
    model = FakeTextClassifier(("0", "1"))
    record = evals.run("sst2", model=model, **options)
    assert 700 - 2 * 256 <= model.calls <= 700 - 2 * 256 + 1
    fresh = evals.run(
        "sst2", model=FakeTextClassifier(("0", "1")), **{**options, "output": tmp_path / "fresh"}
    )
    assert record.metrics == fresh.metrics
    found, expected = (records.read_samples(one.path.parent) for one in (record, fresh))
    assert found.equals(expected)


def test_other_classes_to_choose_from_leave_nothing(tmp_path):
    """Truth: a prediction of ImageNet depends on all classes; with one more, none is kept."""
    root = write_imagenet(tmp_path / "data", classes=6, images=60)
    options = {"data_root": root, "output": tmp_path / "runs", "split": "val"}
    stopped("imagenet", FakeImageClassifier(), 2, **options)
    mapping = root / "imagenet" / "LOC_synset_mapping.txt"
    mapping.write_text("".join(mapping.read_text().splitlines(keepends=True)[:-1]))
    model = FakeImageClassifier()
    evals.run("imagenet", model=model, **options)
    assert model.calls == 360


def test_what_another_model_or_a_damaged_file_said_is_not_taken(tmp_path):
    """Truth: the identity of the runs differs in more than the data."""
    root = write_snli_ve(tmp_path / "data", pairs=400)
    options = {"data_root": root, "output": tmp_path / "runs", "split": "dev"}
    stopped("snli_ve", FakePairClassifier(), 2, **options)
    for path in (tmp_path / "runs").glob("**/predictions/*.json"):
        path.write_text(path.read_text()[:-40])
    model = FakePairClassifier()
    model.weights_sha256 = "c" * 64
    evals.run("snli_ve", model=model, limit=390, **options)
    assert model.calls == 351
    model = FakePairClassifier()
    evals.run("snli_ve", model=model, limit=380, **options)
    assert model.calls == 342
