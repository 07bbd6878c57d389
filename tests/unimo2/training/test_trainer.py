"""The loop by itself, on a task of a few numbers: evaluation, selection, accumulation, schedules."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from unimo2.data.seeding import Shard
from unimo2.errors import BadCheckpoint, TrainingFailed, UsageError
from unimo2.training.checkpoints import Best, save_model
from unimo2.training.config import LoopConfig
from unimo2.training.optimization import learning_rate_at
from unimo2.training.trainer import _Run, train

CONFIG = LoopConfig(
    steps=8,
    learning_rate=0.05,
    warmup_ratio=0.0,
    precision="fp32",
    eval_every=2,
    log_every=1,
    checkpoint_every=3,
    weight_decay=0.0,
)


class Line(PreTrainedModel):
    """One linear map."""

    config_class = PretrainedConfig

    def __init__(self, config: PretrainedConfig) -> None:
        """Three inputs, one output."""
        super().__init__(config)
        self.linear = nn.Linear(3, 1)
        self.post_init()


class Squares(nn.Module):
    """Squared error of the line."""

    def __init__(self, model: Line) -> None:
        """Wrap the line."""
        super().__init__()
        self.model = model

    def forward(self, batch):
        """The error of predicting the sum of the inputs."""
        error = self.model.linear(batch.inputs)[:, 0] - batch.inputs.sum(dim=1)
        return {"loss": error.square().mean()}


@dataclass
class Batch:
    """Rows of three numbers."""

    inputs: torch.Tensor

    @property
    def counts(self):
        """Rows."""
        return {"rows": len(self.inputs)}

    def to(self, device):
        """The CPU is where they stay."""
        return self


class Task:
    """Rows drawn by (step), divided by share."""

    def __init__(self) -> None:
        """The same line every time."""
        torch.manual_seed(3)
        self.model = Line(PretrainedConfig(hidden_size=3))
        self.objective = Squares(self.model)

    def batch(self, step, share):
        """Eight rows a step."""
        rows = torch.rand(8, 3, generator=torch.Generator().manual_seed(step))
        return Batch(rows[share.rows(8)])

    def identity(self):
        """What the data is."""
        return {"data": {"rows": 8}}

    def notes(self):
        """Nothing."""
        return {}

    def save(self, folder: Path, dtype: str) -> None:
        """Write the line."""
        save_model(self.model, None, folder, dtype)


def run(output, config=CONFIG, scores=None, **more):
    """Train; `scores` gives the evaluation's value after each number of steps."""
    evaluate = None if scores is None else lambda model, step: {"accuracy": scores[step]}
    task = Task()
    return task, train(task, config, output, device="cpu", evaluate=evaluate, **more)


def weights_in(folder: Path) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")["linear.weight"]


def weights_after(steps: int, tmp_path: Path) -> torch.Tensor:
    """The weights when a run is stopped after so many steps."""
    seen = []
    scores = {step: 0.0 for step in range(1, 9)}

    def evaluate(model, step):
        seen.append(model.linear.weight.detach().clone())
        return {"accuracy": scores[step]}

    train(Task(), replace(CONFIG, eval_every=1), tmp_path, device="cpu", evaluate=evaluate)
    return seen[steps - 1]


def test_the_best_evaluated_weights_are_saved_and_of_equal_ones_the_earliest(tmp_path):
    """Truth: the weights seen by an evaluation after 4 steps, of which 4 and 6 are equally good."""
    scores = {2: 0.1, 4: 0.7, 6: 0.7, 8: 0.5}
    _, summary = run(tmp_path / "run", scores=scores, select="accuracy")
    assert summary.best == Best(4, "accuracy", 0.7)
    assert torch.equal(weights_in(tmp_path / "run"), weights_after(4, tmp_path / "other"))
    assert json.loads((tmp_path / "run" / "train.json").read_text())["best"]["step"] == 4


