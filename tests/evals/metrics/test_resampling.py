"""Intervals from resampled sums, against resamples that are really made."""

import numpy as np
import pytest
from scipy import stats

from evals.metrics import bootstrap
from evals.metrics.ranking import bootstrap_counts, mean_interval


def test_portions_draw_what_one_call_draws(monkeypatch):
    """Against `bootstrap_counts`, which draws all resamples at once."""
    monkeypatch.setattr(bootstrap, "_PORTION", 100)
    parts = list(bootstrap.draws(17, seed=3, resamples=50))
    assert len(parts) == 10
    assert (np.concatenate(parts) == bootstrap_counts(17, 50, seed=3)).all()


def test_sums_are_those_of_copied_items():
    """Against a loop that copies the items of the drawn groups."""
    random = np.random.default_rng(0)
    group = random.integers(0, 5, size=23)
    group[:5] = range(5)
    statistics = random.random((23, 3))
    found = bootstrap.resampled_sums(statistics, group, seed=1, resamples=40)
    for row, counts in zip(found, bootstrap_counts(5, 40, seed=1), strict=True):
        copied = np.repeat(statistics, counts[group], axis=0)
        assert row == pytest.approx(copied.sum(axis=0))


def test_groups_are_numbered_as_they_come():
    """Against the numbers by hand."""
    assert bootstrap.grouping(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]


def test_means_and_their_intervals():
    """Against the plain mean and `mean_interval`, for all items and for some."""
    random = np.random.default_rng(2)
    values = (random.random(200) < 0.6).astype(float)
    group = np.arange(200) // 2
    labels = np.where(np.arange(200) % 4 < 2, "even", None)
    subsets = {"accuracy": np.ones(200, dtype=bool), **bootstrap.by_label("kind", list(labels))}
    found = bootstrap.means(values, subsets, group, seed=4, chance=0.3)
    counts = bootstrap_counts(100, 2000, seed=4)
    whole = found["accuracy"]
    assert whole.value == pytest.approx(100 * values.mean())
    assert np.array(whole.ci95) / 100 == pytest.approx(mean_interval(values, group, counts))
    assert (whole.n, whole.chance, whole.at_chance) == (200, 30.0, False)
    some = found["accuracy[kind=even]"]
    mask = labels == "even"
    in_group = counts[:, np.unique(group[mask])]
    by_group = values[mask].reshape(-1, 2)
    drawn = in_group @ by_group.sum(axis=1) / (2 * in_group.sum(axis=1))
    assert some.value == pytest.approx(100 * values[mask].mean())
    assert np.array(some.ci95) / 100 == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert some.n == 100


def test_resamples_without_any_item_of_a_subset_do_not_count():
    """Against the only value there is: one item of three is in the subset, and it is right."""
    subsets = {"all": np.ones(3, dtype=bool), "one": np.array([True, False, False])}
    found = bootstrap.means(np.array([1.0, 0.0, 0.0]), subsets, np.arange(3), seed=0)
    assert (found["one"].value, found["one"].ci95, found["one"].n) == (100.0, (100.0, 100.0), 1)
    assert found["one"].chance is None and not found["one"].at_chance


def test_guessing_is_marked():
    """Against the chance level: half of forty coins."""
    values = np.tile([0.0, 1.0], 20)
    whole = {"accuracy": np.ones(40, dtype=bool)}
    assert bootstrap.means(values, whole, np.arange(40), seed=0, chance=0.5)["accuracy"].at_chance


def test_an_interval_that_reaches_chance_marks_what_counting_would_not():
    """Against scipy's binomial law, which has 27 of 40 units right beat a coin.

    One unit holds 40 of the 79 items, all right; resamples without it are below one half.
    """
    group = np.concatenate([np.zeros(40, dtype=int), np.arange(1, 40)])
    values = np.concatenate([np.ones(40 + 15), np.zeros(24)])
    assert stats.binom.sf(int(40 * values.mean()) - 1, 40, 0.5) < 0.025
    whole = {"accuracy": np.ones(79, dtype=bool)}
    found = bootstrap.means(values, whole, group, seed=0, chance=0.5)["accuracy"]
    assert found.ci95[0] < 50 < found.value and found.at_chance


@pytest.mark.parametrize(("groups", "at_chance"), [(5, True), (6, False)])
def test_groups_count_against_luck_and_not_their_items(groups, at_chance):
    """Against 1/32 and 1/64: forty items of each group are right or wrong together."""
    items = 40 * groups
    whole = {"accuracy": np.ones(items, dtype=bool)}
    group = np.repeat(np.arange(groups), 40)
    found = bootstrap.means(np.ones(items), whole, group, seed=0, chance=0.5)["accuracy"]
    assert (found.value, found.n, found.at_chance) == (100.0, items, at_chance)


def test_rounding_leaves_no_figure_outside_its_interval():
    """Against the figure itself: all items have the same score, so every resample gives that score."""
    whole = {"accuracy": np.ones(7, dtype=bool)}
    for value in np.random.default_rng(5).random(100):
        drawn = bootstrap.resampled_sums(np.full((7, 1), value), np.arange(7), seed=0)[:, 0] / 7
        for found in (
            bootstrap.means(np.full(7, value), whole, np.arange(7), seed=0)["accuracy"],
            bootstrap.of_draws(float(value), drawn, 7),
        ):
            assert found.ci95[0] <= found.value <= found.ci95[1]
            assert found.ci95 == pytest.approx((found.value, found.value), abs=1e-12)
