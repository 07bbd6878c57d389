"""Flickr30k image-text retrieval (paper, section 4.1, table 1): every image with every caption."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals.benchmark import Outcome, Report, Request
from evals.metrics import (
    RECALL_AT,
    RESAMPLES,
    Ints,
    Metric,
    Ranking,
    rank_images,
    rank_texts,
    retrieval_metrics,
)
from evals.retrieval import scorer
from evals.retrieval.planner import make_plan
from evals.retrieval.writer import BlockWriter, Scores
from evals.suites import MINI, Suite
from unimo2.errors import BadData, IncompatibleModel, MissingData, UsageError
from unimo2.formats.karpathy import KarpathyImage, parse_karpathy

if TYPE_CHECKING:
    import pandas as pd

    from zoo.interfaces import Model, PairScorer

CAPABILITY = "pair_scorer"
ANNOTATIONS = "flickr30k/dataset_flickr30k.json"
IMAGES = "flickr30k/flickr30k-images"
OFFICIAL = {"train": 29_000, "val": 1_014, "test": 1_000}  # images in Karpathy's splits


@dataclass(frozen=True)
class RetrievalData:
    """Images and captions of one split.

    Attributes:
        images: In the order of the annotation file.
        split: Its name.
        suite: Name of the suite.
        root_name: Name of the data root's folder.
        available: Images that the split has, before a limit.
        official: These are exactly the images that published numbers are measured on.
        note: How they differ from the official ones; None if they do not, or for a suite that
            has no official counts.
        fingerprint: sha256 of ids, texts and image files.
    """

    images: tuple[KarpathyImage, ...]
    split: str
    suite: str
    root_name: str
    available: int
    official: bool
    note: str | None
    fingerprint: str

    @property
    def captions(self) -> list[str]:
        """All captions, image by image."""
        return [caption.text for image in self.images for caption in image.captions]

    @property
    def caption_image(self) -> Ints:
        """`[captions]`, index of each caption's image."""
        counts = [len(image.captions) for image in self.images]
        return np.repeat(np.arange(len(counts)), counts)

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return {
            "fingerprint": self.fingerprint,
            "root_name": self.root_name,
            "split": self.split,
            "images": len(self.images),
            "captions": len(self.captions),
            "official": self.official,
            "note": self.note,
        }

    def notes(self) -> list[str]:
        """What a reader must know about the data."""
        if self.note is None:
            return []
        if self.suite == MINI:
            return [f"{self.split} images: {self.note} of this suite"]
        return [
            f"{self.split} images: {self.note}; this is not the official split of Flickr30k, "
            "so it is not comparable with published numbers"
        ]


def read(suite: Suite, request: Request) -> RetrievalData:
    """Read one split and make sure that all its image files are there.

    Args:
        suite: The data root.
        request: Gives the split and the limit.

    Returns:
        The data.

    Raises:
        MissingData: No annotation file, or an image file is missing.
        BadData: A broken annotation file, a split without images.
        UsageError: A limit below 1, an unknown split.
    """
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit {request.limit}: at least 1 image is needed")
    if request.split not in OFFICIAL:
        raise UsageError(f"unknown split '{request.split}'; Flickr30k has {', '.join(OFFICIAL)}")
    path = suite.root / ANNOTATIONS
    everything = parse_karpathy(path, suite.root / IMAGES)
    counts = Counter(image.split for image in everything)
    if not counts[request.split]:
        found = ", ".join(f"{split} {count:,}" for split, count in counts.items())
        raise BadData(f"{path} has no '{request.split}' images (it has: {found})")
    images = tuple(image for image in everything if image.split == request.split)[: request.limit]
    official, note = _compare(suite.name, counts, request.split, len(images))
    return RetrievalData(
        images=images,
        split=request.split,
        suite=suite.name,
        root_name=suite.root.resolve().name,
        available=counts[request.split],
        official=official,
        note=note,
        fingerprint=_fingerprint(images, request.split),
    )


def _compare(
    suite: str, counts: Mapping[str, int], split: str, used: int
) -> tuple[bool, str | None]:
    """Whether the images are the official ones, found by counting, and how they differ."""
    if suite == MINI:
        return False, None if used == counts[split] else f"{used:,} of {counts[split]:,}"
    if used != OFFICIAL[split]:
        return False, f"{used:,} of {OFFICIAL[split]:,}"
    for other, official in OFFICIAL.items():
        if counts[other] not in (0, official):
            return False, (
                f"{used:,} of {OFFICIAL[split]:,}, but {other} has {counts[other]:,} images "
                f"instead of {official:,}"
            )
    return True, None


