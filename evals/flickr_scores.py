"""Flickr30k recalls from a score matrix that somebody computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evals.item_data import known_split
from evals.metrics.ranking import rank_images, rank_texts, retrieval_metrics
from evals.scoring import Scored
from unimo2.errors import BadData, MissingData
from unimo2.formats.karpathy import parse_karpathy


def score(scores: Path, annotations: Path, split: str = "test", seed: int = 0) -> Scored:
    """Recall both ways, by the functions that `unimo2 eval flickr` uses.

    Args:
        scores: A .npy file, `[images, captions]`, in the order of the split in the annotations;
            higher is better.
        annotations: Karpathy's JSON.
        split: "train", "val" or "test".
        seed: Of the bootstrap.

    Returns:
        The metrics.

    Raises:
        MissingData: A file is not there.
        BadData: A broken file, or a matrix of another shape than the split.
        UsageError: An unknown split.
    """
    known_split(split, ("train", "val", "test"), "Flickr30k")
    images = parse_karpathy(annotations, annotations.parent, (split,))
    owner = np.repeat(np.arange(len(images)), [len(image.captions) for image in images])
    matrix = _read(scores)
    if matrix.shape != (len(images), len(owner)):
        raise BadData(
            f"{scores}: shape {list(matrix.shape)}; the {split} split of {annotations} has "
            f"{len(images):,} images and {len(owner):,} captions: expected [images, captions]"
        )
    try:
        by_image, by_text = rank_images(matrix, owner), rank_texts(matrix, owner)
    except BadData as error:
        missing = np.isnan(matrix) if matrix.dtype.kind == "f" else np.array([False])
        shortlisted = missing.any() and not missing.all()
        hint = (
            "; a run with --rerank leaves them for pairs that it did not score, and its record has "
            "the recalls"
        )
        raise BadData(f"{scores}: {error}{hint if shortlisted else ''}") from None
    metrics = retrieval_metrics(by_image, by_text, owner, seed)
    notes = (
        f"{ties:,} {what} have their truth tied with a wrong candidate; equal scores stand in "
        "random order, in expectation"
        for what, ties in (("captions", by_image.ties), ("images", by_text.ties))
        if ties
    )
    return Scored(metrics, notes=tuple(notes))


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingData(f"score matrix not found: {path}")
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadData(f"{path}: not a .npy file of numbers ({error})") from None
    if not isinstance(matrix, np.ndarray):
        raise BadData(f"{path}: an archive of arrays; expected one array, a .npy file")
    return matrix