@pytest.mark.parametrize("stop", [4, 5, 7])
def test_a_resumed_run_keeps_the_best(tmp_path, stop):
    """Truth: a run that was never stopped, before and after the checkpoints of steps 3 and 6."""
    scores = {2: 0.1, 4: 0.7, 6: 0.2, 8: 0.5}

    def listen(progress):
        if progress.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", scores=scores, select="accuracy", on_progress=listen)
    _, summary = run(tmp_path / "run", scores=scores, select="accuracy")
    assert summary.resumed_from == stop // 3 * 3
    run(tmp_path / "whole", scores=scores, select="accuracy")
    assert summary.best == Best(4, "accuracy", 0.7) and summary.samples == {"rows": 64}
    assert torch.equal(weights_in(tmp_path / "run"), weights_in(tmp_path / "whole"))


def test_a_run_that_selects_evaluates_its_last_step_too(tmp_path):
    """Truth: the scores; the best is that of step 7, which is not a multiple of 2."""
    scores = {2: 0.1, 4: 0.3, 6: 0.2, 7: 0.9}
    _, summary = run(tmp_path, replace(CONFIG, steps=7), scores, select="accuracy")
    assert summary.best == Best(7, "accuracy", 0.9)


def test_without_a_selection_the_last_weights_are_saved(tmp_path):
    """Truth: the task's own weights after the run."""
    task, summary = run(tmp_path, scores={2: 9.0, 4: 8.0, 6: 7.0, 8: 6.0})
    assert summary.best is None
    assert torch.equal(weights_in(tmp_path), task.model.linear.weight)


def test_a_selection_that_cannot_be_made_is_refused(tmp_path):
    """Truth: there is no evaluation, or none of that name."""
    with pytest.raises(UsageError, match="needs an evaluation"):
        run(tmp_path / "a", select="accuracy")
    with pytest.raises(UsageError, match="no 'recall'; it gives accuracy"):
        run(tmp_path / "b", scores={2: 1.0}, select="recall")


def test_a_run_that_selects_otherwise_is_another_run(tmp_path):
    """Truth: the difference is named."""
    scores = {step: 1.0 for step in (2, 4, 6, 8)}
    run(tmp_path, scores=scores)
    with pytest.raises(BadCheckpoint, match="select was None and is 'accuracy'"):
        run(tmp_path, scores=scores, select="accuracy")


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path):
    """Truth: the same batches in one part."""
    whole, one = run(tmp_path / "a")
    parts, two = run(tmp_path / "b", replace(CONFIG, accumulate=4))
    assert torch.allclose(whole.model.linear.weight, parts.model.linear.weight, atol=1e-6)
    assert one.samples == two.samples == {"rows": 64}
    with pytest.raises(UsageError, match="batch_size 8 is not a multiple of 3"):
        run(tmp_path / "c", replace(CONFIG, accumulate=3))


def test_the_gradient_norm_of_parts_is_that_of_the_whole_batch(tmp_path):
    """Truth: the same batches in one part; clipping at 1 would hide a factor."""
    free = replace(CONFIG, clip_norm=1e9)
    run(tmp_path / "whole", free)
    run(tmp_path / "parts", replace(free, accumulate=4))
    whole, parts = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").open()]
        for name in ("whole", "parts")
    )
    norms = [line["gradient_norm"] for line in whole]
    assert [line["gradient_norm"] for line in parts] == pytest.approx(norms, rel=1e-4)


def test_shares_split_without_gap_or_overlap():
    """Truth: every row of 24 once, for 2 processes with 3 parts each."""
    parts = [part for rank in range(2) for part in Shard(rank, 2).split(3)]
    rows = [row for part in parts for row in range(24)[part.rows(24)]]
    assert rows == list(range(24))


def test_the_log_counts_samples(tmp_path):
    """Truth: eight rows a step, two steps a line."""
    run(tmp_path, replace(CONFIG, log_every=2))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["samples/rows"] for line in lines] == [16] * 4


