"""GLUE metrics against scikit-learn and scipy called directly, and by hand."""

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import accuracy_score, matthews_corrcoef

from evals.benchmarks import glue
from evals.metrics.correlation import matthews, pearson, spearman
from evals.metrics.ranking import bootstrap_counts
from evals.registry import get_benchmark
from unimo2.errors import BadData


def write(path, *rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def predictions(path, values):
    return write(path, ("index", "prediction"), *values)


def test_by_hand():
    """Against values worked out by hand."""
    right = glue.metrics("sst2", ["1", "0", "1", "1"], ["1", "0", "0", "1"], seed=0)["accuracy"]
    assert (right.value, right.n, right.chance) == (75.0, 4, 50.0)
    right = glue.metrics("mnli", ["neutral", "entailment"], ["neutral", "neutral"], seed=0)
    assert (right["accuracy"].value, right["accuracy"].chance) == (50.0, pytest.approx(100 / 3))
    # 2 true positives, 1 true negative, 1 false positive, 0 misses: (2 - 0) / sqrt(3 * 2 * 2 * 1)
    found = glue.metrics("cola", ["1", "1", "0", "1"], ["1", "1", "0", "0"], seed=0)["matthews"]
    assert found.value == pytest.approx(100 * 2 / np.sqrt(12))
    found = glue.metrics("stsb", [1.0, 2.0, 9.0], [1.0, 3.0, 2.0], seed=0)
    assert found["spearman"].value == pytest.approx(50.0)
    # sums of products of deviations: 1, of squares: 38 and 2
    assert found["pearson"].value == pytest.approx(100 * 1 / np.sqrt(38 * 2))


def test_a_thousand_random_predictions():
    """Against scikit-learn and scipy, ties among the scores included."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 1000)
    guess = np.where(random.random(1000) < 0.8, truth, 1 - truth)
    words = [guess.astype(str).tolist(), truth.astype(str).tolist()]
    assert glue.metrics("cola", *words, seed=0)["matthews"].value == pytest.approx(
        100 * matthews_corrcoef(truth, guess), abs=1e-12
    )
    assert glue.metrics("sst2", *words, seed=0)["accuracy"].value == pytest.approx(
        100 * accuracy_score(truth, guess), abs=1e-12
    )
    scores = random.integers(0, 21, 1000) / 4
    given = (scores + random.normal(size=1000)).round(1)
    found = glue.metrics("stsb", given.tolist(), scores.tolist(), seed=0)
    assert found["pearson"].value == pytest.approx(
        100 * pearsonr(given, scores).statistic, abs=1e-12
    )
    assert found["spearman"].value == pytest.approx(
        100 * spearmanr(given, scores).statistic, abs=1e-12
    )


def correlations(first, second):
    """Pearson's correlation of each row with the row of the other; Matthews' of ones and zeros."""
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return (first * second).sum(axis=1) / norms


def test_intervals_are_those_of_copied_items():
    """Against the 2,000 resamples, really made; their correlations are scikit-learn's and scipy's."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 40)
    guess = np.where(random.random(40) < 0.7, truth, 1 - truth)
    scores = random.integers(0, 11, 40) / 2
    given = (scores + 2 * random.normal(size=40)).round(0)
    rows = [np.repeat(np.arange(40), counts) for counts in bootstrap_counts(40, 2000, seed=5)]
    copied = np.stack(rows)
    ranks = [rankdata(values[copied], axis=1) for values in (given, scores)]
    drawn = {
        matthews_corrcoef: correlations(truth[copied], guess[copied]),
        pearsonr: correlations(given[copied], scores[copied]),
        spearmanr: correlations(*ranks),
    }
    for place in range(20):
        one = copied[place]
        official = matthews_corrcoef(truth[one], guess[one])
        assert drawn[matthews_corrcoef][place] == pytest.approx(official, abs=1e-12)
        for function in (pearsonr, spearmanr):
            official = function(given[one], scores[one]).statistic
            assert drawn[function][place] == pytest.approx(official, abs=1e-12)
    ours = (matthews(guess, truth, 5), pearson(given, scores, 5), spearman(given, scores, 5))
    for metric, values in zip(ours, drawn.values(), strict=True):
        expected = 100 * np.percentile(values, [2.5, 97.5])
        assert np.array(metric.ci95) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1e150])
def test_scale_does_not_matter_to_a_correlation(factor):
    """Against scipy on the same predictions, whose squares would overflow or vanish."""
    scores = np.array([5.0, 4.75, 0.0, 1.2, 3.0])
    given = np.array([4.0, 5.0, 0.5, 1.0, 2.0])
    usual, scaled = pearson(given, scores, 0), pearson(given * factor, scores, 0)
    assert usual.value == pytest.approx(100 * pearsonr(given, scores).statistic, abs=1e-12)
    assert scaled.value == pytest.approx(usual.value, abs=1e-9)
    assert scaled.ci95 == pytest.approx(usual.ci95, abs=1e-9)
    assert spearman(given * factor, scores, 0) == spearman(given, scores, 0)


def test_a_correlation_that_overflows_is_refused(recwarn):
    """Against scipy, which says NaN of predictions whose sum is infinite, with warnings."""
    given = 3e307 * np.array([4.0, 5.0, 0.5, 1.0, 2.0])
    with pytest.raises(BadData, match="the correlation is nan: the predictions are too large"):
        pearson(given, np.array([5.0, 4.75, 0.0, 1.2, 3.0]), 0)
    assert not recwarn.list


