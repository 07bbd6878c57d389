"""Terminal output: lines, notes, tables and JSON, with control characters in foreign text escaped.

Nothing here takes text for markup. Names, captions and paths come from files that anybody may have
written: what a terminal would obey or hide is written as an escape.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

# Everything that a terminal acts upon and that reorders or hides text.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """A text in one line, with characters that a terminal obeys or hides as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSEEN
        else letter
        for letter in text
    )


def say(text: str, err: bool = False) -> None:
    """Print lines; all that a terminal would obey but their line breaks is escaped.

    Args:
        text: One or more lines; a name in them that may hold line breaks goes through `visible`.
        err: On standard error.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed by the parent process
        return
    shown = "\n".join(map(visible, text.split("\n"))) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:  # a full disk behind a pipe or a file
        error.filename = "standard error" if err else "standard output"
        raise


def note(text: str, err: bool = False) -> None:
    """Print a remark about what was measured, in one line."""
    say(f"note    {visible(text)}", err)


def print_json(content: Any) -> None:
    """Print what a program reads; see `json_text`."""
    say(json_text(content))


def json_text(content: Any) -> str:
    """JSON with letters as they are and invisible characters as escapes.

    Raises:
        ValueError: A number that JSON has no form for.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(_escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    """A line of JSON that stays JSON: what is not seen stands within its strings."""
    if line.isascii() and line.isprintable():
        return line
    pairs = ((letter, letter.encode("utf-16-be", "surrogatepass").hex()) for letter in line)
    return "".join(
        "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))
        if unicodedata.category(letter) in _UNSEEN
        else letter
        for letter, code in pairs
    )


def terminal_width() -> int | None:
    """Columns of standard output; None for a file or a pipe, whose lines are never folded."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def print_table(
    title: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]],
    numbers: Collection[int] = (),
) -> None:
    """Print a table, folded to the terminal's width; see `table_lines`."""
    width = terminal_width()
    lines = wrapped(visible(title), width) if title else []
    say("\n".join([*lines, *table_lines(heads, groups, numbers, width)]))


def table_lines(
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]],
    numbers: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """Aligned columns, two spaces apart; a group's name on a line of its own.

    Args:
        heads: Headings of the columns, that of the row labels first.
        groups: Name and rows of each; groups without a name are parted by a rule.
        numbers: Places of the columns that are set to the right.
        width: Columns of the terminal. A wider table is folded: the columns that do not fit follow
            beneath the others, each part with the row labels. None never folds; no cell is ever cut.
    """
    heads = list(map(visible, heads))
    shown = [(visible(name), [list(map(visible, row)) for row in rows]) for name, rows in groups]
    every = [heads, *(row for _, rows in shown for row in rows)]
    widths = [max(map(cell_width, column)) for column in zip(*every, strict=True)]

    def line(cells: Sequence[str], places: Sequence[int]) -> str:
        padded = []
        for place in places:
            space = " " * (widths[place] - cell_width(cells[place]))
            padded.append(space + cells[place] if place in numbers else cells[place] + space)
        return "  ".join(padded).rstrip()

    lines: list[str] = []
    for places in _folds(widths, width):
        rule = "-" * (sum(widths[place] for place in places) + 2 * (len(places) - 1))
        lines += [*([""] if lines else []), rule, line(heads, places), rule]
        for position, (name, rows) in enumerate(shown):
            if name:
                lines += wrapped(name, width)
            elif position:
                lines.append(rule)
            lines += [line(row, places) for row in rows]
        lines.append(rule)
    return lines


def _folds(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Columns shown side by side: the row labels and as many others as fit."""
    parts, used = [[0]], widths[0]
    for at in range(1, len(widths)):
        if width is not None and len(parts[-1]) > 1 and used + 2 + widths[at] > width:
            parts.append([0])
            used = widths[0]
        parts[-1].append(at)
        used += 2 + widths[at]
    return parts


def wrapped(text: str, width: int | None) -> list[str]:
    """A text in lines of at most `width` columns; one line without a width."""
    return [text] if width is None else textwrap.wrap(text, width) or [text]


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    hidden = sum(unicodedata.category(letter) in ("Mn", "Me") for letter in text)
    return len(text) + wide - hidden
