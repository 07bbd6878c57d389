"""ImageNet top-1 accuracy: by a fine-tuned classifier, or zero-shot by sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np

from evals import prediction
from evals.benchmark import Request, SampleMetric, Scored
from evals.datasets.suites import Suite
from evals.distributed import ALL, ProcessGroup
from evals.image_classification import linear_probe, zero_shot
from evals.image_classification.linear_probe import ImageNetOptions
from evals.image_classification.zero_shot import ClassScorer
from evals.metrics.bootstrap import means
from evals.metrics.ranking import Floats, Metric, Ranking, hits_at, rank_classes
from evals.prediction import ChunkPlan, ItemBenchmark, Predict, Prediction, Predictions, Results
from evals.retrieval import dtype_choice
from evals.samples import answered, frame, scored, subset_means
from evals.splits import SplitData, SplitInfo, contents_of, fingerprint, spread_items
from unimo2.console import Report
from unimo2.errors import BadData, IncompatibleModel
from unimo2.formats.imagenet import (
    LabelledImage,
    Synset,
    find_mapping,
    read_labels,
    read_predictions,
    read_synsets,
)
from unimo2.formats.images import loaded
from unimo2.formats.layout import ImageNetFiles
from unimo2.formats.parsing import Skips, first_few

if TYPE_CHECKING:
    import pandas as pd

    from evals.benchmark import DtypeChoice
    from zoo.protocols import ImageClassifier, PairScorer

_TIES = "expectation over a random order of equal scores"
_TOP = 5  # the challenge's other figure


@dataclass(frozen=True)
class ImageNetData(SplitData):
    """Labelled images of one split.

    Attributes:
        images: All with a path; a limit spreads them evenly over the classes.
        synsets: All classes to choose from, in the order of their numbers.
        left_out: A line for each kind of file beside the images that is not read.
        training: Labelled images that a linear probe is fitted on; none without one.
    """

    images: tuple[LabelledImage, ...]
    synsets: tuple[Synset, ...]
    left_out: tuple[str, ...] = ()
    training: tuple[LabelledImage, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """`[images]`, their files."""
        return [image.path for image in self.images if image.path is not None]

    @property
    def targets(self) -> list[str]:
        """`[images]`, their synset ids."""
        return [image.wnid for image in self.images]

    def notes(self) -> list[str]:
        """Notes about the data."""
        return [*super().notes(), *(f"not read: {line}" for line in self.left_out)]

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return {**super().summary(), "classes": len(self.synsets)}


class ImageNet(ItemBenchmark):
    """ImageNet: accuracy of the first guess, by a fine-tuned classifier or with --zero-shot.

    Zero-shot, every image is scored with a sentence for every class by the retrieval score. With
    --probe a linear classifier is fitted on the frozen features of any image tower.
    """

    name = dataset = "imagenet"
    title = "ImageNet"
    task = "image classification"
    capabilities = ("image_classifier",)
    splits = ("val", "train")
    default_split = "val"
    main_metric = "accuracy"
    zero_shot = True
    auto_dtype = True
    Options = ImageNetOptions
    unit = "images"

    def alternatives(self, request: Request) -> tuple[str, ...]:
        """Fine-tuned models classify; zero-shot ones score images with sentences."""
        if request.options.probe:
            return linear_probe.CAPABILITIES
        return zero_shot.alternatives(request) if request.zero_shot else self.capabilities

    def tuned(self, request: Request) -> bool:
        """A probe is fitted here, on the features of any model."""
        return not request.options.probe

    def read(self, suite: Suite, request: Request) -> ImageNetData:
        """Read one split, and a probe's training split, and make sure that all images are there."""
        self.require_split(request.split)
        at = ImageNetFiles(suite.root)
        synsets = tuple(read_synsets(at.mapping))
        left_out = Skips()
        everything = _labelled(at, request.split, left_out)
        training: tuple[LabelledImage, ...] = ()
        if request.options.probe:
            pool = _labelled(at, "train", left_out)
            training = spread_items(pool, request.options.probe_images, "training images")
        known = {synset.wnid for synset in synsets}
        unknown = sorted({image.wnid for image in (*everything, *training)} - known)
        if unknown:
            raise BadData(f"{at.mapping} lacks classes that have images: {first_few(unknown)}")
        images = spread_items(everything, request.limit, "images")
        classes: list[Any] = [[synset.wnid, *synset.names] for synset in synsets]
        shown = (*images, *training)
        lines = [[image.name, image.wnid] for image in shown]
        paths = [image.path for image in shown if image.path is not None]
        counts = (len(images), len(everything))
        return ImageNetData(
            extent=SplitInfo.of(suite, self.dataset, (request.split,), self.unit, *counts),
            fingerprint=fingerprint(request.split, [*classes, *lines], paths),
            pictures=paths,
            # What a probe predicts depends on all of its training images.
            contents=() if training else contents_of(lines, paths, classes),
            images=images,
            synsets=synsets,
            left_out=tuple(left_out.lines()),
            training=training,
        )

    def details(self, model: Any, request: Request) -> dict[str, Any]:
        """Protocol of the classes; errors as of `zero_shot.protocol` and `linear_probe.recipe`."""
        if request.options.probe:
            probe = linear_probe.recipe(request)
            return {"score": "logit", "probe": probe, "ties": _TIES}
        how = zero_shot.protocol(model, request) if request.zero_shot else {"score": "logit"}
        return {**how, "padding": "none", "ties": _TIES}

    def choose_dtype(self, exact: PairScorer, fast: PairScorer, data: ImageNetData) -> DtypeChoice:
        """Compare one image of each of some classes with their sentences."""
        names = {synset.wnid: synset.names[0] for synset in data.synsets}  # only times and ranks
        pairs = zip(data.targets[::-1], data.paths[::-1], strict=True)
        some = list({wnid: path for wnid, path in pairs}.items())[: dtype_choice.SAMPLE]
        sentences = zero_shot.prompts([names[wnid] for wnid, _ in some], zero_shot.ONE)
        return dtype_choice.choose(exact, fast, [path for _, path in some], sentences)

    def groups(self, data: ImageNetData) -> range:
        """One unit per image."""
        return range(len(data.images))

    def predict(
        self,
        model: Any,
        data: ImageNetData,
        request: Request,
        folder: Path,
        report: Report,
        share: ProcessGroup = ALL,
    ) -> prediction.Store:
        """Classify the images that are left, and keep what was found in `folder`."""
        scorer: _Ranker
        if request.options.probe:
            scorer = _probe(model, data, request, folder, report, share)
        else:
            scorer = _scorer(model, data, request)
        chunk, hint = self.chunk, None
        if isinstance(scorer, ClassScorer):
            chunk, hint = min(chunk, scorer.images_at_once), scorer.cheaper
        work = ChunkPlan.of(self.groups(data), self.unit, model.batch_size, chunk, data.contents)
        predictor = self._ranked(scorer, data)
        return prediction.predict(model, work, predictor, folder, report, share, hint)

    def predictor(self, model: Any, data: ImageNetData, request: Request) -> Predict:
        """Ranks the classes of images."""
        return self._ranked(_scorer(model, data, request), data)

    def _ranked(self, scorer: _Ranker, data: ImageNetData) -> Predict:
        numbers = {synset.wnid: number for number, synset in enumerate(data.synsets)}
        targets, paths = [numbers[wnid] for wnid in data.targets], data.paths

        def ranked(some: Sequence[int]) -> list[Prediction]:
            images = loaded([paths[number] for number in some])
            return _kept(scorer.rank(images, [targets[number] for number in some]), data.synsets)

        return ranked

    def results(
        self, model: Any, data: ImageNetData, found: Predictions, request: Request, folder: Path
    ) -> Results:
        """Accuracy of the first guess, and of the first five; one sample per image."""
        columns: dict[str, Sequence[Any]] = {
            "image": [image.name for image in data.images],
            **{
                name: found.column(name)
                for name in ("logit", "truth_score", "better", "tied_wrong")
            },
        }
        first, some = (_hits(columns, k) for k in (1, _TOP))
        samples = frame(columns, found.column("prediction"), data.targets, first)
        results = {
            **accuracy(first, len(data.synsets), request.seed),
            **accuracy(some, len(data.synsets), request.seed, _TOP),
        }
        notes, same = [], 0
        if request.options.probe:
            notes += linear_probe.read(folder).notes()
        if request.zero_shot:
            names = zero_shot.class_names(data.synsets, request.options.class_names)
            same = len(names) - len(set(names))
        if same:
            notes.append(
                f"{same:,} classes have the name of another: their scores are always equal"
            )
        ties = sum(1 for tied in columns["tied_wrong"] if tied)
        if ties:
            notes.append(f"{ties:,} images have their class tied with another")
        return Results(results, samples, notes)

    def sample_metrics(self, samples: pd.DataFrame) -> dict[str, SampleMetric]:
        """The accuracies of a run's samples, for paired comparisons."""
        more = samples.assign(score=_hits(samples, _TOP))
        return {
            **subset_means(samples, "image", "image"),
            f"accuracy[top {_TOP}]": subset_means(more, "image", "image")["accuracy"],
        }

    def score(
        self,
        predictions: Annotated[Path, "csv: image,prediction; synset ids."],
        annotations: Annotated[
            Path, "The folder val/, with <wnid>/*.JPEG, or LOC_val_solution.csv."
        ],
        synsets: Annotated[
            Path | None, "LOC_synset_mapping.txt; by default the one beside the images."
        ] = None,
        allow_missing: bool = False,
        seed: int = 0,
    ) -> Scored:
        """ImageNet: accuracy of the first guess.

        Args:
            predictions: A csv file `image,prediction` with synset ids.
            annotations: The folder `val`, or `LOC_val_solution.csv`.
            synsets: `LOC_synset_mapping.txt`; None for the one that lies with the images. Without
                any, the classes are those that have images or are predicted.
            allow_missing: Score the images that have a prediction.
            seed: Seed of the bootstrap.

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
        pairs = [given[key] for key in chosen], [labels[key] for key in chosen]
        return scored(metrics(*pairs, len(classes), seed), chosen, labels, "images")


class _Ranker(Protocol):
    """Scorer that ranks the classes."""

    def rank(self, images: Sequence[Any], targets: Sequence[int]) -> Ranking:
        """Rank of each image's true class."""
        ...


