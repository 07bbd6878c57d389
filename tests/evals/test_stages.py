"""Every stage of a run that can be long says what is being done, and how far it is."""

import numpy as np

import evals
from builders.item_fakes import NoisyScorer, write_imagenet
from evals.benchmark import SampleMetric
from evals.compare import difference
from evals.metrics.captions import caption_scores
from reports.site import SiteRequest, build
from unimo2.formats import weights


def test_few_images_with_eighty_templates_are_told_by_the_sentence(display, tmp_path):
    """Truth: 12 images, 7 classes, 80 templates: 560 sentences, counted one by one."""
    root = write_imagenet(tmp_path / "data", images=2)
    evals.run(
        "imagenet", model=NoisyScorer(), zero_shot=True, templates=80, data_root=root,
        output=tmp_path / "runs", on_progress=display,
    )  # fmt: skip
    found = display.stages()
    assert found["scoring images with sentences"] == (560, 560)
    assert found["hashing images"] == found["opening images"] == (12, 12)
    assert found["encoding sentences"][0] == found["encoding sentences"][1] > 100
    assert {"reading ImageNet", "metrics and intervals", "resampling"} <= set(found)
    counts = [one.done for one in display.told if one.doing == "scoring images with sentences"]
    assert counts[:561] == list(range(561))


def test_javas_programs_are_named(display):
    """Truth: three images; METEOR answers one by one."""
    captions = {number: "a dog runs" for number in range(3)}
    caption_scores(captions, {number: ["a dog runs in the park"] for number in range(3)})
    found = display.stages()
    assert found["METEOR in Java"] == (3, 3)
    assert "the PTB tokenizer in Java" in found


def test_weights_are_hashed_by_the_mebibyte(display, tmp_path):
    """Truth: a file of 3 MiB."""
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (3 << 20))
    weights.file_sha256(tmp_path / "model.safetensors")
    assert display.stages()["hashing model.safetensors"] == (3, 3)


def test_permutations_are_counted(display):
    """Truth: 20,000 exchanges of 2,000 units are drawn in as many portions as the stage announced."""
    scores = np.random.default_rng(4).random((2, 2000))
    items = np.arange(2000)
    difference(*(SampleMetric.mean(items, items, one) for one in scores), permutations=20_000)
    done, total = display.stages()["exchanging at random"]
    assert done == total > 1


def test_a_site_counts_the_runs_that_it_draws(display, tmp_path):
    """Truth: as many as it has records, those that come with the package."""
    build(tmp_path / "site", SiteRequest(runs=tmp_path, images="none"))
    found = display.stages()
    done, total = found["drawing pages"]
    assert done == total > 1 and found["reading items"] == (done, total)
    assert "drawing figures" in found and "drawing tables" in found
