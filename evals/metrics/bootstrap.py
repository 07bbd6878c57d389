"""Bootstrap intervals of anything that is a function of sums over items.

Means, Matthews and Pearson correlations, and corpus scores such as BLEU and METEOR are functions of
sums of per-item statistics. A resample draws groups of items (the questions of an image together)
with replacement, so its sums are the groups' sums weighted by how often each was drawn, exactly as if
its items had been copied. The draws are those of `evals.metrics.ranking.bootstrap_counts`, made in portions
so that 50,000 images fit a small machine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evals.metrics.ranking import RESAMPLES, Floats, Ints, Metric, within_noise_of_chance
from unimo2.console import tracked

_PORTION = 1 << 23  # draws held at once
_ROUNDING = 1e-9  # of figures in percent


def grouping(keys: Sequence[Hashable]) -> Ints:
    """Number the groups of items.

    Args:
        keys: `[items]`, equal for items that are drawn together.

    Returns:
        `[items]`, from 0, in the order in which groups first occur.
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def draws(groups: int, seed: int, resamples: int = RESAMPLES) -> Iterator[Ints]:
    """How often each group is drawn in each resample, some resamples at a time.

    Args:
        groups: Units drawn with replacement.
        seed: Seed for the draws.
        resamples: Their number.

    Yields:
        `[portion, groups]`; all of them together are `bootstrap_counts(groups, resamples, seed)`.
    """
    generator = np.random.default_rng(seed)
    share = np.full(groups, 1.0 / groups)
    portion = max(1, _PORTION // groups)
    for start in tracked(range(0, resamples, portion), "resampling", "portions"):
        yield generator.multinomial(groups, share, size=min(portion, resamples - start))


def resampled_sums(
    statistics: Floats, group: Ints, seed: int, resamples: int = RESAMPLES
) -> Floats:
    """Sums over the items of each resample.

    Args:
        statistics: `[items, statistics]`.
        group: `[items]`, from `grouping`.
        seed: Seed for the draws.
        resamples: Their number.

    Returns:
        `[resamples, statistics]`.
    """
    groups = int(group.max()) + 1
    by_group = np.stack(
        [np.bincount(group, weights=column, minlength=groups) for column in statistics.T], axis=1
    )
    return np.concatenate(
        [counts.astype(np.float64) @ by_group for counts in draws(groups, seed, resamples)]
    )


def interval(values: Floats, value: float) -> tuple[float, float]:
    """The 95 % percentile interval of a figure's values in the resamples.

    Args:
        values: `[resamples]`; those in which the figure is undefined are NaN and do not count.
        value: The figure itself. Resamples add up in another order than all items do; an end that
            misses the figure by rounding alone does not leave it outside.

    Returns:
        The 2.5th and 97.5th percentile.
    """
    low, high = (float(end) for end in np.nanpercentile(values, [2.5, 97.5]))
    if 0.0 < low - value < _ROUNDING:
        low = value
    if 0.0 < value - high < _ROUNDING:
        high = value
    return low, high


def of_draws(value: float, drawn: Floats, items: int, chance: float | None = None) -> Metric:
    """A figure that is not a mean over items, in percent, with the interval of its resamples.

    Args:
        value: of all items.
        drawn: `[resamples]`.
        items: Their number.
        chance: Result of guessing; None where that has no meaning.

    Returns:
        The metric; it is at chance where the interval reaches down to what guessing gives.
    """
    value = 100.0 * value
    low, high = interval(100.0 * drawn, value)
    return Metric(
        value=value,
        n=items,
        ci95=(low, high),
        chance=None if chance is None else 100.0 * chance,
        at_chance=chance is not None and low <= 100.0 * chance,
    )


def means(
    values: Floats,
    subsets: Mapping[str, NDArray[np.bool_]],
    group: Ints,
    seed: int,
    chance: float | None = None,
) -> dict[str, Metric]:
    """Means of a score a item, over all items and over some of them, in percent.

    Args:
        values: `[items]`, 0 to 1.
        subsets: Which items, by the name of the metric: `[items]`, at least one each.
        group: `[items]`, from `grouping`.
        seed: Seed for the draws.
        chance: Expected result of guessing, 0 to 1; None where that has no meaning.

    Returns:
        The metrics; items of one group are drawn together.
    """
    masks = np.stack(list(subsets.values()), axis=1).astype(np.float64)  # [items, subsets]
    sums = resampled_sums(np.concatenate([masks * values[:, None], masks], axis=1), group, seed)
    found = {}
    for place, (name, mask) in enumerate(subsets.items()):
        # Term after term as in the official VQA code: where the third place is a five, the two places
        # that it rounds to depend on the order of the additions.
        items = int(mask.sum())
        total = float(sum(values[mask].tolist()))
        size = sums[:, len(subsets) + place]
        drawn = np.divide(sums[:, place], size, out=np.full(len(size), np.nan), where=size > 0)
        value = 100.0 * total / items
        low, high = interval(100.0 * drawn, value)
        units = len(np.unique(group[mask]))
        found[name] = Metric(
            value=value,
            n=items,
            ci95=(low, high),
            chance=None if chance is None else 100.0 * chance,
            at_chance=chance is not None
            and within_noise_of_chance(total / items, low / 100.0, chance, units),
        )
    return found


def by_label(name: str, labels: Sequence[str | None]) -> dict[str, NDArray[np.bool_]]:
    """Subsets of the items by a label, for `means`.

    Args:
        name: What the label is.
        labels: `[items]`; None belongs to no subset.

    Returns:
        "accuracy[name=label]" and the items that have it, by label in alphabetical order.
    """
    array = np.array([label if label is not None else "" for label in labels], dtype=object)
    known = sorted({label for label in labels if label is not None})
    return {f"accuracy[{name}={label}]": array == label for label in known}
