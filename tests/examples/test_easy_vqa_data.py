"""The example that writes easy-vqa into the layout of VQA v2, and what is reached on it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from evals.validation import measure
from unimo2.cli import main
from unimo2.formats.vqa import read_annotations, read_questions
from unimo2.training.finetuning.readers import read_vqa

SCRIPT = Path(__file__).parents[2] / "examples" / "easy_vqa_data.py"
# The package's functions over four images, as its own documentation describes them.
FAKE = """
from pathlib import Path
_HERE = Path(__file__).parent
def _paths(split):
    return {int(p.stem): str(p) for p in (_HERE / split).glob("*.png")}
def get_train_image_paths(): return _paths("train")
def get_test_image_paths(): return _paths("test")
def get_train_questions():
    return (["what color is it?", "is it red?", "is it blue?", "is it red?"],
            ["red", "yes", "no", "no"], [0, 0, 0, 1])
def get_test_questions(): return (["is it red?"], ["yes"], [0])
"""


def write(root: Path, packages: Path | None, *more: str) -> str:
    environment = dict(os.environ)
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    command = [sys.executable, str(SCRIPT), str(root), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_example_writes_what_the_readers_of_vqa_read(tmp_path):
    """Truth: the questions and colours that a stand-in for the package holds."""
    package = tmp_path / "packages/easy_vqa"
    for split, colours in (("train", ("red", "green")), ("test", ("red",))):
        (package / split).mkdir(parents=True)
        for number, colour in enumerate(colours):
            Image.new("RGB", (64, 64), colour).save(package / split / f"{number}.png")
    (package / "__init__.py").write_text(FAKE)
    root = tmp_path / "root"
    shown = write(root, tmp_path / "packages", "--val-share", "0.5")
    assert "test-dev2015: 1 images, 1 questions" in shown
    questions, answers = [], {}
    for split in ("train", "val"):
        base = root / "vqa"
        part = read_questions([base / f"v2_OpenEnded_mscoco_{split}2014_questions.json"])
        for one in read_annotations([base / f"v2_mscoco_{split}2014_annotations.json"]):
            answers[one.question_id] = {answer.text for answer in one.answers}
        questions += [(one.image_id, one.text, *answers[one.id]) for one in part]
    assert sorted(questions) == [
        (0, "is it blue?", "no"),
        (0, "is it red?", "yes"),
        (0, "what color is it?", "red"),
        (1, "is it red?", "no"),
    ]
    samples = read_vqa(root, ["train"], threshold=1)
    assert set(samples.labels) == {"yes", "no", "red"} and len(samples.images) == 1

    class Yes:
        name, batch_size, weights_sha256, device, dtype, settings = "yes", 4, "", "cpu", "f", {}

        def answer(self, images, questions):
            assert all(image.getpixel((32, 32))[0] > 200 for image in images)
            return ["yes"] * len(images)

    assert measure("vqa", Yes(), root, "test-dev")["accuracy"].value == 100.0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_embedded_model_answers_easy_vqa(tmp_path):
    """Truth: the answers of easy-vqa's own test questions."""
    if find_spec("easy_vqa") is None:
        pytest.skip("the package easy-vqa is not installed (pip install easy-vqa)")
    root, run = tmp_path / "root", tmp_path / "run"
    write(root, None)
    paths = ["--data-root", str(root), "--output", str(run)]
    assert main(["finetune", "vqa", *paths, "--config", "mini-easy-vqa"]) == 0
    import zoo

    accuracy = measure("vqa", zoo.load(run / "model"), root, "test-dev")["accuracy"]
    assert accuracy.n == 9673 and accuracy.value >= 97.0
