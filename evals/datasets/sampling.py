"""A few pictures of a data set with what it says of them, evenly spread over a split."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from evals.datasets import samples
from evals.datasets.registry import select
from unimo2.errors import UsageError
from unimo2.formats.parsing import Skips
from unimo2.formats.shards import ImageSource


@dataclass(frozen=True)
class Sample:
    """One picture and what the data set says of it.

    Attributes:
        path: Of the picture, or its place in a shard.
        title: What it is called.
        lines: Captions, labels, questions with their answers.
    """

    path: ImageSource
    title: str
    lines: tuple[str, ...]


Read = Callable[[Path, str, Skips], Iterable[Sample]]
"""Takes the data root, a split, and what counts the items that cannot be shown."""


@dataclass(frozen=True)
class Samples:
    """How a data set is shown.

    Attributes:
        splits: Their names; the first one is shown unless told otherwise.
        read: Gives all samples of a split, through the data set's own reader.
    """

    splits: tuple[str, ...]
    read: Read


@dataclass(frozen=True)
class Chosen:
    """What was chosen of a split.

    Attributes:
        data_set: Its name.
        split: Which.
        samples: Evenly spread over the split, in its order.
        total: How many pictures the split has.
        skipped: What cannot be shown, one line a reason.
    """

    data_set: str
    split: str
    samples: tuple[Sample, ...]
    total: int
    skipped: tuple[str, ...]


def shown_data_sets() -> list[str]:
    """Names of the data sets that have pictures to show."""
    return sorted(module.name for module in pkgutil.iter_modules(samples.__path__))


def choose(name: str, root: Path, split: str | None, count: int) -> Chosen:
    """Choose samples of a split.

    Args:
        name: Of a data set or its benchmark, spelled with "-" or "_".
        root: The data root.
        split: Which; None for the first that the data set has.
        count: How many pictures, 1 or more; all if there are fewer.

    Returns:
        The choice.

    Raises:
        UsageError: An unknown data set or split, or a data set without pictures.
        MissingData: The data set is not there.
        BadData: It cannot be read.
    """
    (data_set,) = select([name.replace("-", "_")])
    if data_set.name not in shown_data_sets():
        known = ", ".join(shown_data_sets())
        raise UsageError(f"{data_set.name} has no pictures to show; these have: {known}")
    known_as: Samples = import_module(f"{samples.__name__}.{data_set.name}").SAMPLES
    split = known_as.splits[0] if split is None else split
    if split not in known_as.splits:
        known = ", ".join(known_as.splits)
        raise UsageError(f"unknown split {split!r}; those of {data_set.name} are {known}")
    skips = Skips()
    chosen, total = spread(known_as.read(root, split, skips), count)
    return Chosen(data_set.name, split, tuple(chosen), total, tuple(skips.lines()))


def spread(items: Iterable[Sample], count: int) -> tuple[list[Sample], int]:
    """Choose evenly from a stream of unknown length, holding only a few items in memory.

    Args:
        items: the stream.
        count: how many to choose, 1 or more.

    Returns:
        The chosen items in their order, and how many there were.
    """
    kept: list[Sample] = []
    step, total = 1, 0
    for total, item in enumerate(items, start=1):
        if (total - 1) % step == 0:
            kept.append(item)
        if len(kept) > 8 * count:  # every step-th item is held: hold every second one of these
            kept, step = kept[::2], 2 * step
    chosen = min(count, len(kept))
    return [kept[place * len(kept) // chosen] for place in range(chosen)], total


def by_picture(lines: Iterable[tuple[Path, str]]) -> Iterator[Sample]:
    """Put together what is said of the same picture, in the order in which pictures first come."""
    grouped: dict[Path, list[str]] = {}
    for path, line in lines:
        grouped.setdefault(path, []).append(line)
    for path, own in grouped.items():
        yield Sample(path, path.name, tuple(own))