def _probe(
    model: Any,
    data: ImageNetData,
    request: Request,
    folder: Path,
    report: Report,
    share: ProcessGroup,
) -> linear_probe.Probe:
    """A linear classifier on the model's features, fitted on the training images."""
    numbers = {synset.wnid: number for number, synset in enumerate(data.synsets)}
    paths = [image.path for image in data.training if image.path is not None]
    labels = [numbers[image.wnid] for image in data.training]
    return linear_probe.fitted(model, paths, labels, len(numbers), request, folder, report, share)


def _scorer(model: Any, data: ImageNetData, request: Request) -> ClassScorer | _Classifier:
    """Scorer that ranks the classes."""
    if request.zero_shot:
        return ClassScorer(model, data.synsets, request)
    return _Classifier(model, data.synsets)


class _Classifier:
    """Ranks the classes by a classifier's logits."""

    def __init__(self, model: ImageClassifier, synsets: Sequence[Synset]) -> None:
        self._model = model
        self._columns = _columns(model, synsets)

    def rank(self, images: Sequence[Any], targets: Sequence[int]) -> Ranking:
        """Rank of each image's true class, as `ClassScorer.rank`."""
        logits = self._model.classify_images(images).detach().float().cpu().numpy()
        return rank_classes(logits[:, self._columns], targets)


