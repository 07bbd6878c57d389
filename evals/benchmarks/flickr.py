"""Flickr30k image-text retrieval (paper, section 4.1, table 1): every image with every caption."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals.batch_sizes import Search
from evals.benchmark import Outcome, Report, Request, SampleMetric
from evals.distributed import ALL, Share
from evals.metrics.ranking import (
    RECALL_AT,
    RESAMPLES,
    Ints,
    Metric,
    Ranking,
    rank_images,
    rank_texts,
    retrieval_metrics,
)
from evals.retrieval import dtype_choice, samples, scorer
from evals.retrieval.coverage import coverage_notes
from evals.retrieval.planner import Plan, make_plan
from evals.retrieval.shortlist import Shortlists
from evals.retrieval.writer import BlockWriter, Scores
from evals.scoring import Scored
from evals.splits import known_split
from evals.suites import MINI, Suite
from unimo2.errors import BadData, IncompatibleModel, MissingData, UsageError
from unimo2.formats.karpathy import KarpathyImage, parse_karpathy
from zoo import protocols

if TYPE_CHECKING:
    import pandas as pd

    from evals.retrieval.dtype_choice import PrecisionChoice
    from zoo.protocols import Model, PairScorer, Shortlister

CAPABILITY = "pair_scorer"
SPLIT = "test"
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
        official: These are exactly the images of Karpathy's split: published numbers are measured on
            his test split, the paper's own ones on his validation split.
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


@dataclass(frozen=True)
class Work:
    """What a run has scored, and where it is.

    Attributes:
        writer: The blocks.
        plan: All of them.
        shortlists: By which pairs were chosen; None for all pairs.
        contrastive: `[images, captions]`, by which those were chosen.
        seconds: What the towers took in this session.
    """

    writer: BlockWriter
    plan: Plan
    shortlists: Shortlists | None
    contrastive: Scores | None
    seconds: float


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
    known_split(request.split, OFFICIAL, "Flickr30k")
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
        IncompatibleModel: A weight is asked for and the model's score has no such parts; a
            shortlist, and the model has no contrastive score of its own.
        UsageError: A shortlist of no candidates.
    """
    if request.rerank is not None:
        if request.rerank < 1:
            raise UsageError(f"--rerank {request.rerank}: at least 1 candidate is needed")
        protocols.require(model, "shortlister")
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
        "pairs": "exhaustive" if request.rerank is None else _shortlist_rule(request.rerank),
        "rerank": request.rerank,
        "score": "the model's" if used is None else "itm + contrastive_weight * contrastive",
        "contrastive_weight": used,
        "padding": "none",
        "recall_at": list(RECALL_AT),
        "ties": "expectation over a random order of equal scores",
        "interval": f"percentile bootstrap over images, {RESAMPLES:,} resamples",
    }


def choose_precision(exact: PairScorer, fast: PairScorer, data: RetrievalData) -> PrecisionChoice:
    """Whether the faster number format will do, by a sample of the split: `--dtype auto`.

    Args:
        exact: The model in float32.
        fast: In bfloat16.
        data: From `read`.

    Returns:
        The choice.
    """
    sample = data.images[: dtype_choice.SAMPLE]
    captions = [image.captions[0].text for image in sample]
    return dtype_choice.choose(exact, fast, [image.path for image in sample], captions)


def _shortlist_rule(k: int) -> str:
    return (
        f"shortlist of {k} images a caption and {k} captions an image by contrastive score, "
        "fused; the others below, by contrastive score"
    )


def predict(
    model: PairScorer,
    data: RetrievalData,
    request: Request,
    folder: Path,
    report: Report,
    share: Share = ALL,
) -> Work:
    """Score the pairs that are left, or those of a shortlist, and keep their blocks in `folder`.

    Args:
        model: The scorer.
        data: From `read`.
        request: Gives the batch size and the shortlist.
        folder: The run folder.
        report: Called as the work goes on.
        share: Which blocks are this process's.

    Returns:
        The plan, and where the blocks are.
    """
    writer = BlockWriter(folder, len(data.images))
    paths = [image.path for image in data.images]
    batch_size = request.batch_size or model.batch_size
    started = time.perf_counter()
    if share.first:
        _choose(model, data, request, writer, batch_size, report)
    share.wait()
    contrastive = writer.kept("contrastive") if request.rerank is not None else None
    shortlists = None
    if contrastive is not None and request.rerank is not None:
        shortlists = Shortlists.of(contrastive, request.rerank)
    seconds = time.perf_counter() - started
    chosen = None if shortlists is None else shortlists.pairs
    plan = make_plan(len(data.images), len(data.captions), writer.finished(), chosen)
    others = [block for unit, block in enumerate(plan.blocks) if not share.takes(unit)]
    own = replace(plan, remaining=tuple(b for b in plan.remaining if b not in others))
    search = Search.of_run(folder, batch_size, own.extent, keeps=share.first)
    seconds += scorer.score(model, paths, data.captions, own, writer, search, report)
    return Work(writer, plan, shortlists, contrastive, seconds)


