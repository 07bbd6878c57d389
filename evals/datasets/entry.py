"""What is said of a data set, and what a look at it on disk brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evals.datasets.images import ImageCheck
    from unimo2.formats.parsing import Skips
    from unimo2.formats.shards import ImageSource

ROLES = ("benchmark", "pairs", "images", "text")
"""What a data set is for: to measure on, or as which kind of pre-training corpus."""


@dataclass(frozen=True)
class Place:
    """A file or folder that belongs to a data set.

    Attributes:
        paths: Alternatives, relative to the data root; one of them has to be there. A folder's
            path ends with "/"; the name of a file may hold "*".
        what: What it holds.
        needed: Without it, nothing of the data set can be used.
    """

    paths: tuple[str, ...]
    what: str
    needed: bool = True

    @classmethod
    def files(cls, what: str, *paths: Path, needed: bool = True) -> Place:
        """Alternatives that are files."""
        return cls(tuple(path.as_posix() for path in paths), what, needed)

    @classmethod
    def folders(cls, what: str, *paths: Path, needed: bool = False) -> Place:
        """Alternatives that are folders."""
        return cls(tuple(f"{path.as_posix()}/" for path in paths), what, needed)


@dataclass(frozen=True)
class Official:
    """How much a split of the data set holds as it is distributed.

    Attributes:
        split: Its name, as this project names it.
        unit: What is counted.
        count: How many.
        source: Where the number is from.
        paper: What the paper prints for it in its table 6 or 7; "" if it does not say.
        about: The count is a rounded one, and nothing is concluded from a small difference.
    """

    split: str
    unit: str
    count: int
    source: str
    paper: str = ""
    about: bool = False


@dataclass
class Findings:
    """What a verifier saw.

    Attributes:
        counts: (split, unit) -> how many there are on disk.
        problems: What is wrong, one line each.
        notes: What one should know, though it is not wrong.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Verifier = Callable[[Path, "ImageCheck"], Findings]
"""Takes the data root and where to show every image; raises MissingData or BadData where the data
set as a whole cannot be read."""


@dataclass(frozen=True)
class Sample:
    """One image and what the data set says of it.

    Attributes:
        path: Of the image, or its place in a shard.
        title: What it is called.
        lines: Captions, labels, questions with their answers.
    """

    path: ImageSource
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class SampleReader:
    """How a data set is shown.

    Attributes:
        splits: Their names; the first one is shown unless told otherwise.
        read: Gives all samples of a split: takes the data root, the split, and what counts the
            items that cannot be shown.
    """

    splits: tuple[str, ...]
    read: Callable[[Path, str, Skips], Iterable[Sample]]


@dataclass(frozen=True)
class HubFile:
    """One official file and the split of the hub that it is made of.

    Attributes:
        split: As the hub names it.
        name: Of the official file.
        columns: Of the official file; none where it holds lines of text.
        header: Whether it begins with the columns' names.
    """

    split: str
    name: str
    columns: tuple[str, ...] = ()
    header: bool = True


@dataclass(frozen=True)
class HubForm:
    """Where a data set lies on the Hugging Face hub, and what is made of it.

    Attributes:
        source: Repository of the hub.
        config: Its configuration.
        folder: Of the files, below the data root.
        files: What is written.
        texts: Column on the hub -> column of the official file.
    """

    source: str
    config: str
    folder: str
    files: tuple[HubFile, ...]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name: On the command line.
        title: Its full name.
        role: One of `ROLES`.
        about: What it is.
        licence: In words, with what it is restricted to.
        source: Where to get it: the official page.
        places: What has to lie where.
        official: What it holds as distributed.
        verify: Counts and checks it.
        notes: What a reader of the numbers must know.
        look_alikes: A number of items, in the unit of the first official count, that a split may
            have by mistake -> what has that number.
        benchmark: Name of the benchmark that measures on it; None for corpora.
        samples: How it is shown; None for texts.
        hub: Its form on the hub; None if it cannot be fetched from there.
    """

    name: str
    title: str
    role: str
    about: str
    licence: str
    source: str
    places: tuple[Place, ...]
    official: tuple[Official, ...]
    verify: Verifier
    notes: tuple[str, ...] = ()
    look_alikes: Mapping[int, str] = field(default_factory=dict)
    benchmark: str | None = None
    samples: SampleReader | None = None
    hub: HubForm | None = None

    @property
    def main_unit(self) -> str:
        """What its splits are counted in first of all."""
        return self.official[0].unit if self.official else "images"