def _columns(model: ImageClassifier, synsets: Sequence[Synset]) -> list[int]:
    """The column of each class: models name classes by synset id, or by all its names.

    Where classes share a name ("crane", the bird and the machine), the columns of that name are taken
    in the order of synset ids, which is ImageNet's standard order; the model's others must be in it.

    Raises:
        IncompatibleModel: Classes that the model does not know, or whose columns cannot be told apart.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(model.image_classes):
        places.setdefault(name, []).append(place)
    sharing: dict[str, list[str]] = {}
    named = {}
    for synset in sorted(synsets, key=lambda one: one.wnid):
        name = synset.wnid if synset.wnid in places else ", ".join(synset.names)
        named[synset.wnid] = name
        sharing.setdefault(name, []).append(synset.wnid)
    missing = [synset.wnid for synset in synsets if named[synset.wnid] not in places]
    if missing:
        raise IncompatibleModel(
            f"model '{model.name}' does not know {len(missing):,} of the {len(synsets):,} classes: "
            f"{first_few(missing)}"
        )
    found = {
        wnid: place
        for name, wnids in sharing.items()
        for wnid, place in zip(wnids, places[name], strict=False)
    }
    doubtful = [
        wnids[0]
        for name, wnids in sharing.items()
        if max(len(wnids), len(places[name])) > 1
        and (len(wnids) != len(places[name]) or not _in_order(found))
    ]
    if doubtful:
        names = [f"'{named[wnid]}'" for wnid in doubtful]
        raise IncompatibleModel(
            f"model '{model.name}' has several columns called {first_few(names)}, and not in the order "
            "of synset ids: their order is ambiguous; use synset ids as names"
        )
    return [found[synset.wnid] for synset in synsets]


def _in_order(columns: Mapping[str, int]) -> bool:
    """Whether columns are in the order of synset ids."""
    ordered = [columns[wnid] for wnid in sorted(columns)]
    return ordered == sorted(ordered)


def _kept(ranking: Ranking, synsets: Sequence[Synset]) -> list[prediction.Prediction]:
    """Saved prediction of each image."""
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


def _hits(columns: Any, k: int) -> Floats:
    """Probability that the true class is among the first k, `[images]`."""
    better, tied = (np.asarray(columns[name], dtype=np.int64) for name in ("better", "tied_wrong"))
    return hits_at(k, better, tied, np.ones_like(better))


def metrics(
    predictions: Sequence[str], targets: Sequence[str], classes: int, seed: int
) -> dict[str, Metric]:
    """Accuracy in percent.

    Args:
        predictions: `[images]`, synset ids.
        targets: `[images]`, synset ids.
        classes: Number of classes to choose from.
        seed: Seed of the bootstrap over images.

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
        seed: Seed of the bootstrap over images.
        first: Guesses that count.

    Returns:
        "accuracy", or "accuracy[top 5]" for the first five.
    """
    name = "accuracy" if first == 1 else f"accuracy[top {first}]"
    whole = {name: np.ones(len(values), dtype=np.bool_)}
    return means(values, whole, np.arange(len(values)), seed, chance=min(1.0, first / classes))


def _labelled(at: ImageNetFiles, split: str, left_out: Skips) -> list[LabelledImage]:
    """Images in folders named by synset, or as val is distributed: flat, with a file of labels."""
    folder, solution = at.images(split), at.solution
    sorted_by_class = folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())
    if sorted_by_class or split != "val" or not solution.is_file():
        return read_labels(folder, left_out=left_out)
    labels = read_labels(solution)
    return [replace(image, path=folder / f"{image.name}.JPEG") for image in labels]
