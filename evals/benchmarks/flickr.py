"""Flickr30k image-text retrieval (paper, section 4.1, table 1): every image with every caption."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np

from evals.batch_sizes import Search
from evals.benchmark import Benchmark, Outcome, Request, SampleMetric, Scored
from evals.benchmarks.coco import no_images
from evals.datasets.suites import MINI, Suite
from evals.distributed import ALL, ProcessGroup, Team
from evals.metrics.ranking import (
    RECALL_AT,
    Ints,
    Metric,
    Ranking,
    rank_images,
    rank_texts,
    retrieval_metrics,
)
from evals.records.protocol import Pairs, retrieval_name
from evals.retrieval import chooser, dtype_choice, samples, scorer
from evals.retrieval.options import RetrievalOptions
from evals.retrieval.planner import ScoringPlan, make_plan
from evals.retrieval.shortlist import Shortlists, coverage_notes
from evals.retrieval.weight import weighing
from evals.retrieval.writer import BlockWriter, Scores
from evals.splits import SplitData, SplitInfo, check_limit, content_of
from unimo2.console import Report, stage, tracked
from unimo2.errors import BadData, IncompatibleModel, MissingData
from unimo2.formats.karpathy import KarpathyImage, parse_karpathy, select_karpathy
from unimo2.formats.layout import Flickr30kFiles
from zoo import protocols

if TYPE_CHECKING:
    import pandas as pd

    from evals.benchmark import DtypeChoice
    from zoo.protocols import DualEncoder, Model, PairScorer, Shortlister

OFFICIAL = {"train": 29_000, "val": 1_014, "test": 1_000}  # images in Karpathy's splits


@dataclass(frozen=True)
class RetrievalData(SplitData):
    """Images and captions of one split.

    Published numbers are measured on Karpathy's test split, the paper's own ones on his validation
    split.

    Attributes:
        images: In the order of the annotation file.
        prompt: What captions are put into.
    """

    images: tuple[KarpathyImage, ...]
    prompt: str = "{}"

    @property
    def captions(self) -> list[str]:
        """All captions in the prompt, image by image."""
        texts = (caption.text for image in self.images for caption in image.captions)
        return [self.prompt.replace("{}", text) for text in texts]

    @property
    def caption_image(self) -> Ints:
        """`[captions]`, index of each caption's image."""
        counts = [len(image.captions) for image in self.images]
        return np.repeat(np.arange(len(counts)), counts)

    def summary(self) -> dict[str, Any]:
        """The record's "data"."""
        return {**super().summary(), "captions": len(self.captions)}


@dataclass(frozen=True)
class ScoringState:
    """What a run has scored, and where it is.

    Attributes:
        writer: The blocks.
        plan: All of them.
        shortlists: By which pairs were chosen; None for all pairs.
        chosen_by: Name of the part of the score that chose: "contrastive", or "chooser" for another
            model's score.
        choosing: `[images, captions]`, that part.
        seconds: What the towers took in this session.
    """

    writer: BlockWriter
    plan: ScoringPlan
    shortlists: Shortlists | None
    chosen_by: str
    choosing: Scores | None
    seconds: float


