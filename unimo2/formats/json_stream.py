"""The items of a JSON list one by one, for files that do not fit into memory as Python objects.

The list is the whole file (Visual Genome's regions), or one field of the object that it holds
(VQA's questions and annotations).
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from unimo2.errors import BadData, MissingData

_CHUNK = 1 << 20  # bytes read at a time
_SPACE = " \t\r\n"
_NUMBER_CUT_OFF = len("e+")
_LONGEST_LITERAL = 16  # "-Infinity" and a "\\u12ab" cut off are shorter


def json_items(path: Path) -> Iterator[Any]:
    """Stream a file that holds one JSON list.

    Memory is bounded by the largest item (and a chunk of the file), not by the file.

    Args:
        path: the file.

    Yields:
        The items, decoded, in order.

    Raises:
        MissingData: there is no such file.
        BadData: not a list, malformed or cut off (the line is named), or not UTF-8.
    """
    with closing(_Window(path)) as window:
        if window.next_character() != "[":
            raise BadData(f"{path}: expected a JSON list")
        yield from _items(window)
        window.expect_end("list")


def json_items_under(path: Path, name: str) -> Iterator[Any]:
    """Stream a list that is a field of the one JSON object in a file; the other fields are passed over.

    Args:
        path: the file.
        name: of the field.

    Yields:
        The items, decoded, in order.

    Raises:
        MissingData: there is no such file.
        BadData: not an object, no such field or no list in it, malformed or cut off (the line is
            named), or not UTF-8. What follows the list is looked at only after its last item.
    """
    unlike = BadData(f"{path}: expected an object with a list '{name}'")
    found = False
    with closing(_Window(path)) as window:
        if window.next_character() != "{":
            raise unlike if window.next_character() else window.malformed("the file is empty")
        for field in _fields(window):
            if field != name:
                window.item()
            elif window.next_character() != "[" or found:
                raise unlike
            else:
                yield from _items(window)
                found = True
        window.expect_end("object")
    if not found:
        raise unlike


def _fields(window: _Window) -> Iterator[str]:
    """The names of an object's fields; whoever asks for the next one has read the value before."""
    window.position += 1
    if window.next_character() == "}":
        window.position += 1
        return
    while True:
        if window.next_character() != '"':
            raise window.malformed("expected the name of a field in double quotes")
        name: str = window.item()
        window.expect(":", "expected ':' after the name of a field")
        window.next_character()
        yield name
        if window.expect(",}", "expected ',' or '}' after a field") == "}":
            return


def _items(window: _Window) -> Iterator[Any]:
    """The items of the list that begins at the window's position."""
    window.position += 1
    if window.next_character() == "]":
        window.position += 1
        return
    while True:
        yield window.item()
        if window.expect(",]", "expected ',' or ']' after an item of the list") == "]":
            return
        window.next_character()


class _Window:
    """The part of the file that is being decoded."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingData(f"file not found: {path}")
        self._path = path
        self._stream = path.open("rb")
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._ended = False
        self._lines = 0  # line ends before the window
        self._bytes = 0
        self.text = ""
        self.position = 0

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def next_character(self) -> str:
        """The next character that is not white space, left in place; "" at the end."""
        while True:
            rest = self.text[self.position : self.position + 1]
            if rest and rest in _SPACE:
                self.position += 1
            elif rest or not self._more():
                return rest

    def expect(self, characters: str, fault: str) -> str:
        """Take the next character that is not white space, which must be one of these."""
        found = self.next_character()
        if not found or found not in characters:
            raise self.malformed(fault)
        self.position += 1
        return found

    def expect_end(self, what: str) -> None:
        """Refuse text after the end of the one value that the file holds."""
        if self.next_character():
            raise self.malformed(f"more text after the end of the {what}")

    def item(self) -> Any:
        """Decode the next item, reading on until it is whole."""
        self.next_character()
        while True:
            try:
                value, end = self._decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                # Too little text and wrong text look alike until the file has ended, or until the
                # fault lies far before the end of what was read (an unended string's "fault" is
                # where it begins).
                near = len(self.text) - error.pos < max(_CHUNK, _LONGEST_LITERAL)
                if (near or error.msg.startswith("Unterminated")) and not self._ended:
                    self._more(double=True)
                    continue  # positions have changed, even where nothing came any more
                self.position = error.pos
                raise self.malformed(error.msg) from error
            except RecursionError as error:
                raise self.malformed("nested too deeply") from error
            except ValueError as error:  # a number with more digits than Python converts
                raise self.malformed(str(error)) from error
            # "1", "1." and "1e+" are decoded as 1, and may be the beginning of a longer number.
            if len(self.text) - end > _NUMBER_CUT_OFF or self._ended:
                self.position = end
                return value
            self._more()

    def malformed(self, reason: str) -> BadData:
        """An error that names the line of the present position."""
        line = self._lines + self.text.count("\n", 0, self.position) + 1
        return BadData(f"{self._path}: malformed JSON at line {line}: {reason}")

    def _more(self, double: bool = False) -> bool:
        """Read on; what lies before the position is forgotten. False at the end of the file."""
        if self._ended:
            return False
        self._lines += self.text.count("\n", 0, self.position)
        self.text = self.text[self.position :]
        self.position = 0
        # An item larger than a chunk is decoded anew after every read: read as much again.
        size = max(_CHUNK, len(self.text)) if double else _CHUNK
        data = self._stream.read(size)
        try:
            self.text += self._utf8.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = self._bytes + error.start
            raise BadData(f"{self._path}: not UTF-8 text (near byte {place})") from error
        self._bytes += len(data)
        self._ended = not data
        return bool(data)
