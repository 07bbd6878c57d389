"""Every stage of a run that can be long says what is being done, and how far it is."""

import pytest

import evals
from builders.item_fakes import NoisyScorer, write_imagenet
from evals.metrics.captions import caption_scores
from unimo2 import progress
from zoo import weights


class Watching:
    """A display that keeps what it is told."""

    def __init__(self):
        self.current, self.told = None, []

    def __call__(self, news):
        """Take news."""
        self.current = news
        self.told.append(news)

    def end(self, before):
        """Take back a stage."""
        self.current = before

    def stages(self):
        """The last number that each stage came to, and of how many."""
        return {one.doing: (one.done, one.total) for one in self.told if one.doing}


@pytest.fixture
def display(monkeypatch):
    watching = Watching()
    monkeypatch.setattr(progress, "_shown", [watching])
    return watching


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
