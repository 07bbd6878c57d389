"""Shared by the parsers of official files: opening a file, and validated fields.

Every error names the file and the place in it, in one line.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from unimo2.errors import BadData, MissingData

BROKEN_ROW = "broken row"
DUPLICATE = "id that occurs twice"
MISSING_IMAGE = "image not on disk"
UNKNOWN_LABEL = "unknown label"
NOT_AN_IMAGE = "file that is not an image"

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jpe", ".jfif", ".jp2"),
    *(".avif", ".apng", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".pcx"),
)
"""Names of files that Pillow reads, in lower case, the likeliest first."""
_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_LONGEST = 1024  # bytes, by the specification


class DuplicateId(BadData):
    """An id or a file name that may occur once occurs again."""


class UnknownLabel(BadData):
    """A label that the data set does not have."""


class Skips:
    """What a reader left out: how often for which reason, and where first.

    Every reader that takes `broken` (rows that cannot be used) or `lost` (images that are not on
    disk) is counted there and skipped; without one, the first fault raises BadData or MissingData.
    """

    def __init__(self) -> None:
        """Nothing was left out yet."""
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, place: str) -> None:
        """Count one item that is left out for `reason`; `place` says where it stands."""
        self._counts[reason] += 1
        self._first.setdefault(reason, place)

    @property
    def total(self) -> int:
        """Number of items left out."""
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Number of items by reason."""
        return dict(self._counts)

    def plain(self) -> dict[str, list[Any]]:
        """Number of items and the first place by reason, fit for JSON."""
        return {reason: [count, self._first[reason]] for reason, count in self._counts.items()}

    def include(self, plain: dict[str, list[Any]]) -> None:
        """Count what another one's `plain` says, too."""
        for reason, (count, place) in plain.items():
            self._counts[reason] += count
            self._first.setdefault(reason, place)

    def lines(self) -> list[str]:
        """One line a reason: `3 x broken row, first pairs.tsv:17: 1 column, expected 2`."""
        return [
            f"{count:,} x {reason}, first {self._first[reason]}"
            for reason, count in self._counts.items()
        ]


def numbered_lines(path: Path, broken: Skips | None = None) -> Iterator[tuple[int, str]]:
    r"""Stream a UTF-8 text file: each line's number, from 1, and its text without the line end.

    Only "\n" ends a line (a caption may hold the other characters that Python's `splitlines` takes
    for line ends); a "\r" before it and a byte order mark at the file's start are taken off. A line
    that is not UTF-8 is counted in `broken`.
    """
    for number, line in raw_lines(path):
        text = decoded(line, path, number, broken)
        if text is not None:
            yield number, text


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1; MissingData if it does not exist."""
    require_file(path, "file")
    with path.open("rb") as stream:
        yield from enumerate(stream, start=1)


def decoded(line: bytes, path: Path, number: int, broken: Skips | None = None) -> str | None:
    """The text of one line without its end; None if it is not UTF-8 and `broken` counted it."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        seen = other_form(line) if number == 1 else ""
        fault = f"{path}:{number}: not UTF-8 text (byte {error.start} of the line){seen}"
        refuse(BROKEN_ROW, fault, broken)
        return None
    return text.rstrip("\n").removesuffix("\r")


_OTHER_FORMS = {
    b"\xff\xfe": "UTF-16, as some editors save it: save it as UTF-8",
    b"\xfe\xff": "UTF-16, as some editors save it: save it as UTF-8",
    b"\x1f\x8b": "compressed by gzip: unpack it with gunzip",
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or export it as text",
    b"BZh": "compressed by bzip2: unpack it with bunzip2",
    b"\xfd7zXZ": "compressed by xz: unpack it with unxz",
}


def other_form(content: bytes) -> str:
    """What a file is by its first bytes, where it is not text; for the end of a message."""
    said = (form for start, form in _OTHER_FORMS.items() if content.startswith(start))
    return "".join(f"; it is {form}" for form in said)


def reason_for(fault: BadData) -> str:
    """Under which reason a fault is counted."""
    if isinstance(fault, DuplicateId):
        return DUPLICATE
    return UNKNOWN_LABEL if isinstance(fault, UnknownLabel) else BROKEN_ROW


def refuse(reason: str, place: str, skips: Skips | None) -> None:
    """Count an item that cannot be used, or raise BadData where it is not to be counted."""
    if skips is None:
        raise BadData(place)
    skips.add(reason, place)


def refuse_lost(fault: str, place: str, lost: Skips | None) -> None:
    """Count an image that is not on disk, or raise MissingData where it is not to be counted.

    Args:
        fault: The error's message.
        place: Where the image is named, or should lie, for the count.
        lost: See `Skips`.
    """
    if lost is None:
        raise MissingData(fault)
    lost.add(MISSING_IMAGE, place)


