"""Options that several verbs have, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimo2.cli.console import VARIABLE
from unimo2.cli.guard import OneOf
from unimo2.files import Place

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help=f"Folder of data sets in their official layouts; {VARIABLE} or the mini suite if left "
        "out.",
    ),
    Place.READS_FOLDER,
]
SuiteName = Annotated[
    str | None,
    typer.Option("--suite", help="mini or paper; by default what the data root holds."),
    OneOf("mini", "paper"),
]
DEVICES = ("auto", "cpu", "cuda", "cuda:[0-9]", "cuda:[0-9][0-9]", "mps")
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ..."), OneOf(*DEVICES)
]
TrainingDevice = Annotated[
    str, typer.Option("--device", help="auto, cpu or cuda."), OneOf("auto", "cpu", "cuda")
]
Resume = Annotated[
    str,
    typer.Option(
        "--resume",
        help="auto: go on where a run in the output folder stopped; changed: the same, with other "
        "training values from there on; never: start over.",
    ),
    OneOf("auto", "changed", "never"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="float32, bfloat16 ..."),
    OneOf("float32", "bfloat16", "float16"),
]