def test_guessing_is_marked_as_such():
    """Against predictions that have nothing to do with the targets, and a constant one."""
    random = np.random.default_rng(2)
    given, truth = random.integers(0, 2, (2, 300))
    assert matthews(given, truth, 0).at_chance
    constant = matthews(np.ones(300, dtype=int), truth, 0)
    assert (constant.value, constant.ci95, constant.at_chance) == (0.0, (0.0, 0.0), True)
    assert not matthews(truth, truth, 0).at_chance


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_a_correlation_with_a_constant_is_refused(correlation):
    """Against scipy, for which it is undefined (NaN)."""
    values = np.array([1.0, 2.0, 3.0])
    with pytest.raises(BadData, match="all 3 predictions are 2.5"):
        correlation(np.full(3, 2.5), values, 0)
    with pytest.raises(BadData, match="all 3 targets are 2.5"):
        correlation(values, np.full(3, 2.5), 0)


def test_real_cola(real_data, tmp_path):
    """Against scikit-learn on CoLA's dev file, a fifth of its labels turned round."""
    path = real_data / "glue" / "CoLA" / "dev.tsv"
    labels = [int(line.split("\t")[1]) for line in path.read_text().split("\n") if line]
    given = [1 - label if i % 5 == 0 else label for i, label in enumerate(labels)]
    scored = get_benchmark("cola").score(predictions(tmp_path / "p.tsv", enumerate(given)), path)
    metric = scored.metrics["matthews"]
    assert metric.value == pytest.approx(100 * matthews_corrcoef(labels, given), abs=1e-12)
    assert (metric.n, scored.notes) == (1043, ())


def test_real_stsb(real_data, tmp_path):
    """Against scipy on STS-B's dev file, its scores with noise."""
    path = real_data / "glue" / "STS-B" / "dev.tsv"
    scores = [float(line.split("\t")[9]) for line in path.read_text().split("\n")[1:] if line]
    noise = np.random.default_rng(3).normal(size=len(scores))
    given = [round(score + extra, 3) for score, extra in zip(scores, noise, strict=True)]
    found = (
        get_benchmark("stsb").score(predictions(tmp_path / "p.tsv", enumerate(given)), path).metrics
    )
    assert found["pearson"].value == pytest.approx(
        100 * pearsonr(given, scores).statistic, abs=1e-12
    )
    assert found["spearman"].value == pytest.approx(
        100 * spearmanr(given, scores).statistic, abs=1e-12
    )
    assert found["pearson"].n == 1500


def test_real_sst2(real_data, tmp_path):
    """Against scikit-learn on SST-2's dev file, for a prediction that is always positive."""
    path = real_data / "glue" / "SST-2" / "dev.tsv"
    labels = [line[-1] for line in path.read_text().split("\n")[1:] if line]
    given = ["1"] * len(labels)
    found = (
        get_benchmark("sst2").score(predictions(tmp_path / "p.tsv", enumerate(given)), path).metrics
    )
    assert found["accuracy"].value == pytest.approx(100 * accuracy_score(labels, given), abs=1e-12)
    assert found["accuracy"].n == 6735


@pytest.fixture
def dev(tmp_path):
    """Four rows of SST-2."""
    rows = [("good", 1), ("bad", 0), ("fine", 1), ("dull", 0)]
    return write(tmp_path / "dev.tsv", ("sentence", "label"), *rows)


def test_missing_and_unknown_rows(dev, tmp_path):
    """Against predictions that leave out two rows, and name one that is not there."""
    some = predictions(tmp_path / "p.tsv", [(2, 1), (0, 0)])
    with pytest.raises(BadData, match="2 of 4 rows have no prediction: 1, 3; --allow-missing"):
        get_benchmark("sst2").score(some, dev)
    scored = get_benchmark("sst2").score(some, dev, allow_missing=True)
    assert (scored.metrics["accuracy"].value, scored.metrics["accuracy"].n) == (50.0, 2)
    assert scored.missing == 2 and "the other 2 are scored" in scored.notes[0]
    with pytest.raises(BadData, match="1 predictions for rows .* do not have: 4"):
        get_benchmark("sst2").score(
            predictions(tmp_path / "q.tsv", [(i, 1) for i in range(5)]), dev
        )


def test_rows_without_a_majority_are_left_out(tmp_path):
    """Against MNLI rows of which one has the label "-": predicted or not, it does not count."""
    rows = [(0, "A", "B", "neutral"), (1, "A", "B", "-"), (2, "A", "B", "entailment")]
    path = write(tmp_path / "dev.tsv", ("index", "sentence1", "sentence2", "gold_label"), *rows)
    given = {0: "neutral", 1: "neutral", 2: "neutral"}
    for kept in ({0, 1, 2}, {0, 2}):
        chosen = [(key, given[key]) for key in kept]
        scored = get_benchmark("mnli").score(predictions(tmp_path / "p.tsv", chosen), path)
        assert (scored.metrics["accuracy"].value, scored.metrics["accuracy"].n) == (50.0, 2)
        assert scored.notes == ("1 rows without a majority label ('-') are left out",)


def test_a_test_file_cannot_be_scored(tmp_path):
    """Against a file without labels."""
    path = write(tmp_path / "test.tsv", ("index", "sentence"), (0, "x"))
    with pytest.raises(BadData, match="no row has a label"):
        get_benchmark("sst2").score(predictions(tmp_path / "p.tsv", [(0, 1)]), path)


def test_worse_than_guessing_is_not_at_chance() -> None:
    """Truth: every answer turned round: a correlation of -100, where guessing gives 0."""
    labels = ["0", "1"] * 50
    found = glue.metrics("cola", labels[1:] + labels[:1], labels, 0)["matthews"]
    assert found.value == -100.0 and found.below_chance and found.mark == "below chance"
    right = glue.metrics("cola", labels, labels, 0)["matthews"]
    guessed = glue.metrics("cola", ["0", "0", "1", "1"] * 25, labels, 0)["matthews"]
    assert (right.mark, guessed.mark) == ("", "at chance")
