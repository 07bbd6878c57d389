"""ImageNet accuracy of the first guess."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evals.metrics import Metric
from evals.resampling import means
from evals.scoring import Scored, answered, missing_note
from unimo2.errors import BadData
from unimo2.formats.fields import first_few
from unimo2.formats.imagenet import find_mapping, read_labels, read_predictions, read_synsets


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
    whole = {"accuracy": np.ones(len(values), dtype=np.bool_)}
    return means(values, whole, np.arange(len(values)), seed, chance=1 / classes)


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
            the classes are those that have images.
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
    if mapping is None:
        classes = set(labels.values())
    else:
        classes = {synset.wnid for synset in read_synsets(mapping)}
        unknown = sorted(set(labels.values()) - classes)
        if unknown:
            raise BadData(f"{annotations}: classes that {mapping} lacks: {first_few(unknown)}")
    given = read_predictions(predictions, classes)
    chosen = answered(given, list(labels), "images", allow_missing)
    return Scored(
        metrics=metrics(
            [given[key] for key in chosen], [labels[key] for key in chosen], len(classes), seed
        ),
        missing=len(labels) - len(chosen),
        notes=missing_note(len(chosen), len(labels), "images"),
    )