class Flickr(Benchmark):
    """Flickr30k retrieval: score every image with every caption, recall both ways.

    With --rerank K a contrastive shortlist chooses the pairs, which a long run may need; with
    --shortlist-from NAME it is another model's.
    """

    name = "flickr"
    title = "Flickr30k retrieval"
    dataset = "flickr30k"
    task = "image-text retrieval"
    capabilities = ("pair_scorer", "dual_encoder")
    splits = tuple(OFFICIAL)
    default_split = "test"
    dev_split = "val"
    main_metric = "image_retrieval/R@1"
    validation_metric = "recall@1"  # the mean of both directions
    zero_shot = True
    auto_dtype = True
    Options = RetrievalOptions

    def files(self, split: str) -> Sequence[Path]:
        """Karpathy's file, which holds all splits."""
        return (Flickr30kFiles(Path()).annotations,)

    def absence(self, root: Path, split: str) -> str | None:
        """Why a split cannot be measured here: no file, or no image of the split in it."""
        return super().absence(root, split) or no_images(Flickr30kFiles(root).annotations, split)

    def read(self, suite: Suite, request: Request) -> RetrievalData:
        """Read one split and make sure that all its image files are there."""
        check_limit(request.limit, "images")
        self.require_split(request.split)
        at = Flickr30kFiles(suite.root)
        path = at.annotations
        split = request.split
        everything, counts = select_karpathy(path, at.images, (split,))
        if not counts[split]:
            found = ", ".join(f"{split} {count:,}" for split, count in counts.items())
            raise BadData(f"{path} has no '{split}' images (it has: {found})")
        images = tuple(everything[: request.limit])
        official, note = _compare(suite.name, counts, split, len(images))
        extent = SplitInfo(
            title="Flickr30k",
            split=split,
            suite=suite.name,
            root_name=suite.root.resolve().name,
            unit="images",
            used=len(images),
            images=None,
            official=official,
            note=note,
        )
        paths = [image.path for image in images]
        prompt, digest = request.options.prompt, _fingerprint(images, split)
        return RetrievalData(extent, digest, images, prompt, pictures=paths)

    def completed(self, request: Request, suite: Suite, share: ProcessGroup) -> Request:
        """The request with the model that chooses the pairs, if it is another one."""
        return chooser.completed(request, suite, share)

    def details(self, model: Model, request: Request) -> dict[str, Any]:
        """How retrieval is measured.

        Raises:
            IncompatibleModel: A weight is asked for and the model's score has no such parts; a
                shortlist, and the model has no contrastive score of its own.
            UsageError: A shortlist of no candidates.
        """
        options = request.options
        rerank, weight = options.rerank, options.contrastive_weight
        if rerank is not None:
            protocols.require(model, "shortlister" if options.chooser is None else "pair_scorer")
        own = getattr(model, "contrastive_weight", None)
        if weight is not None and own is None:
            raise IncompatibleModel(
                f"model '{model.name}' has no contrastive part: leave --contrastive-weight out"
            )
        used = own if weight is None else weight
        score = "the model's" if used is None else "itm + contrastive_weight * contrastive"
        found = {
            "pairs": (Pairs.EXHAUSTIVE if rerank is None else Pairs.SHORTLISTS).value,
            "rerank": rerank,
            **({"shortlist_from": options.chooser.facts()} if options.chooser else {}),
            **({"text_prompt": options.prompt} if options.text_prompt is not None else {}),
            "score": score if isinstance(model, protocols.PairScorer) else "dot",
            "contrastive_weight": used,
            "padding": "none",
            "recall_at": list(RECALL_AT),
            "ties": "expectation over a random order of equal scores",
        }
        return {"name": retrieval_name(found), **found}

    def choose_dtype(self, exact: PairScorer, fast: PairScorer, data: RetrievalData) -> DtypeChoice:
        """Compare one caption of each of some images."""
        sample = data.images[: dtype_choice.SAMPLE]
        captions = [data.prompt.replace("{}", image.captions[0].text) for image in sample]
        return dtype_choice.choose(exact, fast, [image.path for image in sample], captions)

    def predict(
        self,
        model: PairScorer | DualEncoder,
        data: RetrievalData,
        request: Request,
        folder: Path,
        report: Report,
        share: ProcessGroup = ALL,
    ) -> ScoringState:
        """Score the pairs that are left, or those of a shortlist, and keep their blocks.

        Args:
            model: Its pair score is taken where it has one, else the product of its vectors.
            data: From `read`.
            request: Gives the batch size and the shortlist.
            folder: The run folder.
            report: Called as the work progresses.
            share: Which blocks are this process's.

        Returns:
            The plan, and where the blocks are.
        """
        writer = BlockWriter(folder, len(data.images))
        paths = [image.path for image in data.images]
        started = time.perf_counter()
        if share.first:
            _choose(model, data, request, writer, report)
        share.wait()
        rerank, shortlists, by = request.options.rerank, None, _chosen_by(request)
        choosing = None if rerank is None else writer.kept(by)
        if choosing is not None:
            shortlists = Shortlists.of(choosing, rerank)
        seconds = time.perf_counter() - started
        chosen = None if shortlists is None else shortlists.pairs
        dual = not isinstance(model, protocols.PairScorer)
        plan = make_plan(len(data.images), len(data.captions), writer.finished(), chosen, dual)
        others = [block for unit, block in enumerate(plan.blocks) if not share.takes(unit)]
        own = replace(plan, remaining=tuple(b for b in plan.remaining if b not in others))
        if isinstance(model, protocols.PairScorer):
            size = request.batch_size or model.batch_size
            search = Search.of_run(folder, size, own.extent, keeps=share.first)
            seconds += scorer.score(model, paths, data.captions, own, writer, search, report)
        else:
            seconds += scorer.score_products(model, paths, data.captions, own, writer, report)
        return ScoringState(writer, plan, shortlists, by, choosing, seconds)

    def measure(
        self,
        model: PairScorer | DualEncoder,
        data: RetrievalData,
        request: Request,
        folder: Path,
        report: Report,
    ) -> Outcome:
        """Score the pairs and compute the recalls.

        Args:
            model: As for `predict`.
            data: From `read`.
            request: Gives the batch size, the contrastive weight, the shortlist and the seed.
            folder: Keeps finished blocks, and receives the score matrices.
            report: Called as the work progresses.

        Returns:
            Recalls of the score and, in brackets, of its parts alone; one sample per caption and
            per image.
        """
        work = self.predict(model, data, request, folder, report)
        parts, block_seconds = work.writer.assemble(work.plan.blocks)
        seconds = work.seconds + block_seconds
        if work.choosing is not None:
            parts[work.chosen_by] = work.choosing
        weight = getattr(model, "contrastive_weight", None)
        if request.options.contrastive_weight is not None:
            weight = request.options.contrastive_weight
            parts["score"] = parts["itm"] + np.float32(weight) * parts["contrastive"]
        work.writer.publish(parts)
        owner = data.caption_image
        with stage("ranking and intervals"):
            rankings = {name: _rank(parts, name, owner, work) for name in parts}
            metrics = _metrics(rankings, owner, request.seed)
        if work.shortlists is not None and request.options.chooser is not None:
            metrics |= chooser.on_shortlist(work.shortlists, owner, request.seed)
        own = weight if work.chosen_by == chooser.CONTRASTIVE else None
        return Outcome(
            metrics=metrics,
            samples=_samples(rankings, data),
            seconds=seconds,
            throughput={"pairs_per_second": work.plan.pairs / seconds if seconds else 0.0},
            clean_up=work.writer.discard,
            notes=coverage_notes(request.options.rerank, own, parts),
        )

    def validating(
        self, suite: Suite, request: Request, team: Team
    ) -> Callable[[PairScorer], dict[str, float]]:
        """R@1 at the best weight of the contrastive score, and that weight."""
        return weighing(self.read(suite, request).images, team)

    def sample_metrics(self, found: pd.DataFrame) -> dict[str, SampleMetric]:
        """The recalls of a run's samples, as `measure` leaves them, for paired comparisons."""
        return samples.metrics(found)

    def score(
        self,
        scores: Annotated[Path, ".npy: [images, captions], higher is better."],
        annotations: Annotated[Path, "dataset_flickr30k.json."],
        split: Annotated[str, "train, val or test."] = "test",
        seed: int = 0,
    ) -> Scored:
        """Flickr30k retrieval: recall both ways from a score matrix.

        Args:
            scores: A .npy file, `[images, captions]`, in the order of the split in the annotations;
                higher is better.
            annotations: Karpathy's JSON.
            split: "train", "val" or "test".
            seed: Seed of the bootstrap.

        Returns:
            The metrics.

        Raises:
            MissingData: A file is not there.
            BadData: A broken file, or a matrix of another shape than the split.
            UsageError: An unknown split.
        """
        self.require_split(split)
        images = parse_karpathy(annotations, annotations.parent, (split,))
        owner = np.repeat(np.arange(len(images)), [len(image.captions) for image in images])
        matrix = _read(scores)
        if matrix.shape != (len(images), len(owner)):
            raise BadData(
                f"{scores}: shape {list(matrix.shape)}; the {split} split of {annotations} has "
                f"{len(images):,} images and {len(owner):,} captions: expected [images, captions]"
            )
        by_image, by_text = _ranked(matrix, owner, scores)
        metrics = retrieval_metrics(by_image, by_text, owner, seed)
        notes = (
            f"{ties:,} {what} have their truth tied with a wrong candidate; equal scores stand in "
            "random order, in expectation"
            for what, ties in (("captions", by_image.ties), ("images", by_text.ties))
            if ties
        )
        return Scored(metrics, notes=tuple(notes))


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
    for image in tracked(images, "hashing images", "images"):
        captions = [(caption.id, caption.text) for caption in image.captions]
        digest.update(json.dumps([image.id, image.filename, captions]).encode())
        digest.update(content_of(image.path))
    return digest.hexdigest()


