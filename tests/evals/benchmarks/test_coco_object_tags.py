"""Object tags in COCO's evaluation: which image gets which, and what the record says of them."""

import contextlib
import hashlib
import json

import numpy as np
import pytest

import evals
from builders.item_fakes import FakeCaptioner, FakeTagReader, caption_of, write_coco
from evals.benchmarks.coco import CocoData, captions_of
from evals.compare import compare
from evals.datasets.suites import resolve
from evals.metrics.ranking import Metric
from evals.splits import SplitInfo
from unimo2.errors import BadData, IncompatibleModel, MissingData
from unimo2.formats import coco as coco_format
from unimo2.formats.karpathy import read_karpathy


def run(model, root, tmp_path, **options):
    """A run of a model in memory."""
    return evals.run("coco", model=model, data_root=root, output=tmp_path / "runs", **options)


def _scored_as_nothing(monkeypatch):
    """Without the programs that score captions, which other tests run."""
    from evals.benchmarks import coco
    from evals.metrics import captions as caption_metrics

    def scored(captions, references, seed):
        words = np.array([len(text.split()) for text in captions.values()], dtype=np.float64)
        sums = {"bleu": np.ones((len(words), 10)), "meteor": np.ones((len(words), 23))}
        metrics = {"CIDEr": Metric(100 * words.mean(), len(words), (0.0, 0.0), None, False)}
        return caption_metrics.CaptionScores(metrics, tuple(captions), {"CIDEr": words}, sums, ())

    monkeypatch.setattr(coco, "caption_scores", scored)


def test_object_tags_reach_their_images_and_the_record_says_which(tmp_path, monkeypatch):
    """Truth: tags by hand, by id and by name, for eleven of twelve images; sha256 by hashlib."""
    _scored_as_nothing(monkeypatch)
    root = write_coco(tmp_path / "data")
    content = {str(300 + n): [f"thing{n}"] for n in range(10)}
    content |= {f"COCO_val2014_{310:012d}.jpg": ["sofa", "cat"], "999": ["elsewhere"]}
    path = tmp_path / "tags.json"
    path.write_text(json.dumps(content))
    record = run(FakeTagReader(), root, tmp_path, object_tags=path)
    said = coco_format.read_results(record.path.parent / "captions_karpathy-test_fake_results.json")
    names = [*([f"thing{n}"] for n in range(10)), ["sofa", "cat"], []]
    assert said == {300 + n: " ".join([caption_of(n), *names[n]]) for n in range(12)}
    assert record.protocol["object_tags"] == {
        "file": "tags.json",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "source": "tags",
        "images_with_tags": 12,
    }
    assert (record.variant, record.data["tagged"]) == ("object-tags", 11)
    assert "1 of 12 images have no object tags" in record.notes
    assert f"--object-tags {path}" in record.command
    plain = run(FakeTagReader(), root, tmp_path)
    assert plain.protocol["object_tags"] is None and "tagged" not in plain.data
    # Ten images have one word more, one has two, one has none.
    found = compare(plain.path.parent, record.path.parent).metrics["CIDEr"]
    assert found.difference == pytest.approx(100 * 12 / 12)


def test_tags_go_by_the_number_of_the_image_and_not_by_its_place(tmp_path):
    """Truth: tags by hand; the images that are left of a resumed run are the fourth and second."""
    root = write_coco(tmp_path / "data", images=4)
    images = tuple(read_karpathy(root / "coco/dataset_coco.json", root / "coco", ["test"]))
    extent = SplitInfo.of(resolve(None, root), "coco", ("test",), "images", 4, 4)
    data = CocoData(extent, "f", images, (("zero",), ("one",), ("two",), ("three",)))
    said = captions_of(FakeTagReader(), data, [3, 1], beam_size=1)
    assert said == [f"{caption_of(3)} three", f"{caption_of(1)} one"]


def test_an_interrupted_run_goes_on_only_with_the_same_object_tags(tmp_path, monkeypatch):
    """Truth: how many images the model sees again after an interruption."""
    from evals.benchmarks import coco

    _scored_as_nothing(monkeypatch)
    root = write_coco(tmp_path / "data")
    path = tmp_path / "tags.json"
    path.write_text(json.dumps({"300": ["dog"]}))
    kept, seen = coco.caption_scores, []

    def interrupted(*arguments):
        raise KeyboardInterrupt

    for content in ({"300": ["dog"]}, {"300": ["dog"]}, {"300": ["cat"]}):
        path.write_text(json.dumps(content))
        last = content == {"300": ["cat"]}
        monkeypatch.setattr(coco, "caption_scores", kept if last else interrupted)
        model = FakeTagReader()
        with contextlib.suppress(KeyboardInterrupt):
            run(model, root, tmp_path, object_tags=path)
        seen.append(model.calls)
    assert seen == [12, 0, 12]


def test_object_tags_that_cannot_be_used_are_one_line(tmp_path):
    """Truth: a captioner without tags, tags of other images, and a file that is not there."""
    root, path = write_coco(tmp_path / "data"), tmp_path / "tags.json"
    path.write_text(json.dumps({"1": ["dog"]}))
    with pytest.raises(IncompatibleModel, match="'fake' reads no object tags"):
        run(FakeCaptioner(), root, tmp_path, object_tags=path)
    with pytest.raises(BadData, match="no tags for any of the 12 images"):
        run(FakeTagReader(), root, tmp_path, object_tags=path)
    with pytest.raises(MissingData, match="object tags not found"):
        run(FakeTagReader(), root, tmp_path, object_tags=tmp_path / "none.json")