def _fingerprint(images: Sequence[KarpathyImage], split: str) -> str:
    """The sha256 of ids, texts and the bytes of the image files."""
    digest = hashlib.sha256(split.encode())
    for image in images:
        try:
            content = image.path.read_bytes()
        except FileNotFoundError:
            raise MissingData(f"image not found: {image.path}") from None
        captions = [(caption.id, caption.text) for caption in image.captions]
        digest.update(json.dumps([image.id, image.filename, captions]).encode())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How retrieval is measured.

    Args:
        model: A pair scorer.
        request: What was asked for.

    Returns:
        The record's "protocol".

    Raises:
        IncompatibleModel: A weight is asked for and the model's score has no such parts.
    """
    own = cast("PairScorer", model).contrastive_weight
    weight = request.contrastive_weight
    if weight is not None and own is None:
        raise IncompatibleModel(
            f"model '{model.name}' has no contrastive part: leave --contrastive-weight out"
        )
    used = own if weight is None else weight
    return {
        "task": "image-text retrieval",
        "zero_shot": request.zero_shot,
        "pairs": "exhaustive",
        "score": "the model's" if used is None else "itm + contrastive_weight * contrastive",
        "contrastive_weight": used,
        "padding": "none",
        "recall_at": list(RECALL_AT),
        "ties": "expectation over a random order of equal scores",
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def measure(
    model: PairScorer, data: RetrievalData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Score every image with every caption and compute the recalls.

    Args:
        model: The scorer.
        data: From `read`.
        request: Gives the batch size, the contrastive weight and the seed.
        folder: Keeps finished blocks, and receives the score matrices.
        report: Called as the work goes on.

    Returns:
        Recalls of the score and, in brackets, of its parts alone; one sample per caption and
        per image.
    """
    writer = BlockWriter(folder, len(data.images))
    plan = make_plan(len(data.images), len(data.captions), writer.finished())
    paths = [image.path for image in data.images]
    batch_size = request.batch_size or model.batch_size
    seconds = scorer.score(model, paths, data.captions, plan, writer, batch_size, report)
    parts, block_seconds = writer.assemble(plan.blocks)
    seconds += block_seconds
    if request.contrastive_weight is not None:
        weight = np.float32(request.contrastive_weight)
        parts["score"] = parts["itm"] + weight * parts["contrastive"]
    writer.publish(parts)
    metrics: dict[str, Metric] = {}
    for name, matrix in parts.items():
        suffix = "" if name == "score" else f"[{name}]"
        found = _recalls(matrix, data.caption_image, request.seed)
        metrics.update({f"{key}{suffix}": metric for key, metric in found.items()})
    return Outcome(
        metrics=dict(sorted(metrics.items(), key=lambda item: "[" in item[0])),
        samples=_samples(parts["score"], data),
        seconds=seconds,
        throughput={"pairs_per_second": plan.pairs / seconds if seconds else 0.0},
        clean_up=writer.discard,
    )


def _recalls(scores: Scores, caption_image: Ints, seed: int) -> dict[str, Metric]:
    images, texts = rank_images(scores, caption_image), rank_texts(scores, caption_image)
    return retrieval_metrics(images, texts, caption_image, seed)


def _samples(scores: Scores, data: RetrievalData) -> pd.DataFrame:
    """One row per caption (image retrieval), then one per image (text retrieval)."""
    import pandas as pd

    image_ids = np.array([image.id for image in data.images])
    caption_ids = np.array([caption.id for image in data.images for caption in image.captions])
    owner = data.caption_image
    by_caption = rank_images(scores, owner)
    by_image = rank_texts(scores, owner)
    rows = [
        _rows("image_retrieval", by_caption, caption_ids, image_ids, image_ids[owner]),
        _rows("text_retrieval", by_image, image_ids, caption_ids, image_ids),
    ]
    return pd.concat(rows, ignore_index=True)


def _rows(
    task: str, ranking: Ranking, queries: Ints, candidates: Ints, images: Ints
) -> pd.DataFrame:
    """The samples of one direction; `image` is the unit that intervals resample."""
    import pandas as pd

    return pd.DataFrame(
        {
            "task": task,
            "query": queries,
            "image": images,
            "rank": ranking.rank,
            "better": ranking.better,
            "tied_wrong": ranking.tied_wrong,
            "tied_right": ranking.tied_right,
            "truth": candidates[ranking.truth],
            "truth_score": ranking.truth_score,
            "best": candidates[ranking.best],
            "best_score": ranking.best_score,
        }
    )
