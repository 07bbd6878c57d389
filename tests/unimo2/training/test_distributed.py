"""Several processes compute what one does with the whole batch."""

from __future__ import annotations

import json
import socket

import pytest
import torch

from builders import forked, tiny_mixed, tiny_processes
from unimo2.data.seeding import Shard
from unimo2.training.trainer import train

_PATIENCE = 280  # seconds; a few suffice on a machine that does nothing else


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What two processes on this machine left (gloo)."""
    folder = tmp_path_factory.mktemp("two")
    tiny_processes.write(folder)
    common = {
        **{"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())},
        "ACCELERATE_USE_CPU": "true",
    }
    processes = [
        forked.start(
            tiny_mixed.run_as_one_of_several,
            folder,
            out=folder / f"{rank}.txt",
            environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            process.join(_PATIENCE)
    finally:
        for process in processes:
            process.kill()
    said = (folder / "0.txt").read_text()[-2000:]
    assert [process.exitcode for process in processes] == [0, 0], said
    return folder


@pytest.mark.parametrize("name", list(tiny_mixed.VARIANTS))
def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(output, name):
    """Truth: one process with the batch of both: pairs, pseudo pairs, images and texts."""
    torch.set_num_threads(1)
    found = torch.load(output / f"{name}.pt")
    expected = tiny_mixed.gradients(tiny_mixed.task(**tiny_mixed.VARIANTS[name]), Shard())
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, atol=1e-5, rtol=1e-4), key
    assert sum(float(value.abs().sum()) > 0 for value in expected.values()) > 0.95 * len(expected)


@pytest.mark.parametrize("name", list(tiny_processes.TASKS))
def test_two_processes_fine_tune_with_the_gradient_of_one(output, name):
    """Truth: one process with the batch of both: contrast over both, captions of unlike length."""
    torch.set_num_threads(1)
    found = torch.load(output / f"{name}.pt")
    this = tiny_processes.finetuning(name, output)
    expected = tiny_mixed.gradients(this, Shard(), step=tiny_processes.STEP)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, atol=1e-5, rtol=1e-4), key


def test_two_processes_log_what_one_would(output, tmp_path):
    """Truth: the log of one process: losses, temperatures, dictionary, samples."""
    torch.set_num_threads(1)
    train(tiny_mixed.task(), tiny_mixed.WHOLE, tmp_path, device="cpu")
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").open()]
        for folder in (output / "run", tmp_path)
    ]
    for found, expected in zip(*logs, strict=True):
        assert set(found) == set(expected)
        for name, value in expected.items():
            if name in ("seconds", "samples_per_second", "warning"):
                continue
            assert found[name] == pytest.approx(value, rel=2e-2, abs=2e-3), name
    document = json.loads((output / "run" / "train.json").read_text())
    assert document["processes"] == 2 and document["samples"]["pairs"] == 3 * 8 + 3 * 4


def test_under_autocast_rows_travel_in_its_type(output):
    """Truth: the rows of both processes; without autocast bit by bit, with it rounded once."""
    found = torch.load(output / "gathered.pt")
    rows = torch.cat([torch.arange(6.0).view(2, 3) / 7 + rank for rank in range(2)])
    assert found["fp32"].dtype == torch.float32 and torch.equal(found["fp32"], rows)
    assert found["bf16"].dtype == torch.bfloat16 and torch.equal(found["bf16"], rows.bfloat16())
    for name, tolerance in (("fp32", 1e-6), ("bf16", 0.02)):  # both processes have a loss
        gradient = found[f"{name} gradient"]
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, 4 * rows[:2], rtol=tolerance, atol=tolerance)
    alone = tiny_mixed.narrow_gather(0)
    assert alone["bf16"].dtype == torch.float32  # nothing is sent
