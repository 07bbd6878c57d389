"""`unimo2 eval --config`: a run from a file of options, or from the record of another run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unimo2.errors import UsageError

_PROGRAM = ["unimo2", "eval"]


def command_of(path: Path) -> list[str]:
    """The words after `unimo2` of the run that a file describes.

    Args:
        path: TOML with `benchmark` and the options of `unimo2 eval BENCHMARK --help`, in their own
            spelling or with underscores; or a record, or the folder of one, whose command is taken.

    Returns:
        "eval", the benchmark and its options. They are checked as if they had been typed.

    Raises:
        UsageError: No such thing in the file, or a record that another command made.
    """
    if path.suffix == ".toml":
        return ["eval", *_typed(path)]
    from evals import records

    words = shlex.split(records.read(path).command)
    if words[:2] != _PROGRAM or len(words) < 3:
        raise UsageError(f"{path} was not made by 'unimo2 eval' but by: {shlex.join(words)}")
    return words[1:]


def _typed(path: Path) -> Iterator[str]:
    from unimo2.training.recipes import read_toml

    given = read_toml(path)
    benchmark = given.pop("benchmark", None)
    if not isinstance(benchmark, str) or not benchmark or benchmark.startswith("-"):
        raise UsageError(f'{path}: expected benchmark = "flickr", or another; got {benchmark!r}')
    yield benchmark
    yield from _options(given, path)


def _options(given: Mapping[str, Any], path: Path) -> Iterator[str]:
    for key, value in given.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            yield from [name] if value else []
        elif isinstance(value, (str, int, float)):
            yield f"{name}={value}"
        else:
            raise UsageError(
                f"{path}: {key} is {value!r}; expected a text, a number, true or false"
            )
