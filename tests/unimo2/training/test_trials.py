"""Bookkeeping of a search and of seeds, with runs that are no runs."""

import json
import statistics
from pathlib import Path

import pytest

from unimo2.errors import BadData, UsageError
from unimo2.training.finetuning.search import Trial, TrialResult, plan, run_trials

GRID = {"learning_rate": (1e-5, 2e-5), "batch_size": (16, 32)}
VALUES = {1e-5: 70.0, 2e-5: 80.0}


class Runner:
    """Gives a value by learning rate, batch size and seed; may be interrupted."""

    def __init__(self, stop_at: int | None = None) -> None:
        """Stop before the run of that number."""
        self.seen: list[Trial] = []
        self.stop_at = stop_at

    def __call__(self, trial: Trial, folder: Path) -> TrialResult:
        """What the trial came to."""
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(trial)
        setting = trial.setting
        base = VALUES[setting["learning_rate"]] - setting["batch_size"] / 16 if setting else 50.0
        return TrialResult("accuracy", base + trial.seed, 10, 1.0)


def test_a_grid_is_every_combination_with_every_seed():
    """Independent truth: the combinations written out."""
    trials = plan({"a": (1, 2), "b": ("x", "y")}, seeds=2, first_seed=5)
    assert [(t.setting["a"], t.setting["b"], t.seed) for t in trials] == [
        (a, b, seed) for a in (1, 2) for b in ("x", "y") for seed in (5, 6)
    ]
    assert trials[0].name == "a=1,b=x,seed=5"
    assert [t.seed for t in plan({}, 3, 0)] == [0, 1, 2]
    with pytest.raises(UsageError, match="seeds 0"):
        plan({}, 0, 0)
    with pytest.raises(UsageError, match="search.a has no values"):
        plan({"a": ()}, 1, 0)


def test_best_run_mean_and_deviation_are_reported(tmp_path):
    """Independent truth: the statistics module over the values that the runner gave."""
    comparison = run_trials(plan(GRID, 3, 0), tmp_path, {"task": "sst2"}, Runner())
    assert comparison.best.name == "learning_rate=2e-05,batch_size=16,seed=2"
    assert comparison.outcome.value == 81.0
    assert comparison.chosen.setting == {"learning_rate": 2e-5, "batch_size": 16}
    assert comparison.chosen.mean == statistics.fmean([79.0, 80.0, 81.0])
    assert comparison.chosen.deviation == statistics.stdev([79.0, 80.0, 81.0])
    table = json.loads((tmp_path / "trials.json").read_text())
    assert table["best"] == comparison.best.name
    assert len(table["runs"]) == 12 and len(table["settings"]) == 4


def test_finished_runs_are_not_repeated(tmp_path):
    """Independent truth: which trials the runner was asked for, before and after an interruption."""
    trials = plan(GRID, 2, 0)
    first = Runner(stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, tmp_path, {"task": "sst2"}, first)
    second = Runner()
    comparison = run_trials(trials, tmp_path, {"task": "sst2"}, second)
    assert [t.name for t in first.seen + second.seen] == [t.name for t in trials]
    assert len(comparison.runs) == 8
    third = Runner()
    more = run_trials(plan(GRID, 3, 0), tmp_path, {"task": "sst2"}, third)  # one more seed
    assert [t.seed for t in third.seen] == [2] * 4 and len(more.runs) == 12
    fewer = run_trials(plan(GRID, 1, 0), tmp_path, {"task": "sst2"}, Runner(stop_at=0))
    assert len(fewer.runs) == 4
    assert len(json.loads((tmp_path / "trials.json").read_text())["runs"]) == 12


def test_runs_of_something_else_are_not_mixed_in(tmp_path):
    """Independent truth: another identity in the same folder; a damaged table."""
    run_trials(plan({}, 1, 0), tmp_path, {"task": "sst2"}, Runner())
    with pytest.raises(UsageError, match="another task, recipe, model or data"):
        run_trials(plan({}, 1, 0), tmp_path, {"task": "cola"}, Runner())
    (tmp_path / "trials.json").write_text("{}")
    with pytest.raises(BadData, match="table of runs"):
        run_trials(plan({}, 1, 0), tmp_path, {"task": "sst2"}, Runner())
