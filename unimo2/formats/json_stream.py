"""The items of a JSON list one by one, for files that do not fit into memory as Python objects.

The list is the whole file (Visual Genome's regions), or one field of the object that it holds
(VQA's questions and annotations). ijson parses; a first look at the bytes, which costs little, finds
what ijson would not notice: no list or two of them, nesting that takes all memory, and halves of
surrogate pairs, which its quick parser replaces by "?".
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson
import numpy as np

from unimo2.errors import BadData
from unimo2.formats.parsing import other_form, require_file

_CHUNK = 1 << 18  # bytes read at a time
_DEEPEST = 500  # ijson's memory grows with the square of the depth
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_ESCAPE = 5
_LONGEST_START = 16  # bytes that tell what kind of file another one is
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PIECE = 1 << 20  # bytes of a list that are parsed together
_LARGEST_PIECE = 1 << 26
# A number of so many digits may not fit into 64 bits. Every digit is made a 0, then they are looked
# for: a regular expression takes longer than the parsing.
_MANY_DIGITS, _ZEROS = b"0" * 19, bytes.maketrans(b"123456789", b"0" * 9)


def json_items(path: Path) -> Iterator[Any]:
    """Stream a file that holds one JSON list.

    Memory is bounded by the largest item (and a chunk of the file), not by the file.

    Args:
        path: The file.

    Yields:
        The items, decoded, in order.

    Raises:
        MissingData: The file does not exist.
        BadData: Not a list, malformed or cut off (the line is named), or not UTF-8.
    """
    yield from _stream(path, "[", None, BadData(f"{path}: expected a JSON list"))


def json_items_under(path: Path, name: str) -> Iterator[Any]:
    """Stream a list that is a field of the one JSON object in a file; other fields are passed over.

    Args:
        path: The file.
        name: Name of the field.

    Yields:
        The items, decoded, in order.

    Raises:
        MissingData: The file does not exist.
        BadData: Not an object, no such field or no list in it, malformed or cut off (the line is
            named), or not UTF-8. What follows the list is looked at only after its last item.
    """
    unlike = BadData(f"{path}: expected an object with a list '{name}'")
    yield from _stream(path, "{", name, unlike)


def json_pieces(path: Path, between: re.Pattern[bytes]) -> Iterator[bytes | None]:
    """Cut a file that holds one JSON list where `between` matches, which is behind its "}".

    Yields:
        Items with commas between, about a megabyte at a time. They are items only if each piece in
        brackets is valid JSON: what looks like a border may be inside a string. None where the file
        cannot be cut, as the last.

    Raises:
        MissingData: The file does not exist.
    """
    require_file(path, "file")
    with _opened(path) as stream:
        held, size, begun = b"", _PIECE, False
        while chunk := stream.read(size):
            held += chunk
            if not begun:
                held = held.lstrip(b" \t\r\n")
                if held[:1] != b"[":
                    break
                held, begun = held[1:], True
            borders = [match.end() for match in between.finditer(held)]
            if borders:
                end = borders[-1]
                yield held[: held.rindex(b",", 0, end)]
                held, size = held[held.rindex(b",", 0, end) + 1 :], _PIECE
            elif len(held) > _LARGEST_PIECE:
                break
            else:
                size = max(_PIECE, len(held))  # so that a large item is not copied many times
        last = held.rstrip(b" \t\r\n")
        yield last[:-1] if begun and not chunk and last[-1:] == b"]" else None


def piece_items(piece: bytes) -> list[Any] | None:
    """The items of one of `json_pieces`, as `json_items` has them; None where it might refuse them."""
    if _MANY_DIGITS in piece.translate(_ZEROS) or _levels(piece, 0)[1] >= _DEEPEST:
        return None
    try:
        found: list[Any] = json.loads(
            f"[{piece.decode()}]", parse_constant=_refuse_number, parse_float=_finite
        )
    except (ValueError, RecursionError):
        return None
    return found


def _refuse_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse_number(digits)


def _stream(path: Path, opening: str, name: str | None, unlike: BadData) -> Iterator[Any]:
    require_file(path, "file")
    first, escaped, keys, depth = _look(path, name)
    if first != opening and (first or name is None):
        with path.open("rb") as stream:
            seen = other_form(stream.read(_LONGEST_START))
        raise BadData(f"{path}: not UTF-8 text{seen}") if seen else unlike
    try:
        # Bytes alone do not tell a bracket or a name from one inside a string.
        if depth > _DEEPEST or (name is not None and keys != 1):
            _examine(path, name, unlike)
        found = False
        parser = ijson.get_backend("python") if escaped else ijson
        with _opened(path) as stream:
            prefix = "item" if name is None else f"{name}.item"
            for item in parser.items(stream, prefix, use_float=True, buf_size=_CHUNK):
                found = True
                yield item
        if name is not None and not found:
            _examine(path, name, unlike)
    except (ijson.JSONError, ValueError) as error:
        raise _malformed(path, error) from error


def _opened(path: Path) -> IO[bytes]:
    """The file, at its first byte after a byte order mark."""
    stream = path.open("rb")
    if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        stream.seek(0)
    return stream


def _look(path: Path, name: str | None) -> tuple[str, bool, int, int]:
    """What the bytes tell: the first character, surrogates, how often the name is a key, the depth.

    The last two count what stands inside strings, too.
    """
    first, escaped, keys, level, deepest = b"", False, 0, 0, 0
    key = re.compile(rb'"%s"\s*:' % re.escape(name or "").encode())
    tail = b""
    with _opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            first = first or chunk.lstrip()[:1]
            joined = tail + chunk
            escaped = escaped or _SURROGATE.search(joined) is not None
            matches = list(key.finditer(joined)) if name else []
            keys += len(matches)
            seen = matches[-1].end() if matches else 0
            tail = joined[max(seen, len(joined) - _LONGEST_ESCAPE - len(name or "") - 16) :]
            level, highest = _levels(chunk, level)
            deepest = max(deepest, highest)
    return first.decode("latin-1"), escaped, keys, deepest


def _levels(chunk: bytes, level: int) -> tuple[int, int]:
    """How deep brackets are nested behind some bytes, and at most in them; strings are not known."""
    brackets = np.frombuffer(chunk.translate(None, _NO_BRACKETS), dtype=np.uint8)
    if not brackets.size:
        return level, level
    levels = level + np.cumsum(np.where((brackets == 91) | (brackets == 123), 1, -1))
    return int(levels[-1]), int(levels.max())


def _examine(path: Path, name: str | None, unlike: BadData) -> None:
    """Look at every event: refuse deep nesting, and an object in which not one list has the name."""
    depth, lists, is_ours = 0, 0, False
    with _opened(path) as stream:
        for event, value in ijson.basic_parse(stream, use_float=True, buf_size=_CHUNK):
            if is_ours and (event != "start_array" or lists):
                raise unlike
            lists += is_ours
            is_ours = depth == 1 and event == "map_key" and value == name
            depth += event.startswith("start_") - event.startswith("end_")
            if depth > _DEEPEST:
                raise BadData(f"{path}: malformed JSON: nested too deeply")
    if name is not None and not lists:
        raise unlike


def _malformed(path: Path, error: Exception) -> BadData:
    """An error that names the line, found by parsing once more, line by line."""
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    utf8 = codecs.getincrementaldecoder("utf-8")()
    line, count = 1, 0
    with _opened(path) as stream:
        while piece := stream.readline(_CHUNK):
            try:
                utf8.decode(piece)
                parser.send(piece)
            except UnicodeDecodeError as fault:
                near = count + max(fault.start, 0)
                return BadData(f"{path}: not UTF-8 text (near byte {near})")
            except (ijson.JSONError, ValueError):
                break
            events.clear()
            line += piece.endswith(b"\n")
            count += len(piece)
    reason = str(error).removeprefix("b'").replace("\\n", "\n").splitlines() or ["unreadable"]
    return BadData(f"{path}: malformed JSON at line {line}: {reason[0].strip()}")
