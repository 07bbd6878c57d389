"""`--rerank K`: which pairs are fused, and how two tiers are ranked, against sorting by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import evals
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from evals.retrieval.planner import make_plan
from evals.retrieval.shortlist import Coverage, Shortlists, most_pairs, still_open
from unimo2.console import Progress
from unimo2.errors import IncompatibleModel, UsageError

OWNER = np.repeat(np.arange(6), 3)


def _run(data: Path, output: Path, model: ColourScorer, **options: object) -> evals.Record:
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=data, output=output, **options
    )


def _by_hand(fused: list[float], contrastive: list[float], k: int) -> list[int]:
    """One query's candidates in order: the k best by contrastive score, fused; then the others."""
    order = sorted(range(len(fused)), key=lambda i: -contrastive[i])
    return sorted(order[:k], key=lambda i: -fused[i]) + order[k:]


@pytest.mark.parametrize("k", [1, 2, 5, 17, 18, 100])
@pytest.mark.parametrize("seed", range(3))
def test_two_tiers_rank_as_sorting_by_hand(k: int, seed: int) -> None:
    """Truth: Python's sort of each query's candidates, shortlist first."""
    random = np.random.default_rng(seed)
    contrastive = random.normal(size=(6, 18)).astype(np.float32)
    fused = (contrastive + random.normal(size=(6, 18))).astype(np.float32)
    chosen = Shortlists.of(contrastive, k)
    hidden = np.where(chosen.pairs, fused, np.nan).astype(np.float32)
    images, texts = chosen.rank(hidden, contrastive, OWNER)
    for caption in range(18):
        order = _by_hand(fused[:, caption].tolist(), contrastive[:, caption].tolist(), k)
        assert images.rank[caption] == 1 + order.index(OWNER[caption])
        assert images.best[caption] == order[0]
        assert images.best_score[caption] == fused[order[0], caption]
    for image in range(6):
        order = _by_hand(fused[image].tolist(), contrastive[image].tolist(), k)
        places = [place for place, caption in enumerate(order) if OWNER[caption] == image]
        assert texts.rank[image] == 1 + places[0]
        truth = order[places[0]]
        shown = fused if chosen.texts[image, truth] else contrastive
        assert (texts.truth[image], texts.truth_score[image]) == (truth, shown[image, truth])


def test_the_other_directions_shortlist_does_not_count() -> None:
    """Truth: by hand; image 1 is on no caption's list of one, yet fused for text retrieval."""
    contrastive = np.array([[3, 3], [1, 2]], dtype=np.float32)
    fused = np.array([[1, 1], [9, 9]], dtype=np.float32)
    chosen = Shortlists.of(contrastive, 1)
    assert chosen.images.tolist() == [[True, True], [False, False]]
    assert chosen.texts.tolist() == [[True, True], [False, True]]  # row 0: a tie, both are in
    images, texts = chosen.rank(fused, contrastive, np.array([0, 1]))
    assert images.rank.tolist() == [1, 2]
    assert texts.rank.tolist() == [1.5, 1]  # the tied captions of image 0 stand in random order


def test_a_scorer_that_says_the_same_of_everything_gets_chance() -> None:
    """Truth: 1 of 6 images by guessing, whatever the order of the files."""
    same = np.zeros((6, 18), dtype=np.float32)
    chosen = Shortlists.of(same, 2)
    assert chosen.pairs.all()
    images, _ = chosen.rank(same, same, OWNER)
    assert images.hits(1).mean() == pytest.approx(1 / 6)


