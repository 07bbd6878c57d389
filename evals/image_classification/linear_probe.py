"""A linear probe: logistic regression on frozen features of an image tower (the row of SimCLR).

The recipe is CLIP's (Radford et al., 2021, appendix A.3): features as the tower gives them, multinomial
logistic regression by L-BFGS with at most 1,000 iterations, the strength of L2 found by a search that
narrows around the best on images held out of the training split, then fitted on all of that split.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.benchmark import Request, option
from evals.distributed import ProcessGroup
from evals.image_classification.zero_shot import ClassOptions
from evals.metrics.ranking import Floats, Ints, Ranking, rank_classes
from evals.prediction import with_room
from unimo2.console import Progress, Report
from unimo2.errors import BadCheckpoint, BadData, IncompatibleModel, UsageError
from unimo2.files import write_atomically
from unimo2.formats.images import loaded

if TYPE_CHECKING:
    from PIL.Image import Image

CAPABILITIES = ("image_encoder", "dual_encoder")
HELD_OUT = 0.1  # of each class's training images, for the choice of C
ITERATIONS = 1000
_EXPONENTS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # of C, at first; then steps are halved
_FINEST = 0.125  # 8 steps a decade
_FILE = "probe.npz"


@dataclass(frozen=True)
class ImageNetOptions(ClassOptions):
    """Of ImageNet.

    Attributes:
        probe: Whether a linear probe on frozen features is measured.
        probe_images: Training images at most, spread evenly over the classes; None for all.
    """

    probe: bool = option(
        False,
        "Linear probe: logistic regression on frozen features, fitted on the train split.",
        variant="linear-probe",
    )
    probe_images: int | None = option(
        None,
        "With --probe: training images at most, spread evenly.",
        range=(2, None),
        variant="{:g}-images",
    )


def recipe(request: Request) -> dict[str, Any]:
    """How the probe is fitted, for the record's "protocol".

    Raises:
        UsageError: Options that exclude each other.
    """
    import sklearn

    if request.zero_shot:
        raise UsageError("--probe trains a classifier on labels: leave --zero-shot out")
    if request.split == "train":
        raise UsageError("--probe is fitted on the train split: measure it on --split val")
    return {
        "classifier": "logistic_regression",
        "library": f"scikit-learn {sklearn.__version__}",
        "solver": "lbfgs",
        "iterations": ITERATIONS,
        "l2": "searched on held-out training images",
        "held_out": HELD_OUT,
        "seed": request.seed,
        "images": request.options.probe_images,
    }


@dataclass(frozen=True)
class Fitted:
    """A linear classifier.

    Attributes:
        weight: `[features, classes]`.
        bias: `[classes]`; minus infinity for classes without training images.
        strength: C that was chosen, the inverse of L2's strength.
        accuracy: Of it on the images held out, in percent.
        tried: How many C.
        images: Training images in all.
        unfinished: Fits that did not converge in time.
    """

    weight: Floats
    bias: Floats
    strength: float
    accuracy: float
    tried: int
    images: int
    unfinished: int

    def logits(self, features: NDArray[np.float32]) -> Floats:
        """`[images, classes]`; the lowest there is for a class that was not learnt."""
        found = features.astype(np.float64) @ self.weight
        return np.maximum(found + self.bias, np.finfo(np.float64).min)

    def notes(self) -> list[str]:
        """Notes for the record."""
        found = [
            f"linear probe: C {self.strength:.4g} is the best of {self.tried} on held-out training images "
            f"({self.accuracy:.1f} % there), fitted on {self.images:,} training images"
        ]
        missing = int(np.isinf(self.bias).sum())
        if missing:
            found.append(f"{missing:,} classes have no training image: none is given to them")
        if self.unfinished:
            found.append(
                f"{self.unfinished} of the fits did not converge in {ITERATIONS:,} iterations"
            )
        return found


def fit(features: NDArray[np.float32], labels: Ints, classes: int, seed: int) -> Fitted:
    """Find the strength of L2 on held-out images and fit on all.

    Args:
        features: `[images, features]`.
        labels: `[images]`, 0 to classes - 1.
        classes: Number of classes, with those that no image has.
        seed: Seed for the choice of images held out.

    Returns:
        The classifier.

    Raises:
        BadData: Fewer than two classes have two images.
    """
    held = _held_out(labels, seed)
    if len(np.unique(labels[~held])) < 2 or not held.any():
        raise BadData("a linear probe needs training images of two classes, two of each")
    unfinished = 0
    known: dict[float, float] = {}

    def accuracy(exponent: float) -> float:
        nonlocal unfinished
        if exponent not in known:
            model, whole = _regression(features[~held], labels[~held], 10.0**exponent)
            unfinished += not whole
            known[exponent] = 100.0 * float(np.mean(model.predict(features[held]) == labels[held]))
        return known[exponent]

    best = _search(accuracy)
    model, whole = _regression(features, labels, 10.0**best)
    weight, bias = np.zeros((features.shape[1], classes)), np.full(classes, -np.inf)
    # Of two classes scikit-learn keeps one column: the logit of the second against the first.
    rows = (
        model.coef_ if len(model.classes_) > 2 else np.stack([0 * model.coef_[0], model.coef_[0]])
    )
    first = model.intercept_ if len(model.classes_) > 2 else np.array([0.0, model.intercept_[0]])
    weight[:, model.classes_], bias[model.classes_] = rows.T, first
    return Fitted(
        weight=weight,
        bias=bias,
        strength=10.0**best,
        accuracy=known[best],
        tried=len(known),
        images=len(labels),
        unfinished=unfinished + (not whole),
    )


def _search(accuracy: Callable[[float], float]) -> float:
    """The exponent of C with the highest accuracy, the lowest of several; steps are halved around it."""
    exponents = list(_EXPONENTS)
    step = exponents[1] - exponents[0]
    while True:
        best = max(exponents, key=lambda one: (accuracy(one), -one))
        if step <= _FINEST:
            return best
        step /= 2
        exponents += [best - step, best + step]


def _held_out(labels: Ints, seed: int) -> NDArray[np.bool_]:
    """A tenth of each class's images, at least one of a class with two: `[images]`."""
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) > 1:
            count = max(1, round(HELD_OUT * len(places)))
            held[random.permutation(places)[:count]] = True
    return held