def _chosen_by(request: Request) -> str:
    """Name of the part of the score that shortlists are chosen by."""
    return chooser.CHOOSER if request.options.chooser else chooser.CONTRASTIVE


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
    model: Model, data: RetrievalData, request: Request, writer: BlockWriter, report: Report
) -> None:
    """Keep the scores that a shortlist is chosen by, unless they are there already."""
    by, other = _chosen_by(request), request.options.chooser
    if request.options.rerank is None or writer.kept(by) is not None:
        return
    paths = [image.path for image in data.images]
    if other is not None:
        scores = other.matrix(paths, data.captions, request.batch_size, report)
    else:
        size = request.batch_size or model.batch_size
        own = cast("Shortlister", model)
        scores = scorer.contrastive_matrix(own, paths, data.captions, size, report)
    writer.keep(by, scores)


def _rank(
    parts: Mapping[str, Scores], name: str, owner: Ints, work: ScoringState
) -> tuple[Ranking, Ranking]:
    """Image and text retrieval by one part of the score; the one that chose covers all pairs."""
    if work.shortlists is None or name == work.chosen_by:
        return rank_images(parts[name], owner), rank_texts(parts[name], owner)
    return work.shortlists.rank(parts[name], parts[work.chosen_by], owner)


def _samples(rankings: Mapping[str, tuple[Ranking, Ranking]], data: RetrievalData) -> pd.DataFrame:
    caption_ids = [caption.id for image in data.images for caption in image.captions]
    return samples.frame(
        rankings,
        np.array([image.id for image in data.images]),
        np.array(caption_ids),
        data.caption_image,
    )


def _ranked(matrix: np.ndarray, owner: Ints, path: Path) -> tuple[Ranking, Ranking]:
    """Both rankings of a given matrix."""
    try:
        return rank_images(matrix, owner), rank_texts(matrix, owner)
    except BadData as error:
        missing = np.isnan(matrix) if matrix.dtype.kind == "f" else np.array([False])
        shortlisted = missing.any() and not missing.all()
        hint = (
            "; a run with --rerank leaves them for pairs that it did not score, and its record has "
            "the recalls"
        )
        raise BadData(f"{path}: {error}{hint if shortlisted else ''}") from None


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingData(f"score matrix not found: {path}")
    try:
        matrix = np.load(path, allow_pickle=False)
    # numpy parses the header as Python's literals.
    except (OSError, ValueError, EOFError, SyntaxError, TokenError, MemoryError) as error:
        raise BadData(f"{path}: not a .npy file of numbers ({error})") from None
    if not isinstance(matrix, np.ndarray):
        raise BadData(f"{path}: an archive of arrays; expected one array, a .npy file")
    return matrix
