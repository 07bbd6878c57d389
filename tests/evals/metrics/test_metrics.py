"""Recall, its ties, interval and chance level."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from evals.metrics.ranking import (
    Ranking,
    bootstrap_counts,
    mean_interval,
    probability_of_hit,
    rank_images,
    rank_texts,
    retrieval_metrics,
    within_noise_of_chance,
)
from unimo2.errors import BadData


def _owner(random: np.random.Generator, images: int, extra: int) -> np.ndarray:
    """Every image has a caption, some have more; the order is arbitrary."""
    owner = np.concatenate([np.arange(images), random.integers(0, images, extra)])
    return random.permutation(owner)


def _loop_recall(scores: np.ndarray, right: list[set[int]], k: int) -> float:
    """Recall@k by sorting each query's candidates; right only where no scores are equal."""
    hits = 0
    for query, truth in enumerate(right):
        order = sorted(range(scores.shape[1]), key=lambda i: -scores[query, i])
        hits += any(candidate in truth for candidate in order[:k])
    return 100.0 * hits / len(right)


def _loop_expected_hit(row: np.ndarray, truth: set[int], k: int) -> float:
    """Probability of a hit, by trying every order of the candidates that keeps scores sorted."""
    levels = sorted(set(row), reverse=True)
    groups = [[i for i, value in enumerate(row) if value == level] for level in levels]
    hits = total = 0
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        first = list(itertools.chain(*orders))[:k]
        hits += any(candidate in truth for candidate in first)
        total += 1
    return hits / total


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recall_without_ties_equals_sorting_in_a_loop(dtype: type) -> None:
    """Truth: a loop that sorts each query's candidates, on 200 random matrices."""
    random = np.random.default_rng(0)
    for _ in range(200):
        images = int(random.integers(1, 15))
        owner = _owner(random, images, int(random.integers(0, 30)))
        scores = random.permutation(images * len(owner)).reshape(images, -1).astype(dtype)
        metrics = retrieval_metrics(
            rank_images(scores, owner), rank_texts(scores, owner), owner, resamples=10
        )
        of_images = [set(np.flatnonzero(owner == i)) for i in range(images)]
        for k in (1, 5, 10):
            expected = _loop_recall(scores.T, [{i} for i in owner], k)
            assert metrics[f"image_retrieval/R@{k}"].value == pytest.approx(expected, abs=1e-9)
            expected = _loop_recall(scores, of_images, k)
            assert metrics[f"text_retrieval/R@{k}"].value == pytest.approx(expected, abs=1e-9)


def test_ties_are_the_mean_over_every_order_of_equal_scores() -> None:
    """Truth: the mean over all permutations of tied candidates, on 300 matrices full of ties."""
    random = np.random.default_rng(1)
    for _ in range(300):
        images = int(random.integers(2, 5))
        owner = _owner(random, images, int(random.integers(0, 3)))
        scores = random.integers(0, 3, (images, len(owner))).astype(np.float32)
        by_caption, by_image = rank_images(scores, owner), rank_texts(scores, owner)
        for k in (1, 2, 3):
            for caption, hit in enumerate(by_caption.hits(k)):
                expected = _loop_expected_hit(scores[:, caption], {owner[caption]}, k)
                assert hit == pytest.approx(expected, abs=1e-12)
            for image, hit in enumerate(by_image.hits(k)):
                truth = set(np.flatnonzero(owner == image))
                expected = _loop_expected_hit(scores[image], truth, k)
                assert hit == pytest.approx(expected, abs=1e-12)


