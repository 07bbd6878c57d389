"""Operations and memory computed from sizes are what torch counts and a process takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from builders import tiny_processes
from unimo2.bench import scale
from unimo2.bench.timing import operations
from unimo2.bench.training import _Step, random_batches
from unimo2.data.seeding import Shard
from unimo2.modeling.configuration import Unimo2Config
from unimo2.training.config import PretrainConfig

MODEL = {
    **{"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "image_size": 48},
    **{"vision_layers": 2, "text_layers": 2, "fusion_layers": 3, "dictionary_size": 32},
    **{"grounded_tokens": 8, "vocab_size": 300},
}
TRAINING = PretrainConfig(
    batch_size=6, image_batch=4, text_batch=4, text_length=40, mask_fraction=0.3
)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_operations_of_pretraining_are_those_that_torch_counts(share):
    """Truth: torch's counter over a whole step of each kind of batch, backward pass included."""
    model = Unimo2Config.mini(**MODEL)
    config = replace(TRAINING, mlm_share=share)
    step = _Step(config, model, torch.float32, torch.device("cpu"))
    loads = scale.pretraining_loads(config)
    for kind, batch in random_batches(config, model, torch.device("cpu")).items():
        samples, load = loads[kind]
        found = samples * scale.step_operations(load, model)
        # The dictionary's products and the losses' are left out: more here than at base size.
        assert found == pytest.approx(operations(partial(step.gradients, batch)), rel=0.08), kind


@pytest.mark.parametrize("task", list(tiny_processes.TASKS))
def test_operations_of_finetuning_are_those_that_torch_counts(task, tmp_path):
    """Truth: torch's counter over a step of the task's own objective."""
    tiny_processes.write(tmp_path)
    made = tiny_processes.finetuning(task, tmp_path)
    batch = made.batch(0, Shard())
    ids = getattr(batch, "input_ids", None)
    tokens = 1 if ids is None else ids.shape[-1]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        made.objective(batch)["loss"].backward()
    samples = sum(batch.counts.values())
    load = scale.finetuning_load(task, tiny_processes.recipe(task).training, tokens)
    found = samples * scale.step_operations(load, made.model.config)
    assert found == pytest.approx(float(counter.get_total_flops()), rel=0.15)


_PEAK = """
import json, sys
from dataclasses import replace
import torch
from unimo2.bench.training import _Step, random_batches
from unimo2.modeling.configuration import Unimo2Config
from unimo2.training.config import PretrainConfig

def status(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) * 1024

torch.set_num_threads(1)
changes, training = json.loads(sys.argv[1])
model, cpu = Unimo2Config.mini(**changes), torch.device("cpu")
config = PretrainConfig(**training)
small = replace(config, batch_size=2, image_batch=0, text_batch=0)
warm = _Step(small, Unimo2Config.mini(**{**changes, "hidden_size": 24}), torch.float32, cpu)
warm(random_batches(small, model, cpu)["pairs"])
del warm
before = status("VmRSS")
step = _Step(config, model, torch.float32, cpu)
batch = random_batches(config, model, cpu)["pairs"]
for _ in range(2):
    step(batch)
parameters = sum(p.numel() for p in step.objective.parameters())
print(json.dumps([status("VmHWM") - before, parameters]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read in /proc")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_memory_is_what_a_process_takes(checkpointing):
    """Truth: the peak of a process that takes two steps on a CPU, measured by the system."""
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    model = {**MODEL, **sizes, "image_size": 96, "patch_size": 16, "hidden_dropout": 0.1}
    training = {"batch_size": 24, "image_batch": 0, "text_batch": 0, "length_window": 1}
    training["gradient_checkpointing"] = checkpointing
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PEAK, json.dumps([model, training])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    measured, parameters = json.loads(done.stdout)
    config = PretrainConfig(**training, precision="fp32")
    load = scale.pretraining_loads(config)["pairs"][1].times(config.batch_size)
    found = scale.memory([load], Unimo2Config.mini(**model), parameters, config, device="cpu")
    assert found.total == pytest.approx(measured, rel=0.25)


def test_the_table_of_the_document_is_what_the_command_computes():
    """Truth: the table recomputed from the recipes; hours are operations by peak, share and cards."""
    rows = scale.table([1, 8, 64], 312.0, 0.4)
    text = (Path(__file__).resolve().parents[3] / "docs" / "scale.md").read_text(encoding="utf-8")
    for line in scale.markdown(rows):
        assert line in text
    assert scale.parameters(Unimo2Config.base()) == pytest.approx(298.3e6, abs=0.1e6)
    pairs = rows[0]
    assert pairs.samples == 80_000 * 1024
    seconds = pairs.samples * pairs.gigaflop * 1e9 / (8 * 312e12 * 0.4)
    assert pairs.hours[8] == pytest.approx(seconds / 3600)
    flickr = next(row for row in rows if row.name == "flickr")
    assert flickr.hours[64] is None  # its batch has 32 pairs


def test_a_run_says_what_memory_it_will_take():
    """Truth: 16 bytes a parameter; two processes hold half of what a step keeps."""
    config = PretrainConfig(batch_size=8, image_batch=0, text_batch=0, precision="fp32")
    model = Unimo2Config.mini(**MODEL)
    one, two = (scale.of_pretraining(config, model, number, "cpu") for number in (1, 2))
    assert one.parameters == two.parameters == 16 * scale.parameters(model)
    assert two.kept == pytest.approx(one.kept / 2)
    assert one.line().startswith("memory of a process: about 0.")
