"""`unimo2 compare`: paired differences against copying items and against every possible exchange."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

import evals
from builders.retrieval_fakes import ColourScorer, write_flickr
from evals import records
from evals.benchmark import ItemMetric, SampleMetric
from evals.compare import compare, difference
from evals.metrics.correlation import spearman_of
from evals.metrics.ranking import RESAMPLES, bootstrap_counts
from unimo2.cli import main
from unimo2.errors import BadData, MissingData, UsageError

UNITS = np.array([3, 3, 0, 1, 1, 1, 2, 4, 5, 6])
ITEMS = np.arange(10)


class Better(ColourScorer):
    """The same scorer with half of its noise."""

    def score_pairs(self, images, text):  # noqa: ANN001, ANN201
        """Half way from the ITM part to the contrastive one, which has no noise."""
        parts = super().score_pairs(images, text)
        half = parts["itm"] - (parts["itm"] - parts["contrastive"]) / 2
        return {**parts, "itm": half, "score": half + 0.3 * parts["contrastive"]}


def _run(data: Path, output: Path, model: ColourScorer, **options: object) -> evals.Record:
    return evals.run(
        "flickr", model=model, zero_shot=True, data_root=data, output=output, **options
    )


def _scores() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    return random.random(10), random.random(10)


def test_interval_is_that_of_units_drawn_by_copying() -> None:
    """Truth: each resample's items written out, means of both runs taken, percentiles of theirs."""
    a, b = _scores()
    found = difference(
        SampleMetric.mean(ITEMS, UNITS, a), SampleMetric.mean(ITEMS, UNITS, b), seed=5
    )
    generator = np.random.default_rng(5)
    drawn = []
    for counts in generator.multinomial(7, np.full(7, 1 / 7), size=2000):
        copied = np.concatenate(
            [np.flatnonzero(np.isin(UNITS, u)) for u in np.repeat(range(7), counts)]
        )
        drawn.append(100 * (b[copied].mean() - a[copied].mean()))
    assert found.ci95 == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert found.difference == pytest.approx(100 * (b.mean() - a.mean()))
    assert (found.n, found.units) == (10, 7)


def test_p_value_is_the_share_of_all_exchanges() -> None:
    """Truth: every one of the 2^7 exchanges of the seven units, the two means computed anew."""
    a, b = _scores()
    b = b + 0.3
    observed = abs(b.mean() - a.mean())
    as_large = 0
    for exchanged in itertools.product([False, True], repeat=7):
        other = np.array(exchanged)[UNITS]
        left, right = np.where(other, b, a), np.where(other, a, b)
        as_large += abs(right.mean() - left.mean()) >= observed - 1e-12
    metrics = (SampleMetric.mean(ITEMS, UNITS, scores) for scores in (a, b))
    found = difference(*metrics, permutations=40_000)
    assert found.p_value == pytest.approx(as_large / 2**7, abs=0.01)


@pytest.mark.parametrize("permutations", [19, 99])
def test_the_smallest_p_value_counts_the_observed_exchange(permutations: int) -> None:
    """Truth: 1 / (1 + permutations); of 2^60 exchanges of sixty units two are as large."""
    items = np.arange(60)
    metrics = (SampleMetric.mean(items, items, np.full(60, score)) for score in (0.0, 1.0))
    found = difference(*metrics, resamples=10, permutations=permutations)
    assert found.p_value == pytest.approx(1 / (1 + permutations))


def test_the_same_items_in_other_units_are_refused() -> None:
    """Truth: the tenth item is the only one whose unit differs."""
    a, b = _scores()
    moved = UNITS.copy()
    moved[9] = 0
    with pytest.raises(BadData, match="not of the same items: 9$"):
        difference(SampleMetric.mean(ITEMS, UNITS, a), SampleMetric.mean(ITEMS, moved, b))


def test_metrics_that_are_no_means_exchange_items_too() -> None:
    """Truth: scipy's Pearson correlation of the items of every exchange."""
    random = np.random.default_rng(1)
    target = random.random(8)
    a, b = random.random(8), target + 0.4 * random.random(8)

    def metric(x: np.ndarray) -> SampleMetric:
        sums = np.stack([np.ones(8), x, target, x * x, target**2, x * target], axis=1)

        def value(s: np.ndarray) -> np.ndarray:
            n, sx, sy, xx, yy, xy = s.T
            return (xy - sx * sy / n) / np.sqrt((xx - sx**2 / n) * (yy - sy**2 / n))

        return SampleMetric(np.arange(8), np.arange(8), sums, value)

    observed = pearsonr(b, target)[0] - pearsonr(a, target)[0]
    as_large = 0
    for exchanged in itertools.product([False, True], repeat=8):
        left, right = np.where(exchanged, b, a), np.where(exchanged, a, b)
        drawn = pearsonr(right, target)[0] - pearsonr(left, target)[0]
        as_large += abs(drawn) >= abs(observed) - 1e-12
    found = difference(metric(a), metric(b), permutations=40_000)
    assert found.difference == pytest.approx(observed)
    assert found.p_value == pytest.approx(as_large / 2**8, abs=0.01)


