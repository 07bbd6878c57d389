"""SNLI-VE accuracy: pairs without a majority label are left out, as the data set's authors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from evals.benchmark import ImageOptions, Request, SampleMetric, Scored
from evals.datasets.suites import Suite
from evals.metrics.bootstrap import by_label, grouping, means
from evals.metrics.ranking import Metric
from evals.prediction import ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.samples import (
    answered,
    columns_of,
    frame,
    guesses,
    scored,
    subset_means,
    unlabelled_notes,
)
from evals.splits import SplitData, SplitInfo, contents_of, fingerprint, first_items
from unimo2.errors import BadData
from unimo2.formats.images import loaded
from unimo2.formats.layout import SnliVeFiles
from unimo2.formats.snli_ve import LABELS, Pair, read_pairs, read_predictions

if TYPE_CHECKING:
    import pandas as pd

    from zoo.protocols import PairClassifier


@dataclass(frozen=True)
class SnliVeData(SplitData):
    """Labelled pairs of one split.

    Attributes:
        pairs: In the order of their file, those without a majority label left out.
        images: `[pairs]`, the image file of each.
        unlabelled: Pairs that are left out.
    """

    pairs: tuple[Pair, ...]
    images: tuple[Path, ...]
    unlabelled: int

    def notes(self) -> list[str]:
        """Notes about the data."""
        return [*super().notes(), *unlabelled_notes(self.unlabelled, "pairs")]


class SnliVe(ItemBenchmark):
    """SNLI-VE: accuracy, overall and by gold label."""

    name = "snli_ve"
    title = "SNLI-VE"
    dataset = "snli_ve"
    task = "visual entailment"
    capabilities = ("pair_classifier",)
    splits = ("train", "dev", "test")
    default_split = "test"
    dev_split = "dev"
    main_metric = "accuracy"
    unit = "pairs"
    chunk = 64  # with those of an image together, some 5 images
    Options = ImageOptions

    def files(self, split: str) -> Sequence[Path]:
        """The annotation file of a split, below the data root."""
        return (SnliVeFiles(Path()).pairs(split),)

    def read(self, suite: Suite, request: Request) -> SnliVeData:
        """Read one split and make sure that all its image files are there."""
        self.require_split(request.split)
        at = SnliVeFiles(suite.root)
        path = at.pairs(request.split)
        everything = read_pairs(path)
        chosen = first_items(everything, request.limit, "pairs")
        pairs = tuple(pair for pair in chosen if pair.label is not None)
        if not pairs:
            raise BadData(f"{path}: no pair has a gold label")
        images = tuple(at.image(pair.image) for pair in pairs)
        lines = [[pair.id, pair.image, pair.hypothesis, pair.label] for pair in pairs]
        counts = (len(chosen), len(everything), len(set(images)))
        return SnliVeData(
            extent=SplitInfo.of(suite, self.dataset, (request.split,), self.unit, *counts),
            fingerprint=fingerprint(request.split, lines, images),
            pictures=images,
            contents=contents_of(lines, images),
            pairs=pairs,
            images=images,
            unlabelled=len(chosen) - len(pairs),
        )

    def details(self, model: PairClassifier, request: Request) -> dict[str, Any]:
        """Protocol of the labels; IncompatibleModel for other classes."""
        _columns(model)
        return {
            "score": "accuracy over pairs with a majority label",
            "text": "the hypothesis alone",
            "padding": "none",
        }

    def groups(self, data: SnliVeData) -> Sequence[Path]:
        """The image of each pair."""
        return data.images

    def predictor(self, model: PairClassifier, data: SnliVeData, request: Request) -> Predict:
        """Classifies pairs."""
        columns = _columns(model)

        def labels(numbers: Sequence[int]) -> list[Prediction]:
            images = loaded([data.images[number] for number in numbers])
            texts = [data.pairs[number].hypothesis for number in numbers]
            return guesses(model.classify_pairs(images, texts), columns)

        return labels

    def results(
        self, model: Any, data: SnliVeData, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """Accuracy overall and by gold label; one sample per pair."""
        labels = found.column("prediction")
        truth = [pair.label for pair in data.pairs]
        columns: dict[str, Sequence[Any]] = {
            "pair_id": [pair.id for pair in data.pairs],
            "image": [pair.image for pair in data.pairs],
            "gold_label": truth,
            "logit": found.column("logit"),
        }
        scores = [float(given == label) for given, label in zip(labels, truth, strict=True)]
        samples = frame(columns, labels, truth, scores)
        return Results(metrics(labels, data.pairs, request.seed), samples)

    def sample_metrics(self, samples: pd.DataFrame) -> dict[str, SampleMetric]:
        """The accuracies of a run's samples, for paired comparisons."""
        return subset_means(samples, "pair_id", "image", ("gold_label",))

    def score(
        self,
        predictions: Annotated[Path, 'jsonl: {"pairID", "prediction"}.'],
        annotations: Annotated[Path, "snli_ve_*.jsonl."],
        allow_missing: bool = False,
        seed: int = 0,
    ) -> Scored:
        """SNLI-VE: accuracy, overall and by gold label.

        Args:
            predictions: One object {"pairID", "prediction"} per line.
            annotations: The split's jsonl file.
            allow_missing: Score the pairs that have a prediction.
            seed: Seed of the bootstrap.

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
        found = metrics([given[key] for key in chosen], [pairs[key] for key in chosen], seed)
        notes = unlabelled_notes(len(unlabelled), "pairs")
        return scored(found, chosen, labelled, "pairs", notes)


def _columns(model: PairClassifier) -> list[str]:
    return columns_of(model.name, model.pair_classes, {label: () for label in LABELS})


def metrics(predictions: Sequence[str], pairs: Sequence[Pair], seed: int) -> dict[str, Metric]:
    """Accuracy overall and by gold label, in percent.

    Args:
        predictions: `[pairs]`.
        pairs: `[pairs]`, all with a gold label; those of one image are resampled together.
        seed: Seed of the bootstrap.

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
