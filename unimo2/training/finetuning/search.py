"""Several runs of one recipe: the grid of Table 8, and seeds. Finished runs are not repeated."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unimo2.errors import BadData, UsageError
from unimo2.training.checkpoints import write_json

_TABLE = "trials.json"

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """One run of several."""

    setting: Setting  # the fields of the grid with this run's values; empty without a search
    seed: int  # of the run

    @property
    def name(self) -> str:
        """Of its folder: "learning_rate=2e-05,batch_size=16,seed=0"."""
        return ",".join(
            f"{key}={value}" for key, value in (*self.setting.items(), ("seed", self.seed))
        )


@dataclass(frozen=True)
class TrialResult:
    """Result of a finished run."""

    metric: str  # which value of the development split
    value: float  # that of the best evaluation
    step: int  # after how many steps that was
    seconds: float  # training time


@dataclass(frozen=True)
class Average:
    """The runs of one setting."""

    setting: Setting  # the grid's values
    values: tuple[float, ...]  # of its seeds, in their order
    mean: float  # of them
    deviation: float  # standard deviation of a sample; 0 of a single value


@dataclass(frozen=True)
class SearchResult:
    """Result of several runs."""

    # trials and outcomes, in the order in which they were planned
    runs: tuple[tuple[Trial, TrialResult], ...]
    best: Trial  # the run with the highest value, of equal ones the first
    outcome: TrialResult  # of that run
    settings: tuple[Average, ...]  # one average a setting, in the order of the grid

    @property
    def chosen(self) -> Average:
        """The setting with the highest mean; of equal ones the first."""
        return max(self.settings, key=lambda average: average.mean)


def plan(grid: Mapping[str, Sequence[Any]], seeds: int, first_seed: int) -> list[Trial]:
    """All runs: every combination of the grid's values with every seed from `first_seed`.

    Raises:
        UsageError: No seed, or a field without values.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: expected at least one")
    bare = [name for name, values in grid.items() if not values]
    if bare:
        raise UsageError(f"search.{bare[0]} has no values")
    settings = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
    ]
    return [Trial(setting, first_seed + i) for setting in settings for i in range(seeds)]


def run_trials(
    trials: Sequence[Trial],
    folder: Path,
    identity: Mapping[str, Any],
    run: Callable[[Trial, Path], TrialResult],
) -> SearchResult:
    """Run what is not finished yet; the table of all runs (trials.json) is written after each.

    Args:
        trials: From `plan`.
        folder: Gets a folder for each run below trials/, and trials.json.
        identity: What finished runs must agree with to be kept: task, recipe, data, model.
        run: Trains a trial into a folder and says what it came to.

    Raises:
        UsageError: The folder holds runs of something else.
        BadData: Its trials.json cannot be read.
    """
    known = _finished(folder / _TABLE, identity)
    for trial in trials:
        if trial.name not in known:
            known[trial.name] = run(trial, folder / "trials" / trial.name)
            _write(folder / _TABLE, identity, trials, known)
    comparison = _compare(trials, known)
    _write(folder / _TABLE, identity, trials, known, comparison)
    return comparison


def _finished(path: Path, identity: Mapping[str, Any]) -> dict[str, TrialResult]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {row["name"]: TrialResult(**row["outcome"]) for row in content["runs"]}
        before = content["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path} cannot be read as a table of runs: {error!r}") from None
    if before != json.loads(json.dumps(identity)):
        raise UsageError(
            f"{path} holds runs of another task, recipe, model or data; use another --output, or "
            "--resume never to start over"
        )
    return found


def _write(
    path: Path,
    identity: Mapping[str, Any],
    trials: Sequence[Trial],
    known: Mapping[str, TrialResult],
    comparison: SearchResult | None = None,
) -> None:
    """Write the table; with the averages where all runs are there."""
    rows = [
        {**asdict(trial), "name": trial.name, "outcome": asdict(known[trial.name])}
        for trial in trials
        if trial.name in known
    ]
    names = {row["name"] for row in rows}
    # Of an earlier, larger plan: kept, so that it can be taken up again.
    rows += [
        {"name": name, "outcome": asdict(outcome)}
        for name, outcome in known.items()
        if name not in names
    ]
    document: dict[str, Any] = {"identity": identity, "runs": rows}
    if comparison is not None:
        document["best"] = comparison.best.name
        document["settings"] = [asdict(average) for average in comparison.settings]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)


def _compare(trials: Sequence[Trial], known: Mapping[str, TrialResult]) -> SearchResult:
    runs = tuple((trial, known[trial.name]) for trial in trials)
    best, outcome = max(runs, key=lambda pair: pair[1].value)
    settings: list[Average] = []
    for setting in dict.fromkeys(tuple(trial.setting.items()) for trial in trials):
        values = tuple(o.value for trial, o in runs if tuple(trial.setting.items()) == setting)
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        settings.append(Average(dict(setting), values, statistics.fmean(values), deviation))
    return SearchResult(runs, best, outcome, tuple(settings))
