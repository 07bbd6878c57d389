"""The whole path at the paper's size: pre-training, every fine-tuning and every benchmark, once each.

    python -m pytest tests/cli/test_rehearsal.py -m slow -s

Nothing is learned in a step. What is proven is that the base model's 298.3 million parameters (299.5
with the projection of views, which is not part of the model) go through every command with the paper's
own recipes, at 224 and 384 pixels, and how much memory that takes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import cycle
from pathlib import Path

import pytest

from builders import corpora_folders, tiny_tasks
from unimo2.modeling.configuration import Unimo2Config
from unimo2.processing import Unimo2Processor, train_tokenizer
from unimo2.training.towers import ContrastedVit, MaskedRoberta

PARAMETERS = 298.3e6
LARGEST_PEAK = 12.0  # GB of one process
SMALL = ("batch_size=2", "prefetch=0", "workers=1", "precision=fp32", "save_dtype=float16")
OF_TASK = {
    "flickr": ["negatives=1", "eval_limit=1"],
    "vqa": ["answer_threshold=1", "eval_limit=1"],
    "snli-ve": ["eval_limit=1"],
    "coco": ["eval_limit=1", "max_text_length=16"],
    "imagenet": ["holdout=0.05"],
    **{name: ["eval_limit=4"] for name in ("sst2", "mnli", "cola", "stsb")},
}
PRETRAINING = (
    *("steps=2", "pair_steps=0.5", "image_batch=2", "text_batch=2", "prompt_share=0.5"),
    *("max_text_length=32", "text_length=32", "trackers=[]", "log_every=1"),
    *('pair_sets=["coco","visual_genome","conceptual_captions","sbu"]', 'text_sets=["text"]'),
)


def write_data(root: Path, photos: list[Path]) -> None:
    """All data sets in a handful of images each; photos in the place of drawn ones, if there are."""
    tiny_tasks.write_root(root)
    corpora_folders.everything(root)
    drawn = [path for path in sorted(root.rglob("*")) if path.suffix in (".jpg", ".JPEG")]
    for path, photo in zip(drawn, cycle(photos), strict=False):
        shutil.copyfile(photo, path)


def write_towers(folder: Path) -> None:
    """ViT-B/16 and RoBERTa-base with random weights, and a tokenizer of RoBERTa's size."""
    config = Unimo2Config.base()
    tokenizer = train_tokenizer(["a photo of one square that is red, what color is it?"], 300)
    tokenizer.add_tokens(
        [f"unused{number}" for number in range(config.vocab_size - len(tokenizer))]
    )
    processor = Unimo2Processor(tokenizer, config.image_size)
    MaskedRoberta(config, seed=0).write(folder / "text", processor, "float32")
    ContrastedVit(config, 0.1, seed=0).write(folder / "vision", processor, "float32")


def run(*arguments: str) -> float:
    """One command in a process of its own, which must succeed: its peak memory in GB."""
    command = [sys.executable, "-m", "unimo2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = os.posix_spawn(sys.executable, command, environment)
    _, status, used = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    peak = used.ru_maxrss * 1024 / 1e9
    print(
        f"{peak:6.2f} GB  {used.ru_utime:6.0f} s of CPU  unimo2 {' '.join(arguments[:4])}",
        flush=True,
    )
    return peak


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_paper_at_its_own_size(tmp_path):
    """Truth: the commands' exit statuses, the parameters that train.json counts, measured peaks."""
    shared = Path(__file__).resolve().parents[3] / "shared" / "real" / "coco" / "val2014"
    root, towers, runs = tmp_path / "data", tmp_path / "towers", tmp_path / "runs"
    write_data(root, sorted(shared.glob("*.jpg")))
    write_towers(towers)
    started = [f"vision_tower=local-dir:{towers}/vision", f"text_tower={towers}/text"]
    sets = [word for one in (*SMALL, *PRETRAINING, *started) for word in ("--set", one)]
    where = ["--data-root", str(root), "--output", str(runs / "base")]
    peaks = {"pretrain": run("pretrain", "--config", "base", *where, *sets)}
    report = json.loads((runs / "base" / "train.json").read_text())
    assert report["parameters"] == pytest.approx(PARAMETERS, abs=0.1e6)
    assert set(report["samples"]) == {"pairs", "prompts", "images", "texts"}
    shutil.rmtree(runs / "base" / "checkpoint")
    model = str(runs / "base" / "model")
    peaks["eval imagenet --zero-shot"] = evaluate("imagenet", model, root, tmp_path, "--zero-shot")
    for task, changes in OF_TASK.items():
        output = runs / task
        sets = [word for one in (*SMALL, *changes) for word in ("--set", one)]
        peaks[f"finetune {task}"] = run(
            *("finetune", task, "--config", task, "--model", model, "--data-root", str(root)),
            *("--output", str(output), "--steps", "1", *sets),
        )
        peaks[f"eval {task}"] = evaluate(task, str(output / "model"), root, tmp_path)
        shutil.rmtree(output)
    print(json.dumps(peaks, indent=2))
    assert max(peaks.values()) < LARGEST_PEAK


def evaluate(task: str, model: str, root: Path, folder: Path, *more: str) -> float:
    """A benchmark on a few items, which leaves a record: peak memory in GB."""
    output = folder / "records" / task
    split = {"vqa": "val", "snli-ve": "dev"}.get(task)
    chosen = ["--split", split] if split else []
    peak = run(
        *("eval", task, "--model", model, "--data-root", str(root), "--output", str(output)),
        *("--limit", "2", "--batch-size", "2", *chosen, *more),
    )
    assert list(output.rglob("record.json"))
    return peak
