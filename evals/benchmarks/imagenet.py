"""ImageNet accuracy of the first guess: by a fine-tuned classifier, or zero-shot by sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals import prediction, zero_shot
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.bootstrap import means
from evals.metrics.ranking import RESAMPLES, Floats, Metric, Ranking, hits_at, rank_classes
from evals.prediction import Work
from evals.retrieval import dtype_choice
from evals.samples import frame, subset_means
from evals.scoring import Scored, answered, missing_note
from evals.splits import Extent, fingerprint, known_split, spread_items
from evals.suites import Suite
from evals.zero_shot import ONE, prompts
from unimo2.errors import BadData, IncompatibleModel
from unimo2.formats.imagenet import (
    MAPPING,
    LabelledImage,
    Synset,
    find_mapping,
    read_labels,
    read_predictions,
    read_synsets,
)
from unimo2.formats.images import loaded
from unimo2.formats.parsing import first_few

if TYPE_CHECKING:
    import pandas as pd

    from evals.retrieval.dtype_choice import PrecisionChoice
    from zoo.protocols import ImageClassifier, Model, PairScorer

__all__ = [
    "CAPABILITY",
    "SPLIT",
    "measure",
    "predict",
    "protocol",
    "read",
    "sample_metrics",
    "score",
]

CAPABILITY = "image_classifier"
SPLIT = "val"
_CHUNK = 64
_TOP = 5  # the challenge's other figure


def capability(request: Request) -> str:
    """Fine-tuned models classify; zero-shot ones score images with sentences."""
    return zero_shot.capability(request) if request.zero_shot else CAPABILITY


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How classes are measured: the record's "protocol"; errors as of `zero_shot.protocol`."""
    how: dict[str, Any] = {"score": "logit"}
    if request.zero_shot:
        how = zero_shot.protocol(model, request)
    return {
        "task": "image classification",
        "zero_shot": request.zero_shot,
        **how,
        "padding": "none",
        "ties": "expectation over a random order of equal scores",
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def choose_precision(exact: Model, fast: Model, data: ImageNetData) -> PrecisionChoice:
    """Whether the faster number format will do for zero-shot classification: `--dtype auto`.

    Args:
        exact: The model in float32, a pair scorer.
        fast: In bfloat16.
        data: From `read`.

    Returns:
        The choice, by one image of each of some classes with their sentences.
    """
    names = {synset.wnid: synset.names[0] for synset in data.synsets}
    first = {wnid: path for wnid, path in zip(data.targets[::-1], data.paths[::-1], strict=True)}
    some = list(first.items())[: dtype_choice.SAMPLE]
    sentences = prompts([names[wnid] for wnid, _ in some], ONE)
    paths = [path for _, path in some]
    return dtype_choice.choose(
        cast("PairScorer", exact), cast("PairScorer", fast), paths, sentences
    )


def predict(
    model: Model,
    data: ImageNetData,
    request: Request,
    folder: Path,
    report: Report,
    share: Share = ALL,
) -> prediction.Store:
    """Classify the images that are left, and keep what was found in `folder`."""
    numbers = {synset.wnid: number for number, synset in enumerate(data.synsets)}
    targets, paths = [numbers[wnid] for wnid in data.targets], data.paths
    scorer: zero_shot.ClassScorer | _Classifier
    if request.zero_shot:
        scorer = zero_shot.ClassScorer(model, data.synsets, request)
    else:
        scorer = _Classifier(cast("ImageClassifier", model), data.synsets)

    def ranked(some: Sequence[int]) -> list[prediction.Prediction]:
        images = loaded([paths[number] for number in some])
        truth = [targets[number] for number in some]
        return _kept(scorer.rank(images, truth), data.synsets)

    chunk, hint = _CHUNK, None
    if isinstance(scorer, zero_shot.ClassScorer):
        chunk, hint = min(chunk, scorer.images_at_once), scorer.cheaper
    work = Work.of(range(len(paths)), "images", model.batch_size, chunk)
    return prediction.predict(model, work, ranked, folder, report, share, hint)


class _Classifier:
    """Ranks the classes by a classifier's logits."""

    def __init__(self, model: ImageClassifier, synsets: Sequence[Synset]) -> None:
        self._model = model
        self._columns = _columns(model, synsets)

    def rank(self, images: Sequence[Any], targets: Sequence[int]) -> Ranking:
        """Where the true class of each image stands, as `ClassScorer.rank`."""
        logits = self._model.classify_images(images).detach().float().cpu().numpy()
        return rank_classes(logits[:, self._columns], targets)


def _columns(model: ImageClassifier, synsets: Sequence[Synset]) -> list[int]:
    """The column of each class: models name classes by synset id, or by all its names."""
    places = {name: place for place, name in enumerate(model.image_classes)}
    columns = [
        places.get(synset.wnid, places.get(", ".join(synset.names), -1)) for synset in synsets
    ]
    missing = [synset.wnid for synset, column in zip(synsets, columns, strict=True) if column < 0]
    if missing:
        raise IncompatibleModel(
            f"model '{model.name}' does not know {len(missing):,} of the {len(synsets):,} classes: "
            f"{first_few(missing)}"
        )
    return columns


def _kept(ranking: Ranking, synsets: Sequence[Synset]) -> list[prediction.Prediction]:
    """What is saved of each image."""
    return [
        {
            "prediction": synsets[best].wnid,
            "logit": float(ranking.best_score[row]),
            "truth_score": float(ranking.truth_score[row]),
            "better": int(ranking.better[row]),
            "tied_wrong": int(ranking.tied_wrong[row]),
        }
        for row, best in enumerate(ranking.best)
    ]


def measure(
    model: Model, data: ImageNetData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Classify all images and compute the accuracies.

    Args:
        model: An image classifier; zero-shot a pair scorer or dual encoder.
        data: From `read`.
        request: Says how, and gives the seed.
        folder: Keeps finished chunks.
        report: Called as the work goes on.

    Returns:
        Accuracy of the first guess, and of the first five; one sample an image.
    """
    store = predict(model, data, request, folder, report)
    found = store.assemble()
    columns: dict[str, Sequence[Any]] = {
        "image": [image.name for image in data.images],
        **{name: found.column(name) for name in ("logit", "truth_score", "better", "tied_wrong")},
    }
    first, some = (_hits(columns, k) for k in (1, _TOP))
    samples = frame(columns, found.column("prediction"), data.targets, first)
    results = {
        **accuracy(first, len(data.synsets), request.seed),
        **accuracy(some, len(data.synsets), request.seed, _TOP),
    }
    names = [synset.names[0] for synset in data.synsets]
    same = len(names) - len(set(names))
    notes = []
    if request.zero_shot and same:
        notes.append(f"{same:,} classes have the name of another: their scores are always equal")
    ties = sum(1 for tied in columns["tied_wrong"] if tied)
    if ties:
        notes.append(f"{ties:,} images have their class tied with another")
    return prediction.outcome(store, found, results, samples, "images", notes)


def _hits(columns: Any, k: int) -> Floats:
    """Probability that the true class is among the first k, `[images]`."""
    better, tied = (np.asarray(columns[name], dtype=np.int64) for name in ("better", "tied_wrong"))
    return hits_at(k, better, tied, np.ones_like(better))


def sample_metrics(samples: pd.DataFrame) -> dict[str, SampleMetric]:
    """The accuracies of a run's samples, for paired comparisons."""
    more = samples.assign(score=_hits(samples, _TOP))
    return {
        **subset_means(samples, "image", "image"),
        f"accuracy[top {_TOP}]": subset_means(more, "image", "image")["accuracy"],
    }


def metrics(
    predictions: Sequence[str], targets: Sequence[str], classes: int, seed: int
) -> dict[str, Metric]:
    """Accuracy in percent.

    Args:
        predictions: `[images]`, synset ids.
        targets: `[images]`, synset ids.
        classes: Number of classes to choose from.
        seed: Of the bootstrap over images.

    Returns:
        "accuracy".
    """
    values = np.array([a == b for a, b in zip(predictions, targets, strict=True)], dtype=np.float64)
    return accuracy(values, classes, seed)


def accuracy(values: Floats, classes: int, seed: int, first: int = 1) -> dict[str, Metric]:
    """The mean of hits among the first guesses, in percent.

    Args:
        values: `[images]`, 0 to 1.
        classes: Number of classes to choose from.
        seed: Of the bootstrap over images.
        first: Guesses that count.

    Returns:
        "accuracy", or "accuracy[top 5]" for the first five.
    """
    name = "accuracy" if first == 1 else f"accuracy[top {first}]"
    whole = {name: np.ones(len(values), dtype=np.bool_)}
    return means(values, whole, np.arange(len(values)), seed, chance=min(1.0, first / classes))


def score(
    predictions: Path,
    annotations: Path,
    synsets: Path | None = None,
    allow_missing: bool = False,
    seed: int = 0,
) -> Scored:
    """Score somebody's classes.

    Args:
        predictions: A csv file `image,prediction` with synset ids.
        annotations: The folder `val`, or `LOC_val_solution.csv`.
        synsets: `LOC_synset_mapping.txt`; None for the one that lies with the images. Without any,
            the classes are those that have images or are predicted.
        allow_missing: Score the images that have a prediction.
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file or folder is not there.
        BadData: A broken file, an unknown class, an image that is unknown or has no prediction.
    """
    labels = {image.name: image.wnid for image in read_labels(annotations)}
    mapping = find_mapping(annotations) if synsets is None else synsets
    known = None if mapping is None else {synset.wnid for synset in read_synsets(mapping)}
    if known is not None:
        unknown = sorted(set(labels.values()) - known)
        if unknown:
            raise BadData(f"{annotations}: classes that {mapping} lacks: {first_few(unknown)}")
    given = read_predictions(predictions, known)
    classes = {*labels.values(), *given.values()} if known is None else known
    chosen = answered(given, list(labels), "images", allow_missing)
    return Scored(
        metrics=metrics(
            [given[key] for key in chosen], [labels[key] for key in chosen], len(classes), seed
        ),
        missing=len(labels) - len(chosen),
        notes=missing_note(len(chosen), len(labels), "images"),
    )


# ImageNet from its official files: classes with their names, and the images of a split.


SPLITS = ("val", "train")
_SOLUTION = "LOC_val_solution.csv"


@dataclass(frozen=True)
class ImageNetData:
    """Labelled images of one split.

    Attributes:
        images: All with a path; a limit spreads them evenly over the classes.
        synsets: All classes to choose from, in the order of their numbers.
        extent: How many.
        fingerprint: sha256 of classes, labels and images.
    """

    images: tuple[LabelledImage, ...]
    synsets: tuple[Synset, ...]
    extent: Extent
    fingerprint: str

    @property
    def paths(self) -> list[Path]:
        """`[images]`, their files."""
        return [image.path for image in self.images if image.path is not None]

    @property
    def targets(self) -> list[str]:
        """`[images]`, their synset ids."""
        return [image.wnid for image in self.images]

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return {**self.extent.summary(self.fingerprint), "classes": len(self.synsets)}

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        return self.extent.notes()


def read(suite: Suite, request: Request) -> ImageNetData:
    """Read one split and make sure that all its image files are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: A file or folder is not there.
        BadData: A broken file, no images, or a class that the mapping lacks.
        UsageError: A limit below 1, an unknown split.
    """
    known_split(request.split, SPLITS, "ImageNet")
    root = suite.root / "imagenet"
    synsets = tuple(read_synsets(root / MAPPING))
    everything = _labelled(root, request.split)
    known = {synset.wnid for synset in synsets}
    unknown = sorted({image.wnid for image in everything} - known)
    if unknown:
        raise BadData(f"{root / MAPPING} lacks classes that have images: {first_few(unknown)}")
    images = spread_items(everything, request.limit, "images")
    lines: list[Any] = [[synset.wnid, *synset.names] for synset in synsets]
    lines += [[image.name, image.wnid] for image in images]
    paths = [image.path for image in images if image.path is not None]
    return ImageNetData(
        images=images,
        synsets=synsets,
        extent=Extent.of(
            suite, "imagenet", (request.split,), "images", len(images), len(everything)
        ),
        fingerprint=fingerprint(request.split, lines, paths),
    )


def _labelled(root: Path, split: str) -> list[LabelledImage]:
    """Images in folders named by synset, or as val is distributed: flat, with a file of labels."""
    folder, solution = root / split, root / _SOLUTION
    sorted_by_class = folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())
    if sorted_by_class or split != "val" or not solution.is_file():
        return read_labels(folder)
    labels = read_labels(solution)
    return [replace(image, path=folder / f"{image.name}.JPEG") for image in labels]