def test_the_rate_drops_tenfold():
    """Truth: written out, with two steps of warm-up."""
    config = LoopConfig(
        steps=8, learning_rate=1.0, warmup_ratio=0.25, schedule="drops", drop_at=(4, 6)
    )
    rates = [learning_rate_at(step, config) for step in range(8)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate_at(7, replace(config, schedule="constant", drop_at=())) == 1.0


@pytest.mark.parametrize(
    "values",
    [{"drop_at": (4,)}, {"schedule": "drops"}, {"schedule": "drops", "drop_at": (4, 4)}],
)
def test_drops_that_cannot_be_meant_are_refused(values):
    """Truth: drops without their schedule, the schedule without drops, drops that do not rise."""
    with pytest.raises(UsageError, match="drop_at"):
        LoopConfig(**values)


def test_batches_that_are_prepared_ahead_are_the_same(tmp_path):
    """Truth: the weights of a run that prepares each batch when it is due, in parts too."""
    config = replace(CONFIG, accumulate=2)
    plain, _ = run(tmp_path / "a", config)
    ahead, _ = run(tmp_path / "b", replace(config, prefetch=3))
    assert torch.equal(plain.model.linear.weight, ahead.model.linear.weight)


def test_a_fault_in_a_batch_prepared_ahead_is_raised(tmp_path, monkeypatch):
    """Truth: the error of the third step, after two were taken."""
    honest, seen = Task.batch, []

    def broken(self, step, share):
        if step == 2:
            raise UsageError("the data ends here")
        return honest(self, step, share)

    monkeypatch.setattr(Task, "batch", broken)
    with pytest.raises(UsageError, match="ends here"):
        run(tmp_path, replace(CONFIG, prefetch=4), on_progress=lambda p: seen.append(p.step))
    assert seen == [1, 2]


def test_trackers_get_the_numbers_of_the_log(tmp_path):
    """Truth: log.jsonl, and TensorBoard's own reader of its files."""
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    config = replace(CONFIG, trackers=("tensorboard",))
    run(tmp_path, config, scores={2: 0.25, 4: 0.5, 6: 0.75, 8: 1.0})
    folder = next((tmp_path / "trackers").rglob("events.out.tfevents*")).parent
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(step, pytest.approx(loss)) for step, loss in losses]
    assert [event.value for event in events.Scalars("eval/accuracy")] == [0.25, 0.5, 0.75, 1.0]


def test_a_tracker_that_is_not_there_is_one_line(tmp_path):
    """Truth: there is no tracker of that name."""
    with pytest.raises(UsageError, match="tracker 'notebook' is unknown or not installed"):
        run(tmp_path, replace(CONFIG, trackers=("notebook",)))


def test_a_tracker_that_does_not_start_is_one_line(tmp_path, monkeypatch):
    """Truth: what Weights & Biases says without a key."""

    def refuse(*_, **__):
        raise RuntimeError("api_key not configured (no-tty).\nRun wandb login")

    monkeypatch.setattr(Accelerator, "init_trackers", refuse)
    with pytest.raises(UsageError, match=r"got tensorboard: api_key .* login; .*trackers=\[\]"):
        run(tmp_path, replace(CONFIG, trackers=("tensorboard",)))


def test_weights_and_biases_writes_into_the_run(tmp_path, monkeypatch):
    """Truth: the files of its offline mode, and an empty folder where the process was started."""
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run(tmp_path / "run", replace(CONFIG, steps=2, trackers=("wandb",)))
    (written,) = (tmp_path / "run" / "trackers").glob("wandb/offline-run-*/*.wandb")
    assert b"samples_per_second" in written.read_bytes()
    assert not list(Path.cwd().iterdir())