_FEW = 5

Raw = TypeVar("Raw")
Item = TypeVar("Item")


def read_text(path: Path, what: str) -> str:
    """The content of a UTF-8 file, `what` in errors, with its line ends and without a byte order mark."""
    require_file(path, what)
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        seen = other_form(content)
        raise BadData(f"{path}: not UTF-8 text (byte {error.start}){seen}") from None


def require_file(path: Path, what: str) -> None:
    """Refuse a file that is not there (MissingData), or whose content was not fetched (BadData)."""
    if not path.is_file():
        found = "a folder, not a file" if path.is_dir() else "not found"
        if path.exists() and not path.is_dir():
            found = "in a pipe or a device, which is read once; write it to a file first"
        raise MissingData(f"{what} {found}: {path}")
    if path.stat().st_size <= _LFS_LONGEST:
        refuse_pointer(path.read_bytes(), str(path))


class Listings:
    """The files of folders, each listed once.

    A look at each of millions of files takes far longer, on a disk behind a network above all.
    """

    def __init__(self) -> None:
        # By folder as it is named: its absolute path, and the names of its files.
        self._known: dict[str, tuple[str, frozenset[str]]] = {}

    def first_file(self, candidates: Iterable[str | Path]) -> str | None:
        """The first file that is there, as an absolute path: of millions, too many for `Path`."""
        for path in candidates:
            folder, _, name = str(path).rpartition(os.sep)
            whole, names = self.files(folder)
            if name in names:
                return f"{whole}{os.sep}{name}"
        return None

    def files(self, folder: str) -> tuple[str, frozenset[str]]:
        """The absolute path of a folder and the names of its files, none where it is not there."""
        if folder not in self._known:
            whole = os.path.abspath(folder)
            self._known[folder] = whole, _files_in(whole)
        return self._known[folder]


def _files_in(folder: str) -> frozenset[str]:
    """Names of the files in a folder, none where it is not there."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def refuse_pointer(content: bytes, place: str) -> None:
    """Raise BadData for what git-LFS puts in a file's place until its content is fetched."""
    if content.startswith(_LFS):
        raise BadData(
            f"{place} is a git-LFS pointer: its content was not fetched; run 'git lfs pull'"
        )


