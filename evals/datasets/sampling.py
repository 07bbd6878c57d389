"""A few images of a data set with their annotations, evenly spread over a split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evals.datasets.entry import Sample
from evals.datasets.registry import all_data_sets, select
from unimo2.errors import UsageError
from unimo2.formats.parsing import Skips


@dataclass(frozen=True)
class ChosenSamples:
    """Samples chosen from a split."""

    data_set: str  # its name
    split: str  # which
    samples: tuple[Sample, ...]  # evenly spread over the split, in its order
    total: int  # how many images the split has
    skipped: tuple[str, ...]  # what cannot be shown, one line a reason


def shown_data_sets() -> list[str]:
    """Names of the data sets that have images to show."""
    return sorted(entry.name for entry in all_data_sets().values() if entry.samples is not None)


def choose(name: str, root: Path, split: str | None, count: int) -> ChosenSamples:
    """Choose samples of a split.

    Args:
        name: Name of a data set or its benchmark, spelled with "-" or "_".
        root: The data root.
        split: None for the first that the data set has.
        count: How many images, 1 or more; all if there are fewer.

    Raises:
        UsageError: An unknown data set or split, or a data set without images.
    """
    (data_set,) = select([name])
    samples = data_set.samples
    if samples is None:
        known = ", ".join(shown_data_sets())
        raise UsageError(f"{data_set.name} has no images to show; these have: {known}")
    split = samples.splits[0] if split is None else split
    if split not in samples.splits:
        known = ", ".join(samples.splits)
        raise UsageError(f"unknown split {split!r}; those of {data_set.name} are {known}")
    skips = Skips()
    chosen, total = spread(samples.read(root, split, skips), count)
    return ChosenSamples(data_set.name, split, tuple(chosen), total, tuple(skips.lines()))


def spread(items: Iterable[Sample], count: int) -> tuple[list[Sample], int]:
    """Choose evenly from a stream of unknown length, holding only a few items in memory.

    Returns:
        The chosen items (`count` of them, or all) in their order, and how many there were.
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
