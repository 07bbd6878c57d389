"""What is said of a data set, and what a look at it on disk brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evals.datasets.images import ImageCheck

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

    @property
    def main_unit(self) -> str:
        """What its splits are counted in first of all."""
        return self.official[0].unit if self.official else "images"
