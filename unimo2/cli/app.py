"""The one Typer application, and the one place where errors become a line for the user.

Verbs are known by name and loaded when they are called.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from unimo2 import __version__
from unimo2.cli.arguments import expand
from unimo2.errors import Unimo2Error, UsageError

# How the C library keeps memory that tensors on the CPU gave back.


# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 512 * 2**20
_LARGEST_BYTES = 32 * 2**20  # the most that glibc takes on 64-bit machines


def reuse_freed_memory() -> bool:
    """Let freed tensors of up to 32 MiB be used again instead of going back to the system.

    By default glibc returns them, and every activation of the next layer is new memory whose pages
    the kernel clears first: measured at a fifth of the time of scoring pairs with the mini model.
    It is a setting of the whole process, so that only a program may choose it, not a library. At
    most 512 MiB are kept.

    Returns:
        Whether it was done: with glibc alone, which is on Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))


PROGRAM = "unimo2"
# Every verb lies in the package that it drives: the module whose `register` adds it, and its line in
# `unimo2 --help`, which loads none of them.
VERBS = {
    "pretrain": (
        "evals.cli.train",
        "Train a model from random weights and choose its retrieval weight on the validation split.",
    ),
    "finetune": ("evals.cli.train", "Train a pre-trained model further for one task."),
    "compare": (
        "reports.cli",
        "Compare two runs item by item: difference of every metric, its interval and p-value.",
    ),
    "report": (
        "reports.cli",
        "Show tables of the paper and, beneath each, what was measured.",
    ),
    "ablate": (
        "reports.cli",
        "Train and evaluate variants of one recipe for the same number of steps.",
    ),
    "data": (
        "evals.cli.data",
        "Data: what there is and what it should be, and the embedded suite.",
    ),
    "eval": ("evals.cli.eval", "Measure a model on a benchmark of the paper."),
    "score": (
        "evals.cli.score",
        "Score predictions that somebody else made, by the official metrics.",
    ),
    "zoo": ("zoo.cli", "Models: list them, show one, convert the released checkpoint."),
    "bench": ("evals.cli.bench", "Measure how fast the model's parts are on this machine."),
    "inspect": ("evals.cli.inspect", "See what a model's parts hold."),
}
# Verbs of other packages: an entry point NAME = "package.module" of a module with `register(app)`.
GROUP = "unimo2.commands"
INTERRUPTED = 130

# The root of Click's own errors, from Click or from Typer's copy of it, whichever is in use.
ParserError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


@dataclass
class Session:
    """What one call of the command line knows beyond the verb's own options."""

    debug: bool = False


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit()


def build(wanted: Collection[str] | None = None) -> typer.Typer:
    """The application.

    Args:
        wanted: Verbs that are loaded; the others have their name and line only. None for all.
    """
    app = typer.Typer(
        name=PROGRAM,
        help="UNIMO-2: train it, evaluate it and its neighbours, and set the results beside the "
        "paper's.",
        # Plain text: a box would break "one line for an error", and help stays easy to search.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def options(
        context: typer.Context,
        debug: Annotated[
            bool,
            typer.Option("--debug", envvar="UNIMO2_DEBUG", help="Show the traceback of an error."),
        ] = False,
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=_show_version, is_eager=True, help="Show the version."
            ),
        ] = False,
    ) -> None:
        context.obj.debug = debug

    others = {point.name: point for point in entry_points(group=GROUP) if point.name not in VERBS}
    chosen = {*VERBS, *others} if wanted is None else set(wanted)
    for module in dict.fromkeys(module for name, (module, _) in VERBS.items() if name in chosen):
        import_module(module).register(app)
    for name, point in others.items():
        if name in chosen:
            _installed(point).register(app)
    loaded = {one.name for one in app.registered_commands}
    loaded |= {one.name for one in app.registered_groups}
    for name, (_, line) in VERBS.items():
        if name not in loaded:
            app.command(name, help=line)(_not_loaded)
    for name, point in others.items():
        if name not in loaded:
            package = point.dist.name if point.dist else point.value
            app.command(name, help=f"Of the package {package}.")(_not_loaded)
    return app


def _not_loaded() -> None:
    """A verb that this call does not need."""


def _installed(point: EntryPoint) -> ModuleType:
    """The module of another package's verb."""
    try:
        module: ModuleType = point.load()
        if not hasattr(module, "register"):
            raise TypeError("it has no register(app)")
    except Exception as error:  # whatever the code of others raises
        raise UsageError(
            f"command '{point.name}' ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return module


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        The exit status: 0 done, 2 wrong usage or missing input, 130 interrupted, 1 anything else.
    """
    session = Session()
    reuse_freed_memory()
    if not sys.stderr.isatty():
        # Bars of libraries that read weights and data are noise in a file or a pipe.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    try:
        return _run(sys.argv[1:] if argv is None else argv, session)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, session)
    except Unimo2Error as error:
        return _fail(str(error), error.exit_status, session)
    except ParserError as error:
        return _fail(_parser_message(error), getattr(error, "exit_code", 2), session)
    except BrokenPipeError:
        _silence_output()
        return 1
    except OSError as error:
        return _fail(str(error), 1, session)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # of torch, which is not imported for this
            return _fail(_memory_message(error), 1, session)
        return _fail(_unexpected_message(error, session), 1, session)


def _run(arguments: Sequence[str], session: Session) -> int:
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:  # a shell asks how the line could go on
        typer.main.get_command(build()).main(prog_name=PROGRAM)
    verb = next((word for word in arguments if not word.startswith("-")), "")
    command = typer.main.get_command(build([verb]))
    try:
        # Not `command.main`: it prints errors and interrupts in its own words.
        with command.make_context(PROGRAM, expand(command, arguments), obj=session) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as stop:
        sys.stdout.flush()
        return stop.exit_code


def _fail(message: str, status: int, session: Session) -> int:
    """Say in one line what went wrong; the traceback only where it was asked for."""
    if session.debug:
        traceback.print_exc()
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser_message(error: Exception) -> str:
    message = str(getattr(error, "format_message")())  # noqa: B009 (two Clicks, one method)
    context = getattr(error, "ctx", None)
    hint = f"; see '{context.command_path} --help'" if context is not None else ""
    return message.rstrip(".") + hint


def _memory_message(error: Exception) -> str:
    return (
        f"the GPU's memory is full ({error}); evaluate with a smaller --batch-size, train with "
        "--set accumulate=N (and --resume changed) or gradient_checkpointing=true"
    )


def _unexpected_message(error: Exception, session: Session) -> str:
    """A fault of ours: say so, and keep the traceback, since a long run cannot be repeated."""
    message = f"unexpected {type(error).__name__}: {error}"
    if session.debug:
        return message
    handle, path = tempfile.mkstemp(prefix="unimo2-traceback-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return f"{message} (a fault in {PROGRAM}; the traceback is in {Path(path)})"


def _silence_output() -> None:
    """Stop Python from complaining at exit that nobody reads its output any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
