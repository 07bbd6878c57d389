"""SNLI-VE accuracy: pairs without a majority label are left out, as the data set's authors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals import prediction
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.bootstrap import by_label, grouping, means
from evals.metrics.ranking import RESAMPLES, Metric
from evals.prediction import Work
from evals.samples import columns_of, frame, guesses, subset_means
from evals.scoring import Scored, answered, missing_note
from evals.splits import Extent, fingerprint, first_items, known_split
from evals.suites import Suite
from unimo2.errors import BadData
from unimo2.formats.images import loaded
from unimo2.formats.snli_ve import LABELS, Pair, read_pairs, read_predictions

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import Model, PairClassifier

CAPABILITY = "pair_classifier"
SPLIT = "test"
SPLITS = ("train", "dev", "test")
IMAGES = "flickr30k/flickr30k-images"
_CHUNK = 64  # pairs; with those of an image together, some 5 images


@dataclass(frozen=True)
class SnliVeData:
    """Labelled pairs of one split.

    Attributes:
        pairs: In the order of their file, those without a majority label left out.
        images: `[pairs]`, the image file of each.
        unlabelled: Pairs that are left out.
        extent: How many, of what.
        fingerprint: sha256 of pairs and images.
    """

    pairs: tuple[Pair, ...]
    images: tuple[Path, ...]
    unlabelled: int
    extent: Extent
    fingerprint: str

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return self.extent.summary(self.fingerprint)

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        return [*self.extent.notes(), *_left_out(self.unlabelled)]


def read(suite: Suite, request: Request) -> SnliVeData:
    """Read one split and make sure that all its image files are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, or no pair with a label.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "SNLI-VE")
    path = suite.root / "snli_ve" / f"snli_ve_{request.split}.jsonl"
    everything = read_pairs(path)
    chosen = first_items(everything, request.limit, "pairs")
    pairs = tuple(pair for pair in chosen if pair.label is not None)
    if not pairs:
        raise BadData(f"{path}: no pair has a gold label")
    images = tuple(suite.root / IMAGES / f"{pair.image}.jpg" for pair in pairs)
    lines = [[pair.id, pair.image, pair.hypothesis, pair.label] for pair in pairs]
    return SnliVeData(
        pairs=pairs,
        images=images,
        unlabelled=len(chosen) - len(pairs),
        extent=Extent.of(
            suite,
            "snli_ve",
            (request.split,),
            "pairs",
            len(chosen),
            len(everything),
            len(set(images)),
        ),
        fingerprint=fingerprint(request.split, lines, images),
    )


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How labels are measured: the record's "protocol"; IncompatibleModel for other classes."""
    classifier = cast("PairClassifier", model)
    columns_of(classifier.name, classifier.pair_classes, {label: () for label in LABELS})
    return {
        "task": "visual entailment",
        "zero_shot": request.zero_shot,
        "score": "accuracy over pairs with a majority label",
        "text": "the hypothesis alone",
        "padding": "none",
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def predict(
    model: PairClassifier,
    data: SnliVeData,
    request: Request,
    folder: Path,
    report: Report,
    share: Share = ALL,
) -> prediction.Store:
    """Classify the pairs that are left, and keep the labels in `folder`."""
    work = Work.of(data.images, "pairs", model.batch_size, _CHUNK)
    columns = columns_of(model.name, model.pair_classes, {label: () for label in LABELS})

    def labels(numbers: Sequence[int]) -> list[prediction.Prediction]:
        images = loaded([data.images[number] for number in numbers])
        texts = [data.pairs[number].hypothesis for number in numbers]
        return guesses(model.classify_pairs(images, texts), columns)

    return prediction.predict(model, work, labels, folder, report, share)


def measure(
    model: PairClassifier, data: SnliVeData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Classify all pairs and compute the accuracies.

    Args:
        model: Classifies pairs.
        data: From `read`.
        request: Gives the seed.
        folder: Keeps finished chunks.
        report: Called as the work goes on.

    Returns:
        Accuracy overall and by gold label; one sample a pair.
    """
    store = predict(model, data, request, folder, report)
    found = store.assemble()
    labels = found.column("prediction")
    truth = [pair.label for pair in data.pairs]
    columns: dict[str, Sequence[Any]] = {
        "pair_id": [pair.id for pair in data.pairs],
        "image": [pair.image for pair in data.pairs],
        "gold_label": truth,
        "logit": found.column("logit"),
    }
    scores = [float(given == label) for given, label in zip(labels, truth, strict=True)]
    results = metrics(labels, data.pairs, request.seed)
    return prediction.outcome(store, found, results, frame(columns, labels, truth, scores), "pairs")


def sample_metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The accuracies of a run's samples, for paired comparisons."""
    return subset_means(samples, "pair_id", "image", ("gold_label",))


def _left_out(unlabelled: int) -> list[str]:
    if not unlabelled:
        return []
    return [f"{unlabelled:,} pairs without a majority label ('-') are left out"]


def metrics(predictions: Sequence[str], pairs: Sequence[Pair], seed: int) -> dict[str, Metric]:
    """Accuracy overall and by gold label, in percent.

    Args:
        predictions: `[pairs]`.
        pairs: `[pairs]`, all with a gold label; those of one image are resampled together.
        seed: Of the bootstrap.

    Returns:
        "accuracy" and "accuracy[gold_label=...]".
    """
    labels = [pair.label for pair in pairs]
    values = np.array([a == b for a, b in zip(predictions, labels, strict=True)], dtype=np.float64)
    group = grouping([pair.image for pair in pairs])
    whole = {"accuracy": np.ones(len(values), dtype=np.bool_)}
    return {
        **means(values, whole, group, seed, chance=1 / len(LABELS)),
        # No chance level: a model that always says the same gets all of one label right.
        **means(values, by_label("gold_label", labels), group, seed),
    }


def score(
    predictions: Path, annotations: Path, allow_missing: bool = False, seed: int = 0
) -> Scored:
    """Score somebody's labels.

    Args:
        predictions: One object {"pairID", "prediction"} a line.
        annotations: The split's jsonl file.
        allow_missing: Score the pairs that have a prediction.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, or a pair that is unknown or has no prediction.
    """
    pairs = {pair.id: pair for pair in read_pairs(annotations)}
    unlabelled = [key for key, pair in pairs.items() if pair.label is None]
    labelled = [key for key, pair in pairs.items() if pair.label is not None]
    if not labelled:
        raise BadData(f"{annotations}: no pair has a gold label")
    given = read_predictions(predictions)
    chosen = answered(given, labelled, "pairs", allow_missing, ignored=unlabelled)
    return Scored(
        metrics=metrics([given[key] for key in chosen], [pairs[key] for key in chosen], seed),
        missing=len(labelled) - len(chosen),
        notes=(
            *missing_note(len(chosen), len(labelled), "pairs"),
            *_left_out(len(unlabelled)),
        ),
    )