def _regression(features: NDArray[np.float32], labels: Ints, strength: float) -> tuple[Any, bool]:
    """A fitted regression, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, labels)
    return model, not any(issubclass(one.category, ConvergenceWarning) for one in caught)


class Probe:
    """Ranks the classes by a linear classifier on a model's features."""

    def __init__(self, model: Any, fitted: Fitted) -> None:
        """Put a model and what was fitted on its features together."""
        self._model, self._fitted = model, fitted

    def rank(self, images: Sequence[Image], targets: Sequence[int]) -> Ranking:
        """Rank of each image's true class, as `evals.image_classification.zero_shot.ClassScorer.rank`."""
        return rank_classes(self._fitted.logits(_features(self._model, images)), targets)


def fitted(
    model: Any,
    paths: Sequence[Path],
    labels: Sequence[int],
    classes: int,
    request: Request,
    folder: Path,
    report: Report,
    share: ProcessGroup,
) -> Probe:
    """Fit a probe, or read the one of an interrupted run.

    Args:
        model: With `embed_images`.
        paths: `[images]`, the training images.
        labels: `[images]`, numbers of their classes.
        classes: Number of classes.
        request: Gives the seed.
        folder: The run folder, which keeps what was fitted.
        report: Called as features are computed.
        share: The first process fits; the others wait.

    Returns:
        The probe.
    """
    if share.first and not (folder / _FILE).is_file():
        parts, size = [], model.batch_size
        for start in range(0, len(paths), size):
            parts.append(_features(model, loaded(paths[start : start + size])))
            report(Progress("training images", min(start + size, len(paths)), len(paths), None))
        _write(fit(np.concatenate(parts), np.asarray(labels), classes, request.seed), folder)
    share.wait()
    return Probe(model, read(folder))


def _features(model: Any, images: Sequence[Image]) -> NDArray[np.float32]:
    """`[images, features]`, of finite numbers."""
    found = with_room(model, lambda: model.embed_images(images)).detach().float().cpu().numpy()
    if found.ndim != 2 or len(found) != len(images):
        raise IncompatibleModel(
            f"model '{model.name}' embedded {len(images)} images: expected [{len(images)}, dim], got "
            f"{list(found.shape)}"
        )
    if not np.isfinite(found).all():
        raise BadCheckpoint(f"model '{model.name}' gives features that are not finite numbers")
    return np.asarray(found)


def _write(found: Fitted, folder: Path) -> None:
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(found).items()}
    write_atomically(folder / _FILE, lambda stream: np.savez(stream, **arrays))


def read(folder: Path) -> Fitted:
    """Fitted probe in a run folder."""
    with np.load(folder / _FILE, allow_pickle=False) as content:
        values = {name: content[name] for name in content.files}
    numbers = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Fitted(**{**values, **numbers})
