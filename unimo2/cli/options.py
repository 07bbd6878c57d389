"""Options that several verbs have, written once, and the data root that they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from unimo2.cli.guard import OneOf
from unimo2.devices import DEVICES, DTYPES
from unimo2.files import PathUse

VARIABLE = "UNIMO2_DATA"


def offering(words: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option: of some words, those that begin as what was typed.

    Args:
        words: The words, or a function that finds them once they are asked for.
    """

    def offered(incomplete: str) -> list[str]:
        every = words() if callable(words) else words
        return sorted(word for word in every if word.startswith(incomplete))

    return offered


def add_commands(
    verb: typer.Typer, name: str, commands: Iterable[tuple[Callable[..., None], str, str]]
) -> None:
    """Add commands below a verb, each with an example at the end of its help.

    Args:
        verb: Typer application of the verb.
        name: The verb, as typed.
        commands: Function, name, and the words of its example after both.
    """
    for function, command, example in commands:
        words = f"Example: unimo2 {name} {command} {example}".rstrip()
        verb.command(command, epilog=words)(function)


def find_data_root(given: Path | None, suite: str | None) -> Path | None:
    """The data root that a command line means.

    Args:
        given: --data-root, or None.
        suite: --suite, or None.

    Returns:
        What was given; without that the environment's, which is real data and so does not stand
        for the suite "mini"; None for the embedded suite's own place.
    """
    variable = os.environ.get(VARIABLE)
    if given is None and variable and suite != "mini":
        return Path(variable)
    return given


def recipes(kind: str = "") -> Iterable[str]:
    """Names of the recipes that come with the package; `kind` is a folder of them."""
    from unimo2.training.recipes import CONFIG_FOLDER

    return (path.stem for path in (CONFIG_FOLDER / kind).glob("*.toml"))


DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help=f"Folder of data sets in their official layouts; {VARIABLE} or the mini suite if left "
        "out.",
    ),
    PathUse.READS_FOLDER,
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="mini or paper; by default what the data root holds.",
        autocompletion=offering(("mini", "paper")),
    ),
    OneOf("mini", "paper"),
]
_TRAINS_ON = ("auto", "cpu", "cuda")
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:1 ...", autocompletion=offering(_TRAINS_ON)
    ),
    OneOf(*DEVICES),
]
TrainingDevice = Annotated[
    str,
    typer.Option("--device", help="auto, cpu or cuda.", autocompletion=offering(_TRAINS_ON)),
    OneOf(*_TRAINS_ON),
]
Resume = Annotated[
    str,
    typer.Option(
        "--resume",
        help="auto: resume the run in the output folder; changed: the same, with other "
        "training values from there on; never: start over.",
        autocompletion=offering(("auto", "changed", "never")),
    ),
    OneOf("auto", "changed", "never"),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Dtypes = Annotated[
    list[str] | None, typer.Option("--dtype", help="float32, bfloat16 ..."), OneOf(*DTYPES)
]
