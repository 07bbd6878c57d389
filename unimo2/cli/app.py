"""The one Typer application, and the one place where errors become a line for the user.

Verbs are known by name and loaded when they are called.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from unimo2 import __version__
from unimo2.cli.arguments import expand
from unimo2.cli.guard import guard
from unimo2.cli.packages import require_own
from unimo2.console import say, visible
from unimo2.errors import Unimo2Error, UsageError
from unimo2.files import has_home

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
    "finetune": ("evals.cli.train", "Fine-tune a pre-trained model for one task."),
    "compare": (
        "reports.cli",
        "Compare two runs item by item: differences of all metrics with intervals and p-values.",
    ),
    "report": (
        "reports.cli",
        "Show the paper's tables, each with the measured results below it.",
    ),
    "ablate": (
        "reports.cli.ablate",
        "Train and evaluate variants of one recipe for the same number of steps.",
    ),
    "reproduce": (
        "reports.cli.reproduce",
        "Train and measure again all that comes with the package.",
    ),
    "data": (
        "evals.cli.data",
        "List, verify, fetch and show data sets; make the embedded suite.",
    ),
    "eval": ("evals.cli.eval", "Evaluate a model on a benchmark of the paper."),
    "score": (
        "evals.cli.score",
        "Score existing prediction files with the official metrics.",
    ),
    "zoo": ("zoo.cli", "List and show models; convert the released checkpoint."),
    "bench": ("evals.cli.bench", "Measure the speed of the model's parts on this machine."),
    "inspect": ("evals.cli.inspect", "Inspect a model's grounded dictionary."),
    "doctor": (
        "unimo2.cli.doctor",
        "Check this installation: packages, devices, Java, folders, data sets, the hub.",
    ),
}
# Verbs of other packages: an entry point NAME = "package.module" of a module with `register(app)`.
GROUP = "unimo2.commands"
INTERRUPTED, TERMINATED, UNREAD = 130, 143, 141
_WIDEST = 100  # columns of help
# Verbs whose runs keep what is finished.
_RESUMED = ("eval", "finetune", "pretrain", "ablate", "reproduce")
# File errors that the user can fix: a path that is missing, full, or owned by another user.
_OF_THE_MACHINE = {
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}

# Of libraries that draw bars and reports of their own; what matters in them is an error of ours.
LIBRARIES = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}

# The root of Click's own errors, from Click or from Typer's copy of it, whichever is in use.
ParserError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


@dataclass
class Session:
    """Settings of one command line call besides the verb's own options."""

    debug: bool = False


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"{PROGRAM} {__version__}")
        raise typer.Exit()


