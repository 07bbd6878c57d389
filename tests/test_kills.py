"""Killed at random moments, every command ends with the same numbers, and nothing is half written."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals import records

ROOT = Path(__file__).resolve().parents[1]
MOMENTS = int(os.environ.get("UNIMO2_TEST_KILLS", "20"))
DRAW = ["data", "make-mini", "--scale", "0.02", "--flickr-test", "4", "--root"]


def run(words, folder, kill_after=None, how=signal.SIGKILL):
    """Run a command in a folder; its status, or None where it was killed after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "unimo2", *words], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"),
             "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, how)
        out, err = process.communicate()
        if how == signal.SIGTERM and process.returncode >= 0:
            assert process.returncode in (0, 143), err
        return None, out
    assert process.returncode == 0, err
    return process.returncode, out


def sound(folder):
    """Every file whose name is not one of work in progress can be read whole."""
    for path in folder.rglob("*.json"):
        if ".partial" not in str(path) and not path.name.startswith("."):
            json.loads(path.read_text())
    for path in folder.rglob("record.json"):
        records.read(path)


def metrics_of(folder, out):
    """The metrics of all finished runs: those that a kill came too late for are the same again."""
    return {str(records.read(path).metrics) for path in folder.rglob("record.json")}


def content_of(folder, out):
    """The sha256 of every file of the suite."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "suite").rglob("*")) if path.is_file()
    }  # fmt: skip


def weights_of(folder, out):
    """The sha256 of trained weights."""
    found = sorted((folder / "out").rglob("model.safetensors"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in found]


ROOT_OF_DATA = ["--data-root", "../data"]
COMMANDS = {
    "eval": (["eval", "sst2", "--batch-size", "4", *ROOT_OF_DATA], metrics_of),
    "make-mini": ([*DRAW, "suite"], content_of),
    "finetune": (
        ["finetune", "sst2", "--output", "out", "--steps", "12", *ROOT_OF_DATA],
        weights_of,
    ),
    "ablate": (
        ["ablate", "--k", "10", "--budget", "4", "--output", "out", *ROOT_OF_DATA],
        metrics_of,
    ),
    "columns": (
        [
            "ablate",
            "--k",
            "10",
            "--budget",
            "4",
            "--columns",
            "flickr-zero-shot",
            "sst2",
            "--finetune-set",
            "steps=12",
            "--output",
            "out",
            *ROOT_OF_DATA,
        ],
        metrics_of,
    ),
    "score": (["score", "sst2", "p.tsv", "--annotations", "dev.tsv", "--json"], lambda _, out: out),
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_ends_with_the_same_numbers(tmp_path, name):
    """Truth: the same command that nobody killed; SIGKILL and SIGTERM in turn, at random moments."""
    words, result = COMMANDS[name]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        rows = "".join(f"sentence {n}\t{n % 2}\n" for n in range(2_000))
        (folder / "dev.tsv").write_text(f"sentence\tlabel\n{rows}")
        given = "".join(f"{n}\t{n // 2 % 2}\n" for n in range(2_000))
        (folder / "p.tsv").write_text(f"index\tprediction\n{given}")
    if "../data" in words:
        run([*DRAW, str(tmp_path / "data")], tmp_path)
    started = time.monotonic()
    _, out = run(words, whole)
    expected, seconds = result(whole, out), time.monotonic() - started
    assert expected
    dice = random.Random(name)
    for number in range(MOMENTS):
        how = signal.SIGKILL if number % 2 else signal.SIGTERM
        run(words, killed, kill_after=dice.uniform(0.1, seconds), how=how)
        sound(killed)
    _, out = run(words, killed)
    assert result(killed, out) == expected
    assert not list(killed.rglob("*.partial*"))
