"""Commands made of what benchmarks declare: fields of a dataclass, parameters of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from unimo2.cli.guard import OneOf, hints_of
from unimo2.cli.options import offering
from unimo2.files import PathUse

KEYWORD = inspect.Parameter.KEYWORD_ONLY
REQUIRED = inspect.Parameter.empty


def parameter(
    name: str, kind: Any, default: Any, declared: Mapping[str, Any], typed_as: str | None = None
) -> inspect.Parameter:
    """An option of a command.

    Args:
        name: Of the parameter, "batch_size".
        kind: Its type.
        default: Its value if left out; `REQUIRED` for none.
        declared: "help", and where there are "metavar", "range" and "of" (`evals.benchmark.option`),
            and "offers", which completes what was typed.
        typed_as: What the user types; None for "--batch-size".

    Returns:
        The parameter of a function that Typer takes for a command.
    """
    low, high = declared.get("range") or (None, None)
    option = typer.Option(
        typed_as or f"--{name.replace('_', '-')}",
        help=declared["help"],
        metavar=declared.get("metavar"),
        min=low,
        max=high,
        autocompletion=declared.get("offers") or _offered(declared.get("of")),
    )
    annotation = getitem(Annotated, (kind, option, *_marks(declared.get("of"))))
    return inspect.Parameter(name, KEYWORD, default=default, annotation=annotation)


def _offered(of: Sequence[str] | PathUse | None) -> Callable[[str], list[str]] | None:
    """Shell completions for an option with fixed words."""
    return None if of is None or isinstance(of, PathUse) else offering(of)


def _marks(of: Sequence[str] | PathUse | None) -> tuple[PathUse | OneOf, ...]:
    """Use of a path, or the words that an option takes."""
    if of is None:
        return ()
    return (of,) if isinstance(of, PathUse) else (OneOf(*of),)


AS_JSON = parameter("as_json", bool, False, {"help": "Print JSON and nothing else."}, "--json")


def options_of(kind: type) -> dict[str, inspect.Parameter]:
    """The options of a dataclass: its fields with a help text, by name."""
    hints = get_type_hints(kind)
    return {
        one.name: parameter(
            one.name,
            hints[one.name],
            REQUIRED if one.default is MISSING else one.default,
            one.metadata,
        )
        for one in fields(kind)
        if "help" in one.metadata
    }


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function whose annotations hold a help text; the first one is an argument."""
    hints = hints_of(function)
    found = []
    for place, one in enumerate(inspect.signature(function).parameters.values()):
        kind: Any = hints[one.name]
        text = ""
        if hasattr(kind, "__metadata__"):
            kind, text = kind.__origin__, kind.__metadata__[0]
        of = PathUse.READS if Path in (kind, *get_args(kind)) else None
        if place:
            found.append(parameter(one.name, kind, one.default, {"help": text, "of": of}))
        else:
            found.append(_argument(one.name, kind, text, of))
    return found


def _argument(name: str, kind: Any, text: str, of: PathUse | None) -> inspect.Parameter:
    annotation = getitem(Annotated, (kind, typer.Argument(help=text), *_marks(of)))
    return inspect.Parameter(name, KEYWORD, annotation=annotation)


def command(
    call: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """A function that Typer takes for a command.

    Args:
        call: Called with the values by name.
        parameters: From `parameter`, `options_of` and `parameters_of`.
    """

    def called(**given: Any) -> None:
        call(**given)

    setattr(called, "__signature__", inspect.Signature(list(parameters)))  # noqa: B010
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
