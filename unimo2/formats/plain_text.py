"""Plain text in files, line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unimo2.errors import MissingData
from unimo2.formats.parsing import Skips, numbered_lines

TEXT_SUFFIXES = (".txt", ".tokens", ".raw")
"""Suffixes of text files; the last two are WikiText's."""


@dataclass(frozen=True)
class TextLine:
    """One line of a plain-text corpus that is not blank."""

    path: Path
    number: int
    text: str


def text_lines(folder: Path, broken: Skips | None = None) -> Iterator[TextLine]:
    """Stream a plain-text corpus: every line of every file that is not blank, stripped.

    Args:
        folder: A folder with files of `TEXT_SUFFIXES` in it or below it, or one file. They come in
            a fixed order, so that a run can be resumed. WikiText's headings (` = Title = `) and its
            `<unk>` are lines and words like any other.
        broken: Counts lines that are not UTF-8; see `Skips`.
    """
    for path in text_files(folder):
        for number, line in numbered_lines(path, broken):
            text = line.strip()
            if text:
                yield TextLine(path, number, text)


def text_files(folder: Path) -> Iterator[Path]:
    """The files of a text corpus, folder by folder, by name; see `text_names`."""
    for home, names in text_names(folder):
        yield from (home / name for name in names)


def text_names(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders of a text corpus, each with its files by name; `folder` itself may be a file.

    One folder at a time is listed: OpenWebText unpacks to eight million files.
    """
    if folder.is_file():
        yield folder.parent, [folder.name]
        return
    if not folder.is_dir():
        raise MissingData(f"text corpus not found: {folder}")
    found = False
    waiting = [str(folder)]
    while waiting:
        home = waiting.pop()
        names, folders = _entries(home)
        if names:
            found = True
            yield Path(home), names
        # The first is the next; a link to a folder above would lead round and round.
        waiting += [os.path.join(home, name) for name in folders if not _leads_up(home, name)]
    if not found:
        raise MissingData(f"no text in {folder}: no file named *{', *'.join(TEXT_SUFFIXES)}")


def _entries(home: str) -> tuple[list[str], list[str]]:
    """Names in a folder: texts, sorted, and folders, the last first; none if it cannot be read."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(home) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.name.endswith(TEXT_SUFFIXES):
                    names.append(entry.name)
    except OSError:
        return [], []
    return sorted(names), sorted(folders, reverse=True)


def _leads_up(home: str, name: str) -> bool:
    """Whether a folder in `home` is a link to `home` or a folder above it."""
    path = os.path.join(home, name)
    if not os.path.islink(path):
        return False
    return Path(os.path.realpath(home)).is_relative_to(os.path.realpath(path))
