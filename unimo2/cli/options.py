"""Options that several verbs have, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from unimo2.cli.console import VARIABLE
from unimo2.cli.guard import OneOf
from unimo2.files import PathUse


def offering(words: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option: of some words, those that begin as what was typed.

    Args:
        words: The words, or a function that finds them once they are asked for.
    """

    def offered(incomplete: str) -> list[str]:
        every = words() if callable(words) else words
        return sorted(word for word in every if word.startswith(incomplete))

    return offered


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
DEVICES = ("auto", "cpu", "cuda", "cuda:[0-9]", "cuda:[0-9][0-9]", "mps")
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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="float32, bfloat16 ..."),
    OneOf("float32", "bfloat16", "float16"),
]