def measure(
    model: PairScorer, data: RetrievalData, request: Request, folder: Path, report: Report
) -> Outcome:
    """Score every image with every caption, or the pairs of a shortlist; compute the recalls.

    Args:
        model: The scorer.
        data: From `read`.
        request: Gives the batch size, the contrastive weight, the shortlist and the seed.
        folder: Keeps finished blocks, and receives the score matrices.
        report: Called as the work goes on.

    Returns:
        Recalls of the score and, in brackets, of its parts alone; one sample per caption and
        per image.
    """
    work = predict(model, data, request, folder, report)
    parts, block_seconds = work.writer.assemble(work.plan.blocks)
    seconds = work.seconds + block_seconds
    if work.contrastive is not None:
        parts["contrastive"] = work.contrastive
    weight = model.contrastive_weight
    if request.contrastive_weight is not None:
        weight = request.contrastive_weight
        parts["score"] = parts["itm"] + np.float32(weight) * parts["contrastive"]
    work.writer.publish(parts)
    rankings = {name: _rank(parts, name, data.caption_image, work.shortlists) for name in parts}
    return Outcome(
        metrics=_metrics(rankings, data.caption_image, request.seed),
        samples=_samples(rankings, data),
        seconds=seconds,
        throughput={"pairs_per_second": work.plan.pairs / seconds if seconds else 0.0},
        clean_up=work.writer.discard,
        notes=coverage_notes(request.rerank, weight, parts),
    )


def _metrics(
    rankings: Mapping[str, tuple[Ranking, Ranking]], owner: Ints, seed: int
) -> dict[str, Metric]:
    """Recalls of the whole score, then of its parts in brackets."""
    metrics: dict[str, Metric] = {}
    for name, (images, texts) in rankings.items():
        suffix = "" if name == "score" else f"[{name}]"
        found = retrieval_metrics(images, texts, owner, seed)
        metrics.update({f"{key}{suffix}": metric for key, metric in found.items()})
    return dict(sorted(metrics.items(), key=lambda item: "[" in item[0]))


def _choose(
    model: PairScorer,
    data: RetrievalData,
    request: Request,
    writer: BlockWriter,
    batch_size: int,
    report: Report,
) -> None:
    """Keep the contrastive scores that a shortlist is chosen by, unless they are there already."""
    if request.rerank is not None and writer.kept("contrastive") is None:
        paths = [image.path for image in data.images]
        chooser = cast("Shortlister", model)
        scores = scorer.contrastive_matrix(chooser, paths, data.captions, batch_size, report)
        writer.keep("contrastive", scores)


def _rank(
    parts: Mapping[str, Scores], name: str, owner: Ints, shortlists: Shortlists | None
) -> tuple[Ranking, Ranking]:
    """Image and text retrieval by one part of the score; the contrastive part covers all pairs."""
    if shortlists is None or name == "contrastive":
        return rank_images(parts[name], owner), rank_texts(parts[name], owner)
    return shortlists.rank(parts[name], parts["contrastive"], owner)


def _samples(rankings: Mapping[str, tuple[Ranking, Ranking]], data: RetrievalData) -> pd.DataFrame:
    caption_ids = [caption.id for image in data.images for caption in image.captions]
    return samples.frame(
        rankings,
        np.array([image.id for image in data.images]),
        np.array(caption_ids),
        data.caption_image,
    )


def sample_metrics(found: pd.DataFrame) -> dict[str, SampleMetric]:
    """The recalls of a run's samples, as `measure` leaves them, for paired comparisons."""
    return samples.metrics(found)


# Flickr30k recalls from a score matrix that somebody computed.


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