def test_changed_values_count_from_the_checkpoint_on(tmp_path):
    """Truth: the old run's steps, then Adam with the new values set by hand."""
    run(tmp_path / "run", replace(CONFIG, steps=6, schedule="constant"))
    longer = replace(CONFIG, steps=8, schedule="constant", learning_rate=0.01, weight_decay=0.5)
    with pytest.raises(BadCheckpoint, match="--resume changed to continue with these values"):
        run(tmp_path / "run", longer)
    _, summary = run(tmp_path / "run", longer, resume="changed")
    assert (summary.resumed_from, summary.steps) == (6, 8)

    task = Task()
    first = {"lr": 0.05, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.0}
    linear = task.model.linear
    groups = [{"params": [linear.weight]}, {"params": [linear.bias]}]
    optimizer = torch.optim.AdamW(groups, **first)
    for step in range(8):
        if step == 6:
            for group, decay in zip(optimizer.param_groups, (0.5, 0.0), strict=True):
                group["lr"], group["weight_decay"] = 0.01, decay
        optimizer.zero_grad()
        task.objective(task.batch(step, Shard()))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), CONFIG.clip_norm)
        optimizer.step()
    torch.testing.assert_close(weights_in(tmp_path / "run"), linear.weight.detach())

    document = json.loads((tmp_path / "run" / "train.json").read_text())
    assert "step 6: training.learning_rate was 0.05 and is 0.01" in document["changes"]
    assert len(document["changes"]) == 3
    assert run(tmp_path / "run", longer)[1].resumed_from == 8  # now the run's own values


def test_another_model_is_never_a_changed_value(tmp_path, monkeypatch):
    """Truth: data that differ are no matter of how a run goes on."""
    run(tmp_path)
    monkeypatch.setattr(Task, "identity", lambda self: {"data": {"rows": 9}})
    with pytest.raises(BadCheckpoint, match="data.rows was 8 and is 9; use another --output, or"):
        run(tmp_path, replace(CONFIG, learning_rate=0.01), resume="changed")


def test_another_version_of_the_library_is_the_same_run(tmp_path, monkeypatch):
    """Truth: all that differs is who wrote the configuration."""
    monkeypatch.setattr(Task, "identity", lambda self: {"model": {"transformers_version": "5.0"}})
    run(tmp_path)
    monkeypatch.setattr(Task, "identity", lambda self: {"model": {"transformers_version": "5.1"}})
    assert run(tmp_path)[1].resumed_from == 8


def test_a_start_before_the_first_checkpoint_keeps_its_number_format(tmp_path, monkeypatch):
    """Truth: the format that the first start found, though another one would be found now."""
    config = replace(CONFIG, precision="auto")
    found = iter(["bf16", "fp32", "fp32"])
    monkeypatch.setattr("unimo2.training.trainer.choose_precision", lambda *of: next(found))

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, config, on_progress=stop)
    assert not (tmp_path / "checkpoint" / "state.pt").exists()
    assert run(tmp_path, config)[1].precision == "bf16"
    assert run(tmp_path, config, resume="never")[1].precision == "fp32"


def test_a_full_disk_at_the_start_is_one_line(tmp_path, monkeypatch):
    """Truth: what the system says; there is no checkpoint yet."""

    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unimo2.training.trainer.LogFile", full)
    with pytest.raises(TrainingFailed, match="No space left on device.*no checkpoint yet"):
        run(tmp_path)


def test_a_launchers_accumulation_does_not_divide_gradients_again(tmp_path, monkeypatch):
    """Truth: the weights of a run without the launcher's option."""
    run(tmp_path / "plain")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    run(tmp_path / "launched")
    assert torch.equal(weights_in(tmp_path / "plain"), weights_in(tmp_path / "launched"))


@pytest.mark.parametrize(("mine", "first"), [(None, 400), (400, -1), (300, 400)])
def test_processes_that_find_different_checkpoints_stop(tmp_path, mine, first):
    """Truth: what this process finds and what the first one says; the mean of 1 and 0 is 0.5."""
    other = _Run.__new__(_Run)
    other.share, other.output = Shard(1, 2), tmp_path
    other._agreed = lambda value: first
    other.accelerator = SimpleNamespace(device="cpu", reduce=lambda value, how: (value + 1) / 2)
    with pytest.raises(UsageError, match="--output must be a folder that all machines share"):
        other._require_one_state(mine)
    other._agreed = lambda value: value
    other._require_one_state(mine)
