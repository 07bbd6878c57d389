"""Checks before a command begins: values that no command can use, and options without effect.

A command says what its options mean beside their types, in `Annotated`: a `PathUse` of what a path
names, `Needs` and `Excludes` for options that apply only with or without others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from unimo2.errors import UsageError
from unimo2.files import PathUse

LARGEST = 2**32 - 1  # of whole numbers: more is a slip, and overflows what random generators take


@dataclass(frozen=True, init=False)
class Needs:
    """The option applies only where one of some others is given."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, init=False)
class Excludes:
    """The option does not apply where one of some others is given."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, init=False)
class OneOf:
    """The words that the option takes; with the wildcards of file names."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def check(self, word: str, option: str) -> None:
        """Refuse another word."""
        if not any(fnmatchcase(word, one) for one in self.words):
            known = ", ".join(one.replace("[0-9]", "N") for one in self.words)
            raise UsageError(f"option {option} got '{word}', expected one of: {known}")


def marks(command: Any) -> dict[str, tuple[Any, ...]]:
    """Paths and conditions of a command's options, by parameter name."""
    function = getattr(command.callback, "__wrapped__", command.callback)
    hints = hints_of(function) if function is not None else {}
    kinds = (PathUse, OneOf, Needs, Excludes)
    return {
        name: tuple(mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, kinds))
        for name, hint in hints.items()
    }


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's parameters, with what is attached to them.

    Python 3.10 makes Optional[Annotated[X, mark]] of a parameter Annotated[X, mark] = None.
    """
    hints = get_type_hints(function, include_extras=True)
    for name, hint in hints.items():
        if get_origin(hint) is Union:
            marked = (part for part in get_args(hint) if hasattr(part, "__metadata__"))
            hints[name] = next(marked, hint)
    return hints


def guard(command: Any) -> None:
    """Let a command, and those below it, refuse invalid options before it does anything."""
    for below in getattr(command, "commands", {}).values():
        guard(below)
    if command.callback is None or hasattr(command, "commands"):
        return
    invoke = command.invoke

    def checked(context: Any) -> Any:
        given = marks(command)
        for parameter in command.params:
            _check(parameter, context, given.get(parameter.name, ()))
        return invoke(context)

    command.invoke = checked


def _check(parameter: Any, context: Any, given: tuple[Any, ...]) -> None:
    """Refuse an option's value that cannot be used, or one that would be ignored."""
    value, name = context.params.get(parameter.name), shown(parameter)
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, float) and not math.isfinite(one):
            raise UsageError(f"option {name} got {one}, expected a finite number")
        if isinstance(one, int) and abs(one) > LARGEST:
            raise UsageError(f"option {name} got {one}, expected at most {LARGEST:,}")
        for mark in given:
            if isinstance(mark, PathUse) and isinstance(one, Path):
                mark.check(one, name)
            if isinstance(mark, OneOf) and isinstance(one, str):
                mark.check(one, name)
    if _is_given(parameter.name, context):
        for mark in given:
            if isinstance(mark, (Needs, Excludes)):
                _check_company(mark, name, context)


def _check_company(mark: Needs | Excludes, name: str, context: Any) -> None:
    others = {one.name: shown(one) for one in context.command.params if one.name in mark.names}
    present = [shown for other, shown in others.items() if _is_given(other, context)]
    if isinstance(mark, Excludes) and present:
        raise UsageError(f"option {name} does not apply with {present[0]}: leave one of them out")
    if isinstance(mark, Needs) and not present:
        raise UsageError(
            f"option {name} applies only with {' or '.join(others.values())}: add that, or leave "
            f"{name} out"
        )


def _is_given(name: str, context: Any) -> bool:
    """Whether an option was typed or set by its environment variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def shown(parameter: Any) -> str:
    """A parameter as the user types it: its option, or the argument's name in capitals."""
    names = [name for name in parameter.opts if name.startswith("--")] or parameter.opts
    return names[0] if names[0].startswith("-") else str(parameter.name).upper()


def every_command(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands below one, each with the words that lead to it."""
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from every_command(one, *names, name)
    if not below:
        yield names, command
