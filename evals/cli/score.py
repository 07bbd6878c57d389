"""`unimo2 score`: the official metrics of existing prediction files, without a model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evals.cli.declared import AS_JSON, REQUIRED, command, parameter, parameters_of
from evals.registry import benchmarks, get_benchmark
from unimo2.console import note, print_json

if TYPE_CHECKING:
    from evals.benchmark import Benchmark, Scored

# What every benchmark's `score` may have besides its files.
_COMMON = {
    "allow_missing": parameter(
        "allow_missing",
        bool,
        False,
        {"help": "Score the predictions present and report how many are missing."},
    ),
    "seed": parameter(
        "seed", int, 0, {"help": "Seed for the bootstrap intervals.", "range": (0, None)}
    ),
}


def register(app: typer.Typer) -> None:
    """Add the verb to the application, a command for each benchmark that takes predictions."""
    verb = typer.Typer(
        help="Score existing prediction files with the official metrics. "
        "docs/prediction-formats.md shows every format."
    )
    for name in benchmarks():
        benchmark = get_benchmark(name)
        if benchmark.score is None:
            continue
        parameters = [_COMMON.get(one.name, one) for one in parameters_of(benchmark.score)]
        one = command(partial(_score, benchmark), [*parameters, AS_JSON])
        example = f"Example: unimo2 score {name} {_example(parameters)}"
        verb.command(name, help=_about(benchmark), epilog=example)(one)
    app.add_typer(verb, name="score")


def _example(parameters: Sequence[inspect.Parameter]) -> str:
    """The arguments of a command line that scores: files named as their parameters are."""
    first, *others = (one.name for one in parameters if one.default is REQUIRED)
    return " ".join([first, *(f"--{name} {name}" for name in others)])


def _about(benchmark: Benchmark) -> str:
    """Help of the command; describes its own kind of files, where `score` names the benchmark."""
    texts = (inspect.getdoc(benchmark.score) or "", inspect.getdoc(type(benchmark)) or "")
    own, general = (text.partition("\n\n")[0] for text in texts)
    return own if own.startswith(benchmark.title) else general


def _score(benchmark: Benchmark, as_json: bool, **given: Any) -> None:
    """Score prediction files and print the metrics, as JSON or as a table with its notes."""
    from evals.cli.show import show_scored
    from unimo2.console import showing, stage

    assert benchmark.score is not None
    predictions: Path = next(iter(given.values()))
    with showing(quiet=as_json), stage(f"scoring {predictions.name}"):
        scored = benchmark.score(**given)
    if as_json:
        print_json(as_content(scored))
        return
    split = f", {given['split']} split" if "split" in given else ""
    show_scored(f"{benchmark.title}{split}: {predictions.name}", scored.metrics)
    for remark in scored.notes:
        note(remark)


def as_content(scored: Scored) -> dict[str, Any]:
    """What `--json` prints.

    Args:
        scored: The result.

    Returns:
        The metrics in the layout of `eval --json`, the number of items without prediction, and what
        a reader must know.
    """
    metrics = {name: asdict(metric) for name, metric in scored.metrics.items()}
    return {"metrics": metrics, "missing": scored.missing, "notes": list(scored.notes)}
