"""Several values after one option (`--k 10 20 50 100`), for every option that takes a list.

Typer's parser wants an option's name repeated before each value. `expand` rewrites what was typed
into that form before the parser sees it. It reads which options take lists from the commands
themselves, so a new list option needs nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from unimo2.errors import UsageError

_NEGATIVE_NUMBER = re.compile(r"-(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


class Command(Protocol):
    """What `expand` reads of a command; a group of commands has `commands` besides.

    A Protocol, because older Typer builds on the Click package and newer on a copy of its own.
    """

    @property
    def params(self) -> Sequence[Any]:
        """The command's options and arguments."""


@dataclass(frozen=True)
class _Option:
    """Number of values that an option takes: `values`, or a list of any length."""

    values: int
    takes_list: bool

    @classmethod
    def of(cls, parameter: Any) -> _Option:
        if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
            return cls(0, False)
        return cls(parameter.nargs, parameter.nargs == 1 and getattr(parameter, "multiple", False))


@dataclass(frozen=True)
class _Level:
    """The command that the words so far lead to, with the names its options are typed as."""

    names: tuple[str, ...]
    options: Mapping[str, _Option]
    is_group: bool
    subcommand: Callable[[str], Command | None]

    @classmethod
    def of(cls, command: Command, names: tuple[str, ...]) -> _Level:
        options = {
            name: _Option.of(parameter)
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("-")
        }
        options.setdefault("--help", _Option(0, False))
        # As the parser asks, because a group may know more names than it lists ("sst2,cola").
        find = getattr(command, "get_command", lambda context, name: None)
        is_group = bool(getattr(command, "commands", {}))
        return cls(names, options, is_group, partial(find, None))


@dataclass
class _Line:
    """A command line while it is rewritten: what was typed, and what Typer will get."""

    typed: list[str]
    position: int = 0
    hoisted: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def peek(self) -> str | None:
        return self.typed[self.position] if self.position < len(self.typed) else None

    def take(self) -> str:
        self.position += 1
        return self.typed[self.position - 1]

    def copy(self, count: int) -> None:
        """Copy the next `count` arguments as they are, fewer where the line ends."""
        self.written += self.typed[self.position : self.position + count]
        self.position += count

    def copy_rest(self) -> None:
        self.copy(len(self.typed) - self.position)


def expand(root: Command, arguments: Sequence[str]) -> list[str]:
    """Rewrite a command line so that Typer's parser understands it.

    `--k 10 20` becomes `--k 10 --k 20` where `--k` takes a list. The values end at the next option
    or at `--`, after which everything is copied as it is; negative numbers are values; `--k=10` is
    one value. Switches of the whole application (`--debug`) may stand anywhere and are moved to
    the front. A group of commands named alone shows its help.

    Args:
        root: the application's outermost command.
        arguments: what was typed after the program's name.

    Returns:
        The arguments in the form that Typer takes.

    Raises:
        UsageError: a list option without a value, or an option or argument that is empty.
    """
    line = _Line(list(arguments))
    top = level = _Level.of(root, ())
    while (token := line.peek()) is not None:
        if token == "--":
            line.copy_rest()
        elif _is_option(token, level):
            _copy_option(line, level, top)
        elif (found := level.subcommand(token)) is not None:
            line.copy(1)
            level = _Level.of(found, (*level.names, token))
        elif level.is_group:
            line.copy_rest()  # Typer reports an unknown command
        else:
            _refuse_empty("an argument", [token], level)
            line.copy(1)
    if level.is_group and line.written == list(level.names):
        line.written.append("--help")
    return line.hoisted + line.written


def _is_option(token: str, level: _Level) -> bool:
    if token in level.options:
        return True
    return token.startswith("-") and token != "-" and not _NEGATIVE_NUMBER.fullmatch(token)


def _copy_option(line: _Line, level: _Level, top: _Level) -> None:
    """Copy the option at the line's position with its values, a list in the repeated form."""
    name, equals, given = line.typed[line.position].partition("=")
    option = level.options.get(name)
    if option is not None and option.values:
        values = [given] if equals else line.typed[line.position + 1 :][: option.values]
        _refuse_empty(f"option {name}", values, level)
    switch_of_application = name in top.options and top.options[name].values == 0
    if switch_of_application and name != "--help" and (option is None or level is top):
        line.hoisted.append(line.take())
    elif option is None:
        line.copy(1)  # Typer reports an unknown option
    elif equals or not option.takes_list:
        line.copy(1 if equals else 1 + option.values)
    else:
        line.take()
        count = 0
        while (value := line.peek()) is not None and value != "--":
            if _is_option(value, level):
                break
            _refuse_empty(f"option {name}", [value], level)
            line.written += [name, line.take()]
            count += 1
        if count == 0:
            command = " ".join(("unimo2", *level.names))
            raise UsageError(f"option {name} needs at least one value; see '{command} --help'")


def _refuse_empty(name: str, values: Sequence[str], level: _Level) -> None:
    """Refuse an option or argument with an empty value, as from an unset shell variable."""
    if any(not value.strip() for value in values):
        command = " ".join(("unimo2", *level.names))
        raise UsageError(
            f"{name} got an empty value (an unset shell variable?); leave it out or give one; "
            f"see '{command} --help'"
        )