def test_expected_rank_is_the_mean_first_place_over_every_order() -> None:
    """Truth: the mean place of the first right candidate over all permutations."""
    row = np.array([2.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    truth = {2, 4, 5}
    places = []
    for order in itertools.permutations([1, 2, 3, 4]):
        places.append(1 + next(i for i, c in enumerate([0, *order, 5]) if c in truth))
    ranking = Ranking(
        better=np.array([1]), tied_wrong=np.array([2]), tied_right=np.array([2]),
        truth_score=np.array([1.0]), truth=np.array([2]), best=np.array([0]),
        best_score=np.array([2.0]),
    )  # fmt: skip
    assert ranking.rank[0] == pytest.approx(np.mean(places))
    owner = np.array([1, 1, 0, 1, 0, 0])  # the same situation from a score matrix
    found = rank_texts(np.stack([row, row]), owner)
    assert (found.better[0], found.tied_wrong[0], found.tied_right[0]) == (1, 2, 2)


def test_constant_scorer_is_exactly_at_chance() -> None:
    """Truth: K / images, and for five captions per image the hypergeometric law of scipy."""
    images, owner = 40, np.repeat(np.arange(40), 5)
    scores = np.full((images, len(owner)), 0.7, dtype=np.float32)
    by_caption, by_image = rank_images(scores, owner), rank_texts(scores, owner)
    metrics = retrieval_metrics(by_caption, by_image, owner)
    for k in (1, 5, 10):
        image, text = metrics[f"image_retrieval/R@{k}"], metrics[f"text_retrieval/R@{k}"]
        assert image.value == pytest.approx(100 * k / images)
        assert text.value == pytest.approx(100 * stats.hypergeom(200, 5, k).sf(0))
        assert image.value == pytest.approx(image.chance)
        assert text.value == pytest.approx(text.chance)
        assert image.at_chance and text.at_chance
        assert (image.ties, text.ties) == (200, 40)


def test_random_scores_are_at_chance_in_the_mean() -> None:
    """Truth: the mean recall of 400 random scorers lies within its standard error of chance."""
    random = np.random.default_rng(2)
    owner = np.repeat(np.arange(12), 5)
    values: dict[str, list[float]] = {}
    for _ in range(400):
        scores = random.normal(size=(12, 60))
        found = retrieval_metrics(
            rank_images(scores, owner), rank_texts(scores, owner), owner, resamples=2
        )
        for name, metric in found.items():
            values.setdefault(name, []).append(metric.value)
            chance = metric.chance
    for name, list_of_values in values.items():
        chance = found[name].chance
        error = np.std(list_of_values) / math.sqrt(len(list_of_values))
        assert abs(np.mean(list_of_values) - chance) < 3.5 * error, name


def test_recall_counts_any_of_five_captions() -> None:
    """Truth: by hand; the fifth caption of each image is best, all its others are worst."""
    owner = np.repeat(np.arange(3), 5)
    scores = np.zeros((3, 15), dtype=np.float32)
    for image in range(3):
        scores[image, owner == image] = -1.0
        scores[image, image * 5 + 4] = 1.0
    by_image = rank_texts(scores, owner)
    assert by_image.hits(1).tolist() == [1.0, 1.0, 1.0]
    assert by_image.truth.tolist() == [4, 9, 14]


def test_the_truth_of_a_query_is_a_right_candidate_though_a_wrong_one_ties_with_it() -> None:
    """Truth: by hand; each right candidate stands behind a wrong one of the same score."""
    scores = np.array([[0.5, 0.5, 0.1], [0.5, 0.9, 0.9]])
    owner = [1, 0, 1]
    assert rank_images(scores, owner).truth.tolist() == [1, 0, 1]
    assert rank_texts(scores, owner).truth.tolist() == [1, 2]


def test_recalls_grow_with_k_and_do_not_depend_on_the_order_of_files() -> None:
    """Truth: R@1 <= R@5 <= R@10, and the same numbers after images and captions are shuffled."""
    random = np.random.default_rng(3)
    for _ in range(100):
        owner = _owner(random, 15, 30)
        scores = random.integers(0, 4, (15, 45)).astype(np.float32)
        rows, columns = random.permutation(15), random.permutation(45)
        place = np.argsort(rows)
        shuffled_owner = place[owner][columns]
        shuffled = scores[rows][:, columns]
        for rank in (rank_images, rank_texts):
            before, after = rank(scores, owner), rank(shuffled, shuffled_owner)
            recalls = [before.hits(k).mean() for k in (1, 5, 10)]
            assert recalls == sorted(recalls)
            assert recalls == pytest.approx([after.hits(k).mean() for k in (1, 5, 10)])


def test_half_precision_scores_rank_as_they_are() -> None:
    """Truth: the same float16 numbers written as float64."""
    random = np.random.default_rng(4)
    owner = _owner(random, 20, 40)
    half = random.normal(size=(20, 60)).astype(np.float16)
    for rank in (rank_images, rank_texts):
        a, b = rank(half, owner), rank(half.astype(np.float64), owner)
        assert a.better.tolist() == b.better.tolist()
        assert a.tied_wrong.tolist() == b.tied_wrong.tolist()


def test_large_matrices_are_ranked_in_pieces_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: the same matrix ranked in one piece."""
    random = np.random.default_rng(5)
    owner = _owner(random, 20, 40)
    scores = random.integers(0, 9, (20, 60))
    whole = [rank_images(scores, owner).rank, rank_texts(scores, owner).rank]
    monkeypatch.setattr("evals.metrics.ranking._CHUNK", 64)
    assert whole[0].tolist() == rank_images(scores, owner).rank.tolist()
    assert whole[1].tolist() == rank_texts(scores, owner).rank.tolist()


def test_infinite_scores_are_ranked() -> None:
    """Truth: by hand; -inf means "not among the candidates that were scored"."""
    scores = np.array([[-np.inf, 1.0], [-np.inf, -np.inf]])
    ranking = rank_images(scores, [0, 1])
    assert ranking.truth.tolist() == [0, 1]
    assert ranking.hits(1).tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("scores", "owner", "says"),
    [
        (np.array([[0.1, np.nan], [0.0, 1.0]]), [0, 1], "NaN.*image 0, caption 1"),
        (np.zeros(3), [0, 1, 2], "matrix"),
        (np.zeros((2, 3)), [0, 1], "3 captions, the annotations have 2"),
        (np.zeros((2, 2)), [0, 2], "outside 0..1"),
        (np.zeros((2, 2)), [1, 1], "no caption, the first is number 0"),
        (np.zeros((2, 2), dtype=complex), [0, 1], "matrix"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(
    scores: np.ndarray, owner: list[int], says: str
) -> None:
    """Truth: the input is wrong by construction."""
    for rank in (rank_images, rank_texts):
        with pytest.raises(BadData, match=says):
            rank(scores, owner)


@pytest.mark.parametrize(("right", "candidates", "k"), [(1, 60, 1), (5, 300, 10), (3, 4, 9)])
def test_chance_is_the_share_of_draws_that_hit(right: int, candidates: int, k: int) -> None:
    """Truth: 20,000 draws without replacement, and scipy's hypergeometric law."""
    chance = probability_of_hit(right, candidates, k)
    assert chance == pytest.approx(stats.hypergeom(candidates, right, min(k, candidates)).sf(0))
    random = np.random.default_rng(6)
    keys = random.random((20_000, candidates))
    hits = (np.argsort(keys, axis=1)[:, :k] < right).any(axis=1).mean()
    assert chance == pytest.approx(hits, abs=4 * math.sqrt(0.25 / 20_000))


def test_interval_equals_a_loop_over_the_same_resamples() -> None:
    """Truth: a loop that copies the drawn groups' items and takes their mean."""
    random = np.random.default_rng(7)
    group = _owner(random, 9, 25)
    values = random.random(len(group))
    counts = bootstrap_counts(9, 200, seed=1)
    means = []
    for row in counts:
        drawn = [
            values[i] for g in range(9) for _ in range(row[g]) for i in np.where(group == g)[0]
        ]
        means.append(np.mean(drawn))
    expected = (np.percentile(means, 2.5), np.percentile(means, 97.5))
    assert mean_interval(values, group, counts) == pytest.approx(expected)
    assert counts.sum(axis=1).tolist() == [9] * 200


def test_interval_agrees_with_scipy() -> None:
    """Truth: scipy.stats.bootstrap (percentile), up to the noise of 10,000 resamples."""
    random = np.random.default_rng(8)
    values = (random.random(300) < 0.4).astype(float)
    ours = mean_interval(values, np.arange(300), bootstrap_counts(300, 10_000, seed=0))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=random
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_captions_of_an_image_are_resampled_together() -> None:
    """Truth: five copies of each value carry no more information than one."""
    random = np.random.default_rng(9)
    values = (random.random(100) < 0.5).astype(float)
    counts = bootstrap_counts(100, 2000, seed=0)
    alone = mean_interval(values, np.arange(100), counts)
    together = mean_interval(np.repeat(values, 5), np.repeat(np.arange(100), 5), counts)
    assert together == pytest.approx(alone)


def test_a_good_scorer_is_not_at_chance_and_knows_its_n() -> None:
    """Truth: by construction every query is right."""
    owner = np.repeat(np.arange(30), 5)
    scores = (owner[None, :] == np.arange(30)[:, None]).astype(np.float32)
    found = retrieval_metrics(rank_images(scores, owner), rank_texts(scores, owner), owner)
    assert {metric.value for metric in found.values()} == {100.0}
    assert not any(metric.at_chance for metric in found.values())
    assert (found["image_retrieval/R@1"].n, found["text_retrieval/R@1"].n) == (150, 30)


def test_few_images_all_right_may_be_luck() -> None:
    """Truth: guessing puts one of five among the first ten of 20 with p = 0.984, so 4 of 4 often."""
    owner = np.repeat(np.arange(4), 5)
    scores = (owner[None, :] == np.arange(4)[:, None]).astype(np.float32)
    found = retrieval_metrics(rank_images(scores, owner), rank_texts(scores, owner), owner)
    metric = found["text_retrieval/R@10"]
    assert (metric.value, metric.ci95) == (100.0, (100.0, 100.0))
    assert metric.at_chance
    assert not found["text_retrieval/R@1"].at_chance  # 4 of 4 at p = 0.25: once in 256


@pytest.mark.parametrize(("flips", "at_chance"), [(5, True), (6, False)])
def test_all_right_is_luck_until_guessing_gets_there_once_in_forty(
    flips: int, at_chance: bool
) -> None:
    """Truth: 1/32 and 1/64, the probabilities of all right by coin, against 2.5 %."""
    assert (0.5**flips > 0.025) is at_chance
    assert within_noise_of_chance(1.0, 1.0, 0.5, flips) is at_chance


def test_captions_of_an_image_count_once_against_luck() -> None:
    """Truth: guessing gets R@5 of six images right with p = 5/6, so all six with p = 0.33."""
    owner = np.repeat(np.arange(6), 5)
    scores = (owner[None, :] == np.arange(6)[:, None]).astype(np.float32)
    found = retrieval_metrics(rank_images(scores, owner), rank_texts(scores, owner), owner)
    metric = found["image_retrieval/R@5"]
    assert (metric.value, metric.n, metric.at_chance) == (100.0, 30, True)
    assert not found["image_retrieval/R@1"].at_chance  # six of six at p = 1/6


def test_chance_is_the_mean_over_queries_of_unequal_caption_counts() -> None:
    """Truth: by hand; R@1 among six captions is 3/6 for one image and 1/6 for three."""
    owner = np.array([0, 0, 0, 1, 2, 3])
    scores = np.zeros((4, 6))
    found = retrieval_metrics(rank_images(scores, owner), rank_texts(scores, owner), owner)
    assert found["text_retrieval/R@1"].chance == pytest.approx(100 * (3 + 1 + 1 + 1) / 6 / 4)


@pytest.mark.parametrize("same_for_all_captions", [False, True])
def test_guessing_is_seldom_taken_for_skill(same_for_all_captions: bool) -> None:
    """Truth: 600 random scorers; at 97.5 % confidence few of them may pass for better."""
    random = np.random.default_rng(10)
    owner = np.repeat(np.arange(30), 5)
    passed: dict[str, int] = {}
    for _ in range(600):
        scores = random.normal(size=(30, 150))
        if same_for_all_captions:  # a model that looks at the image alone
            scores = 1e-3 * scores + random.normal(size=(30, 1))
        found = retrieval_metrics(
            rank_images(scores, owner), rank_texts(scores, owner), owner, resamples=400
        )
        for name, metric in found.items():
            passed[name] = passed.get(name, 0) + (not metric.at_chance)
    assert max(passed.values()) <= 0.05 * 600, passed


def test_everything_counts_as_chance_where_k_covers_all_candidates() -> None:
    """Truth: with three images R@5 is 100 for any scorer, which says nothing about it."""
    owner = np.arange(3)
    found = retrieval_metrics(rank_images(np.eye(3), owner), rank_texts(np.eye(3), owner), owner)
    metric = found["image_retrieval/R@5"]
    assert (metric.value, metric.chance, metric.at_chance) == (100.0, 100.0, True)