def test_rank_correlations_are_ranked_anew_in_every_draw() -> None:
    """Truth: scipy's Spearman correlation of copied items, and of the items of every exchange."""
    random = np.random.default_rng(2)
    target = np.round(4 * random.random(8)) / 4  # ties
    a, b = random.random(8), target + 0.5 * random.random(8)
    items, shuffled = np.arange(8), random.permutation(8)

    def metric(x: np.ndarray, order: np.ndarray) -> ItemMetric:
        return ItemMetric(items[order], x[order], target[order], spearman_of)

    found = difference(metric(a, items), metric(b, shuffled), seed=3, permutations=40_000)

    def apart(rows: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
        truth = target[rows]
        if len(set(truth)) < 2 or len(set(left[rows])) < 2:
            return float("nan")
        return spearmanr(right[rows], truth)[0] - spearmanr(left[rows], truth)[0]

    observed = apart(items, a, b)
    assert found.difference == pytest.approx(observed)
    drawn = [apart(np.repeat(items, counts), a, b) for counts in bootstrap_counts(8, RESAMPLES, 3)]
    assert found.ci95 == pytest.approx(tuple(np.nanpercentile(drawn, [2.5, 97.5])))
    as_large = 0
    for exchanged in itertools.product([False, True], repeat=8):
        left, right = np.where(exchanged, b, a), np.where(exchanged, a, b)
        as_large += abs(apart(items, left, right)) >= abs(observed) - 1e-12
    assert found.p_value == pytest.approx(as_large / 2**8, abs=0.01)
    with pytest.raises(BadData, match="not of the same items"):
        difference(metric(a, items), metric(b, items[:7]))


def test_runs_that_do_not_differ_are_rarely_found_to() -> None:
    """Truth: the nominal level; 200 pairs of runs of equal quality, of which 5 % are expected."""
    random = np.random.default_rng(0)
    small = 0
    for seed in range(200):
        a, b = random.random((2, 30)) < 0.5
        items = np.arange(30)
        metrics = (SampleMetric.mean(items, items, scores) for scores in (a, b))
        small += difference(*metrics, seed=seed, resamples=10, permutations=300).p_value <= 0.05
    assert small <= 20


def test_every_metric_of_the_record_is_compared(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the two records' own metrics, parts of the score included."""
    a = _run(flickr_root, tmp_path / "a", ColourScorer())
    b = _run(flickr_root, tmp_path / "b", Better())
    found = compare(a.path.parent, b.path)
    assert set(found.metrics) == set(a.metrics)
    for name, metric in found.metrics.items():
        assert metric.a == pytest.approx(a.metrics[name].value)
        assert metric.b == pytest.approx(b.metrics[name].value)
        assert metric.n == a.metrics[name].n
        assert metric.units == 20
    assert found.metrics["image_retrieval/R@1"].difference > 0
    same = found.metrics["image_retrieval/R@1[contrastive]"]
    assert (same.difference, same.ci95, same.p_value, same.tied) == (0, (0, 0), 1, True)


def test_a_part_of_the_score_is_compared_with_the_whole(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: the record's metric of that part and of the whole score."""
    run = _run(flickr_root, tmp_path, ColourScorer())
    found = compare(run.path.parent, run.path.parent, part_a="itm")
    metric = found.metrics["text_retrieval/R@5"]
    assert metric.a == pytest.approx(run.metrics["text_retrieval/R@5[itm]"].value)
    assert metric.b == pytest.approx(run.metrics["text_retrieval/R@5"].value)
    with pytest.raises(UsageError, match="no metric in common"):
        compare(run.path, run.path, part_a="colour")


def test_a_shortlisted_run_is_compared_with_the_exhaustive_one(
    flickr_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the records' metrics; a model's folder stands for its newest run."""
    whole = _run(flickr_root, tmp_path, ColourScorer())
    _run(flickr_root, tmp_path, ColourScorer(), rerank=2)
    newest = _run(flickr_root, tmp_path, ColourScorer(), rerank=2)
    folders = [str(run.path.parents[1]) for run in (whole, newest)]
    assert main(["compare", *folders, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["differs"]["rerank"] == [None, 2]
    assert content["runs"]["b"]["record"] == str(newest.path)
    name = "text_retrieval/R@1"
    assert content["metrics"][name]["b"] == pytest.approx(newest.metrics[name].value)
    assert main(["compare", *folders]) == 0
    shown = capsys.readouterr().out
    for text in (
        "B - A",
        "95 % interval",
        "tied",
        "0.00",
        "rerank: A None, B 2",
        "[itm]",
        "20 units",
    ):
        assert text in shown


def test_the_seed_of_the_command_line_is_that_of_the_draws(
    flickr_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: the comparison with that seed in Python, whose intervals are not those of seed 0."""
    runs = [
        _run(flickr_root, tmp_path / name, model).path
        for name, model in (("a", ColourScorer()), ("b", Better()))
    ]
    assert main(["compare", *map(str, runs), "--seed", "7", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    intervals = {
        seed: {name: list(one.ci95) for name, one in compare(*runs, seed=seed).metrics.items()}
        for seed in (0, 7)
    }
    assert content["seed"] == 7
    printed = {name: one["ci95"] for name, one in content["metrics"].items()}
    assert printed == intervals[7] != intervals[0]


def test_trainings_are_told_apart_by_the_fields_that_differ(flickr_root, tmp_path, capsys):
    """Truth: two trainings written by hand, of which K and the steps are unlike."""
    runs = [_run(flickr_root, tmp_path / name, ColourScorer()) for name in ("a", "b")]
    trainings = [{"K": k, "C": 256, "config": {"steps": k * 2, "seed": 0}} for k in (10, 20)]
    for run, training in zip(runs, trainings, strict=True):
        records.write(
            replace(run, protocol={**run.protocol, "training": training}), run.path.parent
        )
    found = compare(*(run.path for run in runs))
    told = {name: both for name, both in found.differs.items() if name.startswith("training")}
    assert told == {"training.K": (10, 20), "training.config.steps": (20, 40)}
    assert main(["compare", *(str(run.path) for run in runs)]) == 0
    assert "\ntraining.K: A 10, B 20\n" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["limit", "caption", "no samples", "no run", "items"])
def test_runs_of_different_data_are_refused_in_one_line(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth: by hand, what differs is named."""
    data = write_flickr(tmp_path / "data", images=8)
    a = _run(data, tmp_path / "a", ColourScorer())
    options: dict[str, object] = {"limit": 7} if change == "limit" else {}
    if change == "caption":
        path = data / "flickr30k" / "dataset_flickr30k.json"
        path.write_text(path.read_text().replace("wording0", "wording9", 1))
    b = _run(data, tmp_path / "b", ColourScorer(), **options)
    folder = b.path.parent
    if change == "no samples":
        (folder / records.SAMPLES).unlink()
    if change == "no run":
        folder = tmp_path / "nothing"
    if change == "items":
        samples = records.read_samples(folder)
        samples.loc[0, "query"] = 77
        records.write_samples(samples, folder)
    says, error = {
        "limit": ("captions 40 and 35", UsageError),
        "caption": ("fingerprints differ", UsageError),
        "no samples": ("no samples at", MissingData),
        "no run": ("no record at", MissingData),
        "items": ("not of the same items: 0, 77", BadData),
    }[change]
    with pytest.raises(error, match=says):
        compare(a.path, folder)
    assert main(["compare", str(a.path), str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("unimo2: error: ") and err.count("\n") == 1


@pytest.mark.parametrize(("entry", "value"), [("recall_at", [1, 5]), ("task", "something else")])
def test_runs_that_measure_another_thing_are_refused(
    flickr_root: Path, tmp_path: Path, entry: str, value: object
) -> None:
    """Truth: one entry of one record's protocol was changed by hand, and is named."""
    run = _run(flickr_root, tmp_path, ColourScorer())
    content = json.loads(run.path.read_text())
    content["protocol"][entry] = value
    other = tmp_path / "other" / "record.json"
    other.parent.mkdir()
    other.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=f"cannot be compared: {entry} "):
        compare(run.path, other)


def test_another_benchmark_is_no_match(flickr_root: Path, tmp_path: Path) -> None:
    """Truth: one record's benchmark was changed by hand."""
    run = _run(flickr_root, tmp_path, ColourScorer())
    other = tmp_path / "other" / "record.json"
    other.parent.mkdir()
    content = json.loads(run.path.read_text())
    other.write_text(json.dumps({**content, "benchmark": "vqa"}))
    with pytest.raises(UsageError, match="benchmark flickr and vqa"):
        compare(run.path, other)
