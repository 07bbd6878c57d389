"""Accuracy of SNLI-VE and ImageNet, and recalls from a score matrix, on files that somebody made."""

import json

import numpy as np
import pytest

from builders.retrieval_fakes import write_flickr
from evals.registry import get_benchmark
from unimo2.errors import BadData, MissingData, UsageError

LABELS = ("entailment", "neutral", "contradiction")

flickr, imagenet, snli_ve = map(get_benchmark, ("flickr", "imagenet", "snli_ve"))


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def pairs(tmp_path):
    """Seven pairs about three images, the last without a majority label."""
    golds = [*LABELS, *LABELS, "-"]
    rows = [
        {"Flickr30K_ID": str(i // 3), "gold_label": gold, "pairID": f"p{i}", "sentence2": "x"}
        for i, gold in enumerate(golds)
    ]
    return lines(tmp_path / "dev.jsonl", rows)


def labels(path, *values):
    return lines(path, [{"pairID": f"p{i}", "prediction": value} for i, value in enumerate(values)])


def test_snli_ve_by_hand(pairs, tmp_path):
    """Against four right of six; the pair without a majority does not count, predicted or not."""
    given = ["entailment", "neutral", "neutral", "entailment", "neutral", "neutral"]
    for more in ([], ["neutral"]):
        scored = snli_ve.score(labels(tmp_path / "p.jsonl", *given, *more), pairs)
        values = {name: (metric.value, metric.n) for name, metric in scored.metrics.items()}
        assert values == {
            "accuracy": (pytest.approx(100 * 4 / 6), 6),
            "accuracy[gold_label=contradiction]": (0.0, 2),
            "accuracy[gold_label=entailment]": (100.0, 2),
            "accuracy[gold_label=neutral]": (100.0, 2),
        }
        assert scored.notes == ("1 pairs without a majority label ('-') are left out",)
    assert scored.metrics["accuracy"].chance == pytest.approx(100 / 3)
    # both images are right in the same two of three pairs, so every resample of images is
    assert scored.metrics["accuracy"].ci95 == pytest.approx((100 * 4 / 6, 100 * 4 / 6))


def test_snli_ve_bad_predictions(pairs, tmp_path):
    """Against a pair that is missing, one that is unknown, and a file that is not there."""
    some = labels(tmp_path / "p.jsonl", *["neutral"] * 5)
    with pytest.raises(BadData, match="1 of 6 pairs have no prediction: p5"):
        snli_ve.score(some, pairs)
    scored = snli_ve.score(some, pairs, allow_missing=True)
    assert (scored.metrics["accuracy"].n, scored.missing) == (5, 1)
    with pytest.raises(BadData, match="do not have: p7"):
        snli_ve.score(labels(tmp_path / "q.jsonl", *["neutral"] * 8), pairs)
    with pytest.raises(MissingData, match="SNLI-VE predictions not found"):
        snli_ve.score(tmp_path / "no.jsonl", pairs)


def test_predictions_for_pairs_without_a_majority_alone_are_refused(pairs, tmp_path):
    """Against a prediction for the only pair without a label: none of the six has one."""
    path = lines(tmp_path / "p.jsonl", [{"pairID": "p6", "prediction": "neutral"}])
    with pytest.raises(BadData, match="none of the 6 pairs has a prediction"):
        snli_ve.score(path, pairs, allow_missing=True)


def test_snli_ve_real_rows(real_data, tmp_path):
    """Against a loop over the real rows of ../shared/real, for a model that says neutral."""
    path = real_data / "snli_ve" / "allennlp_sample_pairs.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    given = [{"pairID": row["pairID"], "prediction": "neutral"} for row in rows]
    found = snli_ve.score(lines(tmp_path / "p.jsonl", given), path).metrics["accuracy"]
    right = sum(row["gold_label"] == "neutral" for row in rows)
    assert (found.value, found.n) == (pytest.approx(100 * right / len(rows)), len(rows))


@pytest.fixture
def val(tmp_path):
    """Four images of two classes; the mapping beside them has three."""
    for i in range(4):
        path = tmp_path / "val" / f"n000{i % 2}" / f"{i}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "LOC_synset_mapping.txt").write_text("n0000 a\nn0001 b\nn0002 c\n")
    return tmp_path / "val"


def guesses(path, rows):
    path.write_text("image,prediction\n" + "".join(f"{image},{wnid}\n" for image, wnid in rows))
    return path


def test_imagenet_by_hand(val, tmp_path):
    """Against three right of four, one of them a class that no image has; guessing among three."""
    rows = [("0.JPEG", "n0000"), ("1.JPEG", "n0001"), ("2", "n0002"), ("n0001/3.JPEG", "n0001")]
    metric = imagenet.score(guesses(tmp_path / "p.csv", rows), val).metrics["accuracy"]
    assert (metric.value, metric.n, metric.chance) == (75.0, 4, pytest.approx(100 / 3))


def test_imagenet_bad_predictions(val, tmp_path):
    """Against an unknown class, a missing image, an unknown image, a class that the mapping lacks."""
    with pytest.raises(BadData, match="line 2: unknown class 'n0009'"):
        imagenet.score(guesses(tmp_path / "p.csv", [("0", "n0009")]), val)
    some = guesses(tmp_path / "p.csv", [("0", "n0000")])
    with pytest.raises(BadData, match="3 of 4 images have no prediction: 2, 1, 3"):
        imagenet.score(some, val)
    assert imagenet.score(some, val, allow_missing=True).metrics["accuracy"].value == 100.0
    with pytest.raises(BadData, match="images that the annotations do not have: 9"):
        imagenet.score(guesses(tmp_path / "p.csv", [("9", "n0000")]), val)
    other = tmp_path / "other.txt"
    other.write_text("n0000 a\n")
    with pytest.raises(BadData, match="lacks: n0001"):
        imagenet.score(some, val, synsets=other)


def test_imagenet_without_a_mapping(val, tmp_path):
    """Against three right of four, the fourth a class that only the predictions know."""
    (tmp_path / "LOC_synset_mapping.txt").unlink()
    rows = [("0", "n0000"), ("1", "n0001"), ("2", "n0007"), ("3", "n0001")]
    metric = imagenet.score(guesses(tmp_path / "p.csv", rows), val).metrics["accuracy"]
    assert (metric.value, metric.n, metric.chance) == (75.0, 4, pytest.approx(100 / 3))
    with pytest.raises(BadData, match="line 2: unknown class 'tench'"):
        imagenet.score(guesses(tmp_path / "p.csv", [("0", "tench")]), val)


def test_imagenet_real_photos(real_data, tmp_path):
    """Against the names of the 24 real photos, which begin with their class; six are changed."""
    val = real_data / "imagenet" / "val"
    names = sorted(path.name for path in val.glob("*/*.JPEG"))
    rows = [(n, "n01440764" if i % 4 == 0 else n.split("_")[0]) for i, n in enumerate(names)]
    metric = imagenet.score(guesses(tmp_path / "p.csv", rows), val).metrics["accuracy"]
    assert (metric.value, metric.n, metric.chance) == (75.0, 24, 0.1)


def test_recalls_of_a_matrix(tmp_path):
    """Against a matrix whose truth comes first for every caption but one image's."""
    root = write_flickr(tmp_path, images=20)
    owner = np.repeat(np.arange(20), 5)
    matrix = (owner[None, :] == np.arange(20)[:, None]).astype(np.float32)
    matrix[0, :5] = -1
    np.save(tmp_path / "s.npy", matrix)
    annotations = root / "flickr30k" / "dataset_flickr30k.json"
    found = flickr.score(tmp_path / "s.npy", annotations).metrics
    assert (found["image_retrieval/R@10"].value, found["image_retrieval/R@10"].n) == (95.0, 100)
    assert (found["text_retrieval/R@1"].value, found["text_retrieval/R@1"].n) == (95.0, 20)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((100, 20)), r"shape \[100, 20\]; the test split .* 20 images and 100 captions"),
        (np.zeros(3), r"shape \[3\]"),
        (np.full((20, 100), np.nan), "caption 0$"),
        (np.where(np.eye(20, 100) > 0, np.nan, 0.0), "a run with --rerank leaves them"),
        (np.full((20, 100), "x"), "must be a matrix"),
        (b"no array", "not a .npy file"),
        (b"", "not a .npy file"),
        (np.array([{}], dtype=object), "not a .npy file"),
    ],
)
def test_wrong_matrices_are_refused(tmp_path, content, says):
    """Against files that are wrong by construction."""
    root = write_flickr(tmp_path, images=20)
    path = tmp_path / "s.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    annotations = root / "flickr30k" / "dataset_flickr30k.json"
    with pytest.raises(BadData, match=says):
        flickr.score(path, annotations)
    with pytest.raises(MissingData, match="score matrix not found"):
        flickr.score(tmp_path / "no.npy", annotations)
    with pytest.raises(UsageError, match="unknown split 'dev'"):
        flickr.score(path, annotations, split="dev")
