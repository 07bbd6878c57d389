"""Paths from the user, atomic writes, and TOML."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, Any

from unimo2.errors import MissingData, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class PathUse(Enum):
    """Use of a path given by the user; checked before any work."""

    READS_FILE = "a file to read"
    READS_FOLDER = "a folder to read"
    READS = "a file or folder to read"
    WRITES_FILE = "a file to write"
    WRITES_FOLDER = "a folder to write"

    def check(self, path: Path, option: str) -> None:
        """Refuse a path that cannot be what it is meant to be.

        Args:
            path: Path as given by the user.
            option: "--output", for the message.

        Raises:
            MissingData: Nothing is there to read.
            UsageError: Another kind of thing is there, or nothing can be written.
        """
        path = expanded(path, option)
        try:
            self._check(path, option)
        except OSError as error:  # a name that is too long, a loop of links
            raise UsageError(f"{option} {path}: {error.strerror}") from error

    def _check(self, path: Path, option: str) -> None:
        is_file, is_folder = path.exists() and not path.is_dir(), path.is_dir()
        reads = self in (PathUse.READS_FILE, PathUse.READS_FOLDER, PathUse.READS)
        if reads and not path.exists():
            raise MissingData(f"{option} {path}: not found, expected {self.value}")
        if is_file and self in (PathUse.READS_FOLDER, PathUse.WRITES_FOLDER):
            raise UsageError(f"{option} {path}: is a file, expected {self.value}")
        if is_folder and self in (PathUse.READS_FILE, PathUse.WRITES_FILE):
            raise UsageError(f"{option} {path}: is a folder, expected {self.value}")
        if reads and not os.access(path, os.R_OK):
            raise UsageError(f"{option} {path}: may not be read by this user")
        if not reads:
            self._check_room(path, option)

    @staticmethod
    def _check_room(path: Path, option: str) -> None:
        """Refuse what cannot be written: a file through anything special, beside it otherwise."""
        special = path.exists() and not path.is_file() and not path.is_dir()
        there = path if special or path.is_dir() else path.absolute().parent
        while not there.exists():
            there = there.parent
        if not special and not there.is_dir():
            raise UsageError(f"{option} {path}: {there} is a file, expected a folder")
        if not os.access(there, os.W_OK if special else os.W_OK | os.X_OK):
            raise UsageError(f"{option} {path}: {there} may not be written by this user")


def expanded(path: str | Path, option: str = "") -> Path:
    """A path whose leading "~" is the user's home folder.

    Args:
        path: Path as given by the user.
        option: Option that it was given for.

    Raises:
        UsageError: Nobody knows that home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = str(path).partition(os.sep)[0]
        raise UsageError(
            f"{option} {path}: the home folder {home} is not known; write the path out".strip()
        ) from error


def cache_folder() -> Path:
    """Where what can be made again is kept; raises as `user_cache`."""
    return user_cache() / "unimo2"


def user_cache() -> Path:
    """The folder of all programs' caches, XDG_CACHE_HOME or below the user's home.

    Raises:
        MissingData: There is no home, as in a container that runs under a foreign number.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise MissingData(
            "there is no home folder to keep files in: set HOME or XDG_CACHE_HOME to a folder that "
            "this user may write"
        ) from error


def has_home() -> bool:
    """Whether the user has a home folder."""
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that readers, and the next run after a kill, see whole or not at all.

    Args:
        path: The file; it is replaced if it exists.
        write: Called once with a binary stream.
    """
    # Named by process: several may write the same file, for example results of one run.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_unfinished(path: Path) -> None:
    """Remove what processes that were killed while writing a file left beside it.

    Only for a file that no other process may be writing now; checkpoints of a large model fill a
    disk otherwise.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As `write_atomically`, of a text in UTF-8."""
    write_atomically(path, lambda stream: stream.write(text.encode("utf-8")))


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Make a folder and hold its lock, which the system drops with the process.

    Args:
        folder: The folder.
        wait: Whether to wait for other processes that have it.

    Yields:
        Whether this process has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(handle, shared=False, wait=wait)
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a living process of this machine holds a folder's lock."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        return not _lock(handle, shared=True, wait=False)
    finally:
        os.close(handle)


def _lock(handle: int, shared: bool, wait: bool) -> bool:
    import fcntl  # of POSIX alone

    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except OSError:  # another has it, or this file system has no locks
        if wait:
            raise
        return False
    return True


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: It is not TOML; the message says where.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("tables or lists are nested too deeply") from None
