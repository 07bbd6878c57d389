"""Description of a data set, and the result of checking it on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unimo2.errors import Unimo2Error
from unimo2.formats.shards import ImageSource

if TYPE_CHECKING:
    from unimo2.formats.parsing import Skips
    from unimo2.formats.shards import ImageSource

_CHUNK = 256  # images decoded together; bounds what waits in memory


class ImageCheck:
    """Takes the path of every image that is there; decodes them all, or only counts them."""

    def __init__(
        self, decodes: bool = False, on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Set up.

        Args:
            decodes: Decode the images; otherwise they are only counted.
            on_progress: Called with the number of images decoded so far.
        """
        self.decodes = decodes
        self.seen = 0
        self.undecodable = 0
        self.first = ""  # the message about the first of them
        self._on_progress = on_progress
        self._waiting: list[ImageSource] = []

    def see(self, path: ImageSource) -> None:
        """Take one image."""
        self.seen += 1
        if self.decodes:
            self._waiting.append(path)
            if len(self._waiting) >= _CHUNK:
                self._decode()

    def problems(self) -> list[str]:
        """Finish; a line about the images that cannot be decoded, if there are any."""
        self._decode()
        if not self.undecodable:
            return []
        return [f"{self.undecodable:,} of {self.seen:,} images cannot be read, first: {self.first}"]

    def _decode(self) -> None:
        if not self._waiting:
            return
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
            faults = [fault for fault in pool.map(_fault, self._waiting) if fault]
        self.first = self.first or next(iter(faults), "")
        self.undecodable += len(faults)
        self._waiting.clear()
        if self._on_progress is not None:
            self._on_progress(self.seen)


def _fault(path: ImageSource) -> str:
    """Why an image cannot be decoded; "" if it can."""
    from unimo2.formats.images import load_image

    try:
        load_image(path)
    except Unimo2Error as error:
        return str(error)
    return ""


ROLES = ("benchmark", "pairs", "images", "text")
"""Role of a data set: benchmark, or a kind of pre-training corpus."""


@dataclass(frozen=True)
class RequiredPath:
    """A file or folder that belongs to a data set."""

    # alternatives, relative to the data root; one of them has to be there. A folder's path ends
    # with "/"; the name of a file may hold "*".
    paths: tuple[str, ...]
    what: str  # what it holds
    needed: bool = True  # without it, nothing of the data set can be used

    @classmethod
    def files(cls, what: str, *paths: Path, needed: bool = True) -> RequiredPath:
        """Alternatives that are files."""
        return cls(tuple(path.as_posix() for path in paths), what, needed)

    @classmethod
    def folders(cls, what: str, *paths: Path, needed: bool = False) -> RequiredPath:
        """Alternatives that are folders."""
        return cls(tuple(f"{path.as_posix()}/" for path in paths), what, needed)


@dataclass(frozen=True)
class OfficialCount:
    """Official size of a split."""

    split: str  # its name, as this project names it
    unit: str  # what is counted
    count: int  # how many
    source: str  # where the number is from
    paper: str = ""  # what the paper prints for it in its table 6 or 7; "" if it does not say
    # the count is a rounded one, and nothing is concluded from a small difference
    about: bool = False


@dataclass
class VerificationReport:
    """Findings of a verifier."""

    # (split, unit) -> how many there are on disk
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # what is wrong, one line each
    notes: list[str] = field(default_factory=list)  # what one should know, though it is not wrong


Verifier = Callable[[Path, "ImageCheck"], VerificationReport]
"""Takes the data root and where to show every image; raises MissingData or BadData where the data
set as a whole cannot be read."""


@dataclass(frozen=True)
class Sample:
    """One image and what the data set says of it."""

    path: ImageSource  # of the image, or its place in a shard
    title: str  # what it is called
    lines: tuple[str, ...]  # captions, labels, questions with their answers


@dataclass(frozen=True)
class SampleReader:
    """Reads samples of a data set for display."""

    splits: tuple[str, ...]  # their names; the first one is shown unless told otherwise
    # gives all samples of a split: takes the data root, the split, and what counts the items that
    # cannot be shown
    read: Callable[[Path, str, Skips], Iterable[Sample]]


@dataclass(frozen=True)
class HubFile:
    """One official file and the split of the hub that it is made of."""

    split: str  # as the hub names it
    name: str  # of the official file
    columns: tuple[str, ...] = ()  # of the official file; none where it holds lines of text
    header: bool = True  # whether it begins with the columns' names


@dataclass(frozen=True)
class HubForm:
    """Source of a data set on the Hugging Face hub, and the files made from it."""

    source: str  # repository of the hub
    config: str  # its configuration
    folder: str  # of the files, below the data root
    files: tuple[HubFile, ...]  # what is written
    texts: Mapping[str, str]  # column on the hub -> column of the official file


@dataclass(frozen=True)
class DataSet:
    """One data set."""

    name: str  # on the command line
    title: str  # its full name
    role: str  # one of `ROLES`
    about: str  # what it is
    licence: str  # in words, with what it is restricted to
    source: str  # where to get it: the official page
    places: tuple[RequiredPath, ...]  # what has to lie where
    official: tuple[OfficialCount, ...]  # what it holds as distributed
    verify: Verifier  # counts and checks it
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know
    # A number of items, in the unit of the first official count, that a split may have by mistake
    # -> what has that number
    look_alikes: Mapping[int, str] = field(default_factory=dict)
    benchmark: str | None = None  # name of the benchmark that measures on it; None for corpora
    samples: SampleReader | None = None  # how it is shown; None for texts
    hub: HubForm | None = None  # its form on the hub; None if it cannot be fetched from there

    @property
    def main_unit(self) -> str:
        """Main unit of its splits."""
        return self.official[0].unit if self.official else "images"
