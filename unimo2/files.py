"""Files: written whole or not at all, TOML, and the cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def cache_folder() -> Path:
    """Where what can be made again is kept: below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "unimo2"


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


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: It is not TOML; the message says where.
    """
    return tomllib.loads(text)
