"""Matthews, Pearson and Spearman correlations with bootstrap intervals over items.

The figures are those of scikit-learn and scipy; only the resamples are computed here, many at once.
"""

from __future__ import annotations

import warnings

import numpy as np

from evals.metrics.bootstrap import draws, of_draws, resampled_sums
from evals.metrics.ranking import Floats, Ints, Metric
from unimo2.errors import UndefinedMetric

_NO_SPREAD = 1e-12  # a variance below this share of the second moment is rounding


def matthews(predictions: Ints, targets: Ints, seed: int) -> Metric:
    """Matthews correlation of two classes, times 100; 0 where it is undefined, as scikit-learn says.

    Args:
        predictions: `[items]`, 0 or 1.
        targets: `[items]`, 0 or 1.
        seed: Seed for the bootstrap over items.

    Returns:
        The metric; guessing gives 0.
    """
    from sklearn.metrics import matthews_corrcoef  # like scipy, slow to import for a listing

    table = matthews_table(predictions, targets)
    drawn = matthews_of(resampled_sums(table, np.arange(len(table)), seed))
    return of_draws(float(matthews_corrcoef(targets, predictions)), drawn, len(table), 0.0)


def matthews_table(predictions: Ints, targets: Ints) -> Floats:
    """Confusion matrix cell of each item: `[items, 4]` for `matthews_of`."""
    cells = [(predictions == a) & (targets == b) for a in (0, 1) for b in (0, 1)]
    return np.stack(cells, axis=1).astype(np.float64)


def matthews_of(sums: Floats) -> Floats:
    """Matthews correlation of summed tables, `[draws, 4]` to `[draws]`; 0 where it is undefined."""
    both_0, missed, false, both_1 = sums.T
    sides = (both_1 + false) * (both_1 + missed) * (both_0 + false) * (both_0 + missed)
    agreement = both_1 * both_0 - false * missed
    return np.divide(agreement, np.sqrt(sides), out=np.zeros_like(sides), where=sides > 0)


def pearson(predictions: Floats, targets: Floats, seed: int) -> Metric:
    """Pearson correlation, times 100.

    Args:
        predictions: `[items]`.
        targets: `[items]`.
        seed: Seed for the bootstrap over items.

    Returns:
        The metric; guessing gives 0.

    Raises:
        UndefinedMetric: All predictions or all targets are the same, or there are fewer than two.
    """
    from scipy.stats import pearsonr

    _require_spread(predictions, targets)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nearly equal values, which the interval shows
        value = _defined(float(pearsonr(predictions, targets).statistic))
    moments = pearson_moments(_scaled(predictions), _scaled(targets))
    sums = resampled_sums(moments, np.arange(len(moments)), seed)
    return of_draws(value, pearson_of(sums), len(moments), 0.0)


def pearson_moments(x: Floats, y: Floats) -> Floats:
    """Per-item terms of Pearson's correlation: `[items, 6]` for `pearson_of`."""
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def pearson_of(sums: Floats) -> Floats:
    """Pearson correlation of summed moments, `[draws, 6]` to `[draws]`; NaN without any spread."""
    return _from_moments(sums.T)


def spearman(predictions: Floats, targets: Floats, seed: int) -> Metric:
    """Spearman's rank correlation, times 100; arguments, result and errors as for `pearson`.

    Each resample is ranked again, equal values sharing the mean of their ranks.
    """
    from scipy.stats import spearmanr

    _require_spread(predictions, targets)
    drawn = []
    for counts in draws(len(predictions), seed):
        drawn.append(_of_ranks(_ranks(predictions, counts), _ranks(targets, counts), counts))
    value = _defined(float(spearmanr(predictions, targets).statistic))
    return of_draws(value, np.concatenate(drawn), len(predictions), 0.0)


def spearman_of(given: Floats, truth: Floats, counts: Ints) -> Floats:
    """Spearman correlation of several draws, each ranked separately.

    Args:
        given: Predictions, `[draws, items]`: a row for each draw.
        truth: `[items]`.
        counts: `[draws, items]`, how often each item is there.

    Returns:
        `[draws]`; NaN where one side has no spread.
    """
    x = np.concatenate([_ranks(row, count[None]) for row, count in zip(given, counts, strict=True)])
    return _of_ranks(x, _ranks(truth, counts), counts)


def _of_ranks(x: Floats, y: Floats, counts: Ints) -> Floats:
    """Pearson correlation of ranks that count so many times; all are `[draws, items]`."""
    weighted = [counts, counts * x, counts * y, counts * x * x, counts * y * y, counts * x * y]
    return _from_moments(np.stack([part.sum(axis=1) for part in weighted]))


def _ranks(values: Floats, counts: Ints) -> Floats:
    """Ranks in each resample, less half the number of items: `[resamples, items]`."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    copies = np.add.reduceat(counts[:, order], starts, axis=1)  # [resamples, different values]
    last = np.cumsum(copies, axis=1)
    ranks: Floats = (last - (copies - 1) / 2 - counts.shape[1] / 2)[:, place]
    return ranks


def _from_moments(moments: Floats) -> Floats:
    """Pearson correlation of each resample, NaN where one side has no spread.

    `moments` is `[6, resamples]`: how many items, and their sums of x, y, x², y² and xy.
    """
    count, x, y, xx, yy, xy = moments
    spread_x, spread_y = count * xx - x * x, count * yy - y * y
    defined = (spread_x > _NO_SPREAD * count * xx) & (spread_y > _NO_SPREAD * count * yy)
    product = np.where(defined, spread_x * spread_y, 1.0)
    result: Floats = np.where(defined, (count * xy - x * y) / np.sqrt(product), np.nan)
    return result


def _scaled(values: Floats) -> Floats:
    """The values about 0 and up to 1, so that their squares neither overflow nor vanish."""
    centred = values - values.mean()
    # By a power of two, which rounds nothing.
    scaled: Floats = np.ldexp(centred, -np.frexp(np.abs(centred).max())[1])
    return scaled


def _defined(correlation: float) -> float:
    if not np.isfinite(correlation):
        raise UndefinedMetric(
            f"the correlation is {correlation}: the predictions are too large or too alike"
        )
    return correlation


def _require_spread(predictions: Floats, targets: Floats) -> None:
    for name, values in (("predictions", predictions), ("targets", targets)):
        if values.min() == values.max():
            raise UndefinedMetric(
                f"all {len(values):,} {name} are {values[0]:g}: a correlation with them is undefined"
            )