def build(wanted: Collection[str] | None = None) -> typer.Typer:
    """The application.

    Args:
        wanted: Verbs that are loaded; the others have their name and line only. None for all.
    """
    app = typer.Typer(
        name=PROGRAM,
        help="UNIMO-2: train it, evaluate it and related models, and compare the results with the "
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
        if not module.startswith(f"{PROGRAM}."):
            require_own()
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
        The exit status: 0 done, 2 for the user to fix, 130 or 143 interrupted, 141 no reader of the
        output any more, 1 a fault of ours (or problems found, of commands that look for them).
    """
    session = Session()
    arguments = list(sys.argv[1:] if argv is None else argv)
    reuse_freed_memory()
    _open_streams()
    _quiet_libraries()
    _find_home()
    with _terminable():
        try:
            return _run(arguments, session)
        except KeyboardInterrupt as error:
            status = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
            return _fail(_interrupted_message(status, arguments), status, session)
        except Unimo2Error as error:
            return _fail(str(error), error.exit_status, session)
        except ParserError as error:
            return _fail(_parser_message(error), getattr(error, "exit_code", 2), session)
        except BrokenPipeError as error:
            if _reader_left():
                return UNREAD
            return _fail(_unexpected_message(error, session), 1, session)
        except Exception as error:
            if type(error).__name__ == "OutOfMemoryError":  # of torch, not imported for this
                return _fail(_memory_message(error), 2, session)
            if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
                return _fail(_system_message(error), 2, session)
            return _fail(_unexpected_message(error, session), 1, session)


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled wherever an interrupt from the keyboard is."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the program as an interrupt does, with files whole and a last line."""

    def stop(number: int, frame: object) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: the caller handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted_message(status: int, arguments: Sequence[str]) -> str:
    """What happened to the run, and how to continue."""
    word = "terminated" if status == TERMINATED else "interrupted"
    if not any(one in arguments for one in _RESUMED):
        return f"{word}: no partial output is left; run the same command again"
    anew = [one for one in ("--fresh", "never") if one in arguments]
    how = "the same command"
    if anew:
        how += f" without {'--fresh' if anew[0] == '--fresh' else '--resume never'}"
    return f"{word}: what is finished is kept; {how} resumes from there"


def _open_streams() -> None:
    """Give a program that was started with closed streams ones that lead nowhere.

    Otherwise the next file that is opened gets the number of a standard stream, and what a library
    writes to "standard error" lands in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) != number:
                continue
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _find_home() -> None:
    """Give a user without a home (a container under a foreign number) a temporary one.

    Not ours alone: libraries keep their caches below it.
    """
    if not has_home():
        os.environ["HOME"] = tempfile.gettempdir()


def _quiet_libraries() -> None:
    """Set what libraries read when they are imported, which is later."""
    for name, value in LIBRARIES.items():
        os.environ.setdefault(name, value)


def _run(arguments: Sequence[str], session: Session) -> int:
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:  # a shell asks how the line could go on
        typer.main.get_command(build()).main(prog_name=PROGRAM)
    verb = next((word for word in arguments if not word.startswith("-")), "")
    command = typer.main.get_command(build([verb]))
    guard(command)
    try:
        # Not `command.main`: it prints errors and interrupts in its own words.
        words = expand(command, arguments)
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        with command.make_context(PROGRAM, words, obj=session, terminal_width=width) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as stop:
        sys.stdout.flush()
        return stop.exit_code


def _fail(message: str, status: int, session: Session) -> int:
    """Print the error in one line; the traceback only with --debug."""
    if session.debug:
        traceback.print_exc()
    say(f"{PROGRAM}: error: {visible(' '.join(message.split()))}", err=True)
    return status


def _parser_message(error: Exception) -> str:
    message = str(getattr(error, "format_message")())  # noqa: B009 (two Clicks, one method)
    message = message.replace("Value error, ", "")  # pydantic's word for what follows
    context = getattr(error, "ctx", None)
    hint = f"; see '{context.command_path} --help'" if context is not None else ""
    return message.rstrip(".") + hint


def _memory_message(error: Exception) -> str:
    return (
        f"the GPU's memory is full ({error}); evaluate with a smaller --batch-size, train with "
        "--set accumulate=N (and --resume changed) or gradient_checkpointing=true"
    )


def _system_message(error: OSError) -> str:
    """The system error, with its path."""
    reason = error.strerror or str(error)
    place = f"{error.filename}: {reason}" if error.filename else reason
    advice = {
        errno.ENOSPC: "free some space there, then run the same command again",
        errno.EDQUOT: "free some space there, then run the same command again",
        errno.EMFILE: "raise the limit of open files ('ulimit -n')",
    }
    return f"{place}; {advice.get(error.errno or 0, 'expected a place that this user may use')}"


def _unexpected_message(error: Exception, session: Session) -> str:
    """Report a fault of ours, and keep the traceback, since a long run cannot be repeated."""
    message = f"unexpected {type(error).__name__}: {error}"
    if session.debug:
        return message
    handle, path = tempfile.mkstemp(prefix="unimo2-traceback-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return f"{message} (a fault in {PROGRAM}; the traceback is in {Path(path)})"


def _reader_left() -> bool:
    """Whether our output's reader is gone; if so, keep Python from complaining at exit."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(events & select.POLLERR for _, events in watch.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