def test_pairs_of_a_run_are_those_of_both_shortlists(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the exhaustive run's matrices, shortlisted by argsort; the model counts its pairs."""
    whole = _run(flickr_root, tmp_path, ColourScorer())
    matrices = {
        name: np.load(whole.path.parent / f"{name}.npy")
        for name in ("scores", "itm", "contrastive")
    }
    expected = np.zeros((20, 100), dtype=bool)
    order = np.argsort(-matrices["contrastive"], axis=0)
    np.put_along_axis(expected, order[:3], True, axis=0)
    for image, row in enumerate(matrices["contrastive"]):
        expected[image] |= row >= np.sort(row)[-3]  # captions of one image share its colour: ties
    model = ColourScorer()
    record = _run(flickr_root, tmp_path, model, rerank=3)
    assert model.pairs == expected.sum() < 2000
    for name in ("scores", "itm"):
        found = np.load(record.path.parent / f"{name}.npy")
        np.testing.assert_array_equal(found, np.where(expected, matrices[name], np.nan))
    np.testing.assert_array_equal(
        np.load(record.path.parent / "contrastive.npy"), matrices["contrastive"]
    )
    assert record.variant == "rerank-3" and record.protocol["rerank"] == 3
    assert record.protocol["pairs"] == "shortlists"
    assert "--rerank 3" in record.command
    part = "image_retrieval/R@1[contrastive]"
    assert record.metrics[part] == whole.metrics[part]


def test_a_shortlist_of_everything_is_the_exhaustive_run(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the exhaustive run, bit by bit."""
    whole = _run(flickr_root, tmp_path, ColourScorer())
    all_of_it = _run(flickr_root, tmp_path, ColourScorer(), rerank=100)
    assert all_of_it.metrics == whole.metrics
    for name in ("scores", "itm", "contrastive"):
        a, b = (np.load(r.path.parent / f"{name}.npy") for r in (whole, all_of_it))
        np.testing.assert_array_equal(a, b)
    a, b = (records.read_samples(r.path.parent) for r in (whole, all_of_it))
    assert a.equals(b)


@pytest.mark.parametrize("k", [1, 2, 6])
@pytest.mark.parametrize("seed", range(5))
def test_queries_that_are_settled_have_the_exhaustive_first_places(k: int, seed: int) -> None:
    """Truth: the whole matrix, sorted; and the count of open queries, by a loop over candidates."""
    random = np.random.default_rng(seed)
    contrastive = random.normal(size=(12, 30)).astype(np.float32)
    itm = random.uniform(-1, 1, size=(12, 30)).astype(np.float32)
    chosen = Shortlists.of(contrastive, 4)
    hidden = np.where(chosen.pairs, itm, np.nan).astype(np.float32)
    found = Coverage.of(4, hidden, contrastive, 2.0, [k])
    # The fourth of four candidates is the last quarter.
    fourth = [(row, q) for q, row in enumerate(np.argsort(-contrastive, axis=0)[3])]
    fourth += [(q, column) for q, column in enumerate(np.argsort(-contrastive, axis=1)[:, 3])]
    highest = max(itm[pair] for pair in fourth)
    itm = np.where(chosen.pairs, itm, np.minimum(itm, highest))  # what the counts suppose
    fused = itm + 2.0 * contrastive
    most = np.where(chosen.pairs, itm, highest) + 2.0 * contrastive
    for mask, exact, bound, count in (
        (chosen.images, fused, most, found.captions[k]),
        (chosen.texts.T, fused.T, most.T, found.images[k]),
    ):
        expected = 0
        for query in range(exact.shape[1]):
            inside = np.flatnonzero(mask[:, query])
            listed = sorted(inside, key=lambda i: -exact[i, query])[:k]
            others = set(range(len(exact))) - set(inside.tolist())
            entrance = exact[listed[-1], query] if len(listed) == k else -np.inf
            if any(bound[other, query] >= entrance for other in others):
                expected += 1
            else:
                assert set(np.argsort(-exact[:, query])[:k]) == set(listed)
        assert count == expected
    assert found.highest == pytest.approx(float(highest))


@pytest.mark.parametrize(("k", "first"), [(2, 2), (3, 3), (4, 4), (5, 4), (8, 7)])
def test_the_last_quarter_begins_after_three_quarters_of_the_shortlist(k: int, first: int) -> None:
    """Truth: places by hand; logits fall with the place, so the quarter's first is its highest."""
    contrastive = -np.arange(12, dtype=np.float32)[:, None]  # twelve images, one caption
    itm = 100.0 - np.arange(12, dtype=np.float32)[:, None]
    found = Coverage.of(k, itm, contrastive, 1.0, [1])
    assert found.highest == 100 - (first - 1)


@pytest.mark.parametrize(("k", "still"), [(1, 0), (2, 1)])
def test_a_tie_with_the_kth_place_is_open(k: int, still: int) -> None:
    """Truth: by hand; the candidate outside the shortlist ties with the second inside."""
    scores, shortlist = np.array([[2.0], [1.0], [1.0]]), np.array([[True], [True], [False]])
    assert still_open(scores, shortlist, k) == still


def test_a_shortlist_of_everything_leaves_nothing_open() -> None:
    """Truth: there is nothing outside; without a shortlist every query is open."""
    scores = np.zeros((3, 4))
    assert still_open(scores, np.ones((3, 4), dtype=bool), 10) == 0
    assert still_open(scores, np.zeros((3, 4), dtype=bool), 1) == 4


def test_a_shortlisted_record_says_what_is_open(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the exhaustive run; queries whose hits differ are among those counted as open."""
    whole = _run(flickr_root, tmp_path, ColourScorer())
    record = _run(flickr_root, tmp_path, ColourScorer(), rerank=10)
    [note] = [note for note in record.notes if "outside the shortlists" in note]
    counts = re.search(r"of (\d+)/(\d+)/(\d+) of 100 captions and of (\d+)/(\d+)/(\d+) of 20", note)
    assert counts is not None
    names = [f"{way}_retrieval/R@{k}" for way in ("image", "text") for k in (1, 5, 10)]
    for name, count, queries in zip(names, counts.groups(), [100] * 3 + [20] * 3, strict=True):
        apart = abs(record.metrics[name].value - whole.metrics[name].value) / 100 * queries
        assert apart <= int(count) + 1e-6
    assert not [note for note in whole.notes if "outside the shortlists" in note]


def test_a_shortlisted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Truth: the uninterrupted run; the shortlist is not chosen again."""
    data = write_flickr(tmp_path / "data", images=60)

    class Stops(ColourScorer):
        def score_pairs(self, images, text):  # noqa: ANN001, ANN202
            if self.texts > 300 + 2 * 64:
                raise KeyboardInterrupt
            return super().score_pairs(images, text)

    with pytest.raises(KeyboardInterrupt):
        _run(data, tmp_path / "runs", Stops(), rerank=8)
    (folder,) = (tmp_path / "runs").glob("*/*/*/*")
    model = ColourScorer()
    resumed = _run(data, tmp_path / "runs", model, rerank=8)
    assert resumed.path.parent == folder
    assert model.texts == 300 - 2 * 64
    whole = _run(data, tmp_path / "other", ColourScorer(), rerank=8)
    assert resumed.metrics == whole.metrics
    for name in ("scores", "contrastive"):
        a, b = (np.load(r.path.parent / f"{name}.npy") for r in (resumed, whole))
        np.testing.assert_array_equal(a, b)


def test_plan_counts_chosen_pairs_only() -> None:
    """Truth: numpy's own count of the mask."""
    chosen = np.random.default_rng(0).random((50, 300)) < 0.2
    plan = make_plan(50, 300, chosen=chosen)
    done = make_plan(50, 300, plan.blocks[:2], chosen)
    assert plan.pairs == chosen.sum()
    assert done.remaining_pairs == chosen[:, plan.blocks[2].start :].sum()
    assert plan.images_of(7) == np.flatnonzero(chosen[:, 7]).tolist()


def test_the_official_protocol_needs_thirteen_times_fewer_pairs() -> None:
    """Truth: 5,000,000 / (64 x 5,000 + 64 x 1,000)."""
    assert most_pairs(1000, 5000, 64) == 384_000
    assert most_pairs(20, 100, 64) == 2000


def test_a_model_without_a_contrastive_score_is_refused(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the model has no such method; nothing is read before that is said."""

    class Fused(ColourScorer):
        contrastive_scores = None

    model = Fused()
    with pytest.raises(IncompatibleModel, match="contrastive_scores"):
        _run(flickr_root, tmp_path, model, rerank=3)
    with pytest.raises(UsageError, match="--rerank -1"):
        _run(flickr_root, tmp_path, ColourScorer(), rerank=-1)
    assert model.images == 0


def test_a_long_exhaustive_run_is_told_of_the_shortlist(tmp_path: Path) -> None:
    """Truth: 400 x 400 pairs, of which a shortlist of 64 takes 51,200; a shortlisted run is not told."""
    data = write_flickr(tmp_path / "data", images=400, captions=1)
    seen: list[Progress] = []
    _run(data, tmp_path / "a", ColourScorer(batch_size=400), on_progress=seen.append)
    assert "--rerank 64 fuses at most 51,200 pairs" in seen[-1].hint
    short: list[Progress] = []
    _run(data, tmp_path / "b", ColourScorer(batch_size=400), rerank=64, on_progress=short.append)
    assert all(progress.hint is None for progress in short)


def test_the_record_of_a_shortlisted_run_is_json(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: json reads it; the weight and the shortlist both name the run."""
    record = _run(flickr_root, tmp_path, ColourScorer(), rerank=3, contrastive_weight=2.0)
    assert record.variant == "contrastive-weight-2-rerank-3"
    assert json.loads(record.path.read_text())["protocol"]["contrastive_weight"] == 2.0
    scores, itm, contrastive = (
        np.load(record.path.parent / f"{name}.npy") for name in ("scores", "itm", "contrastive")
    )
    np.testing.assert_allclose(scores, itm + 2 * contrastive)