def read_json(
    path: Path, what: str, of_pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        what: Expected content, for the error where it is not there.
        of_pairs: Makes something else than a dictionary of an object's keys and values.
    """
    try:
        return json.loads(read_text(path, what), object_pairs_hook=of_pairs)
    except json.JSONDecodeError as error:
        raise BadData(
            f"{path}: malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise BadData(f"{path}: malformed JSON: {undecodable(error)}") from None


def undecodable(error: Exception) -> str:
    """Why text that looks like JSON cannot be decoded."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number with more digits than can be converted"


def read_json_lines(
    path: Path, what: str, broken: Skips | None = None
) -> Iterator[tuple[Any, str]]:
    """Stream a file with one JSON value per line, each with its place; blank lines are skipped."""
    require_file(path, what)
    for number, line in numbered_lines(path, broken):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                fault = f"{place}: malformed JSON at column {error.colno}: {error.msg}"
                refuse(BROKEN_ROW, fault, broken)
                continue
            except (RecursionError, ValueError) as error:
                refuse(BROKEN_ROW, f"{place}: malformed JSON: {undecodable(error)}", broken)
                continue
            yield value, place


def read_rows(
    path: Path, what: str, broken: Skips | None = None
) -> Iterator[tuple[list[str], str]]:
    """Stream the rows of a TSV file without quoting, each with its place; empty lines are skipped."""
    require_file(path, what)
    for number, line in numbered_lines(path, broken):
        if line:
            yield line.split("\t"), f"{path}: line {number}"


def parsed(
    records: Iterable[tuple[Raw, str]],
    parse: Callable[[Raw, str], Item],
    broken: Skips | None = None,
) -> Iterator[Item]:
    """What a parser makes of records; `broken` counts those for which it raises BadData.

    Args:
        records: Record and place, for messages.
        parse: Makes an item of both.
        broken: See `Skips`.
    """
    for record, place in records:
        try:
            item = parse(record, place)
        except BadData as error:
            refuse(reason_for(error), str(error), broken)
            continue
        yield item


def without_repeats(
    found: Iterable[Item],
    key: Callable[[Item], Hashable],
    name: str,
    path: str | Path,
    broken: Skips | None = None,
) -> list[Item]:
    """Items whose id has not come before; `broken` counts the others.

    Args:
        found: The items.
        key: Gives the id of one.
        name: What the id is called in the file.
        path: The file.
        broken: See `Skips`.
    """
    if broken is None:
        kept = list(found)
        refuse_repeated(map(key, kept), name, path)
        return kept
    first: dict[Hashable, Item] = {}
    for item in found:
        if key(item) in first:
            broken.add(DUPLICATE, f"{path}: {name} {key(item)}")
        first.setdefault(key(item), item)
    return list(first.values())


def field(record: Any, name: str, kind: type, place: str) -> Any:
    """A field of a JSON object at a place, of the type that it must have; booleans are not integers."""
    if not isinstance(record, dict):
        raise BadData(f"{place}: expected an object, found {type(record).__name__}")
    if name not in record:
        raise BadData(f"{place}: field {name!r} is missing")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadData(
            f"{place}: field {name!r} must be of type {kind.__name__}, found {type(value).__name__}"
        )
    return value


def integer(record: Any, name: str, place: str) -> int:
    """As `field`, for a whole number."""
    if type(record) is dict and type(value := record.get(name)) is int:  # of millions, all but few
        return value
    return int(field(record, name, int, place))


def identifier(record: Any, name: str, place: str) -> int:
    """As `integer`, or a number such as 42.0, which JSON does not tell from 42.

    Tables that once had an empty cell write ids so, and the official evaluations take them.
    """
    value = record.get(name) if isinstance(record, dict) else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return integer(record, name, place)


def text(record: Any, name: str, place: str) -> str:
    """As `field`, for a string."""
    if type(record) is not dict or type(value := record.get(name)) is not str:
        value = str(field(record, name, str, place))
    return value if value.isascii() else whole(value, f"{place}: field {name!r}")


def whole(value: str, place: str) -> str:
    """Refuse half of a surrogate pair, which no file and no program takes as text.

    JSON has them where a text was cut to a length in the middle of an emoji.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = ascii(value[error.start])
        raise BadData(
            f"{place} has an unpaired surrogate, {half}, as from a text cut inside an emoji; "
            "delete it or write \\ufffd"
        ) from None
    return value


def on_one_line(texts: list[str]) -> list[str]:
    """Texts with single spaces in the place of any white space, and none around them."""
    joined = "\0".join(texts)
    spaces = "  ", "\0 ", " \0"
    # White space other than " " is not printable; millions of captions have none.
    if (
        not any(odd in joined for odd in spaces)
        and joined == joined.strip()
        and joined.replace("\0", "").isprintable()
    ):
        return texts
    return [" ".join(text.split()) for text in texts]


def items(record: Any, name: str, place: str) -> list[Any]:
    """As `field`, for a list."""
    value: list[Any] = field(record, name, list, place)
    return value


def _is_absent(record: Any, name: str) -> bool:
    return isinstance(record, dict) and record.get(name) is None


def optional_text(record: Any, name: str, place: str) -> str | None:
    """As `text`, None where the field is missing or null."""
    return None if _is_absent(record, name) else text(record, name, place)


def optional_integer(record: Any, name: str, place: str) -> int | None:
    """As `integer`, None where the field is missing or null."""
    return None if _is_absent(record, name) else integer(record, name, place)


def refuse_repeated(identifiers: Iterable[Hashable], name: str, path: str | Path) -> None:
    """Raise BadData where ids, which `path` calls `name`, come twice; the first few are named."""
    repeated = [key for key, count in Counter(identifiers).items() if count > 1]
    if repeated:
        raise BadData(f"{path}: {name} occurs more than once: {first_few(repeated)}")


def first_few(values: Iterable[object]) -> str:
    """The first five values of a list, and how many more there are."""
    listed = list(values)
    shown = ", ".join(str(value) for value in listed[:_FEW])
    more = len(listed) - _FEW
    return f"{shown} and {more:,} more" if more > 0 else shown


def read_predictions(path: Path, what: str, id_field: str, text_field: str) -> dict[int, str]:
    """Somebody's predictions, as the COCO and VQA servers take them: a list of {id, text}.

    Args:
        path: The JSON file.
        what: Expected content, for the error where it is not there.
        id_field: Name of the whole number that says which item is meant.
        text_field: Name of the prediction.

    Returns:
        The text as given, by id.
    """
    content = read_json(path, what)
    if not isinstance(content, list):
        raise BadData(
            f"{path}: expected a list of {{{id_field}, {text_field}}}, as the server takes it"
        )
    pairs = [
        (identifier(record, id_field, place), text(record, text_field, place))
        for record, place in ((one, f"{path}: [{i}]") for i, one in enumerate(content))
    ]
    refuse_repeated((key for key, _ in pairs), id_field, path)
    return dict(pairs)
