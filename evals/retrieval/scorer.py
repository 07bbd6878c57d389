"""Runs a pair scorer over a plan: each tower once per item, then caption by caption.

The plan fixes the order of the work; the plan and the batch size fix which pairs share a call. The
first captions of a long run determine the batch size (`evals.batch_sizes`), and a resumed run keeps
it. Scores do not depend on it, up to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from evals.batch_sizes import Search
from evals.prediction import fitting, with_room
from evals.retrieval.planner import CAPTIONS_PER_BLOCK, PairBlock, ScoringPlan
from evals.retrieval.shortlist import SUGGESTED, most_pairs
from evals.retrieval.writer import BlockWriter, Scores
from unimo2.console import LONG_RUN_SECONDS, Progress, Report
from unimo2.errors import BadCheckpoint, IncompatibleModel
from unimo2.formats.images import load_image
from zoo.protocols import ImagePreparer, Shortlister, StackedFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.protocols import DualEncoder, ItemFeatures, Model, PairScorer


def score(
    model: PairScorer,
    images: Sequence[Path],
    captions: Sequence[str],
    plan: ScoringPlan,
    writer: BlockWriter,
    search: Search,
    report: Report,
) -> float:
    """Score what the plan has left and keep it.

    Args:
        model: The scorer.
        images: Image files, all of the plan's.
        captions: Texts, all of the plan's.
        plan: Blocks to do.
        writer: Where they are kept.
        search: Says how many images share a call of the scorer; calls of the towers have its own.
        report: Called as the work progresses.

    Returns:
        Seconds that the vision tower took; 0 if nothing was left to do.

    Raises:
        BadData: An image that cannot be decoded.
        IncompatibleModel: The model does not return one score per image.
        BadCheckpoint: The model returns NaN scores.
    """
    if not plan.remaining:
        return 0.0
    started = time.perf_counter()
    # Smaller calls take parts of a stack, without a copy.
    stacks = _encode_images(
        model,
        images,
        search.own,
        search.largest,
        report,
        partial(_estimate, model, captions, plan, report),
    )
    if isinstance(model, ImagePreparer):
        stacks = model.prepare_images(stacks)
    if str(model.device).startswith("cuda"):
        stacks = _fit(model, stacks, captions)
        search.limit(max(map(len, stacks)))
    image_seconds = time.perf_counter() - started
    clock = _Clock(plan, _cheaper(model, plan), report)
    for block in plan.remaining:
        texts = _encode_texts(model, captions[block.start : block.stop], search.own)
        _score_block(model, stacks, texts, plan, block, writer, search, clock)
    return image_seconds


def score_products(
    model: DualEncoder,
    images: Sequence[Path],
    captions: Sequence[str],
    plan: ScoringPlan,
    writer: BlockWriter,
    report: Report,
) -> float:
    """As `score`, by the dot products of one vector per image and one per caption.

    Raises:
        BadData: An image that cannot be decoded.
        IncompatibleModel: The model does not return one vector per item, or of different lengths.
        BadCheckpoint: The model returns scores that are not numbers.
    """
    if not plan.remaining:
        return 0.0
    started = time.perf_counter()
    vectors = _image_vectors(model, images, model.batch_size, report)
    image_seconds = time.perf_counter() - started
    clock = _Clock(plan, None, report)
    for block in plan.remaining:
        began = time.perf_counter()
        texts = captions[block.start : block.stop]
        scores = _products(model, vectors, texts)  # [images, captions of the block]
        writer.write(block, {"score": scores}, time.perf_counter() - began)
        clock.tick(plan.images * len(block))
    return image_seconds


def product_matrix(
    model: DualEncoder,
    images: Sequence[Path],
    captions: Sequence[str],
    batch_size: int,
    report: Report,
) -> Scores:
    """The dot product of every pair, `[images, captions]`, for the choice of pairs.

    Arguments and errors as for `contrastive_matrix` and `score_products`.
    """
    vectors = _image_vectors(model, images, batch_size, report)
    parts = []
    for start in range(0, len(captions), CAPTIONS_PER_BLOCK):
        parts.append(_products(model, vectors, captions[start : start + CAPTIONS_PER_BLOCK]))
        done = min(start + CAPTIONS_PER_BLOCK, len(captions))
        report(Progress("captions", done, len(captions), None))
    return np.concatenate(parts, axis=1)


def _image_vectors(
    model: DualEncoder, images: Sequence[Path], batch_size: int, report: Report
) -> Scores:
    """One vector per image, `[images, dim]`, `batch_size` in a call."""
    report(Progress("images", 0, len(images), None))
    parts = []
    for start in range(0, len(images), batch_size):
        decoded = [load_image(path) for path in images[start : start + batch_size]]
        parts.append(_vectors(model, partial(model.embed_images, decoded), len(decoded)))
        report(Progress("images", start + len(decoded), len(images), None))
    return np.concatenate(parts)


def _products(model: DualEncoder, vectors: Scores, texts: Sequence[str]) -> Scores:
    """Vectors of images times those of texts, `[images, texts]`."""
    embedded = _vectors(model, partial(model.embed_texts, texts), len(texts))
    if embedded.shape[1] != vectors.shape[1]:
        raise IncompatibleModel(
            f"model '{model.name}': expected vectors of one length, got {vectors.shape[1]} for "
            f"images and {embedded.shape[1]} for texts"
        )
    scores = vectors @ embedded.T
    _check_numbers(model, "score", scores)
    return scores


def _vectors(model: DualEncoder, embed: Callable[[], Tensor], items: int) -> Scores:
    """Tower outputs of some items, `[items, dim]`, on the CPU."""
    found = with_room(model, embed)
    if found.ndim != 2 or len(found) != items:
        raise IncompatibleModel(
            f"model '{model.name}' embedded {items} items: expected [{items}, dim], got "
            f"{list(found.shape)}"
        )
    return cast("Scores", found.float().cpu().numpy())


def contrastive_matrix(
    model: Shortlister,
    images: Sequence[Path],
    captions: Sequence[str],
    batch_size: int,
    report: Report,
) -> Scores:
    """The contrastive score of every pair: both towers once per item, no fusion.

    Args:
        model: The scorer.
        images: Image files.
        captions: Texts.
        batch_size: Items per call of the towers.
        report: Called as the work progresses.

    Returns:
        `[images, captions]`, float32.

    Raises:
        BadData: An image that cannot be decoded.
        BadCheckpoint: The model returns NaN scores.
    """
    stacks = _encode_images(model, images, batch_size, batch_size, report)
    columns = []
    for text in _encode_texts(model, captions, batch_size):
        parts = [model.contrastive_scores(stack, text).float().cpu().numpy() for stack in stacks]
        columns.append(np.concatenate(parts))
        report(Progress("captions", len(columns), len(captions), None))
    matrix = np.stack(columns, axis=1).astype(np.float32)
    _check_numbers(model, "contrastive", matrix)
    return matrix


def _cheaper(model: PairScorer, plan: ScoringPlan) -> str | None:
    """Advice for a long exhaustive run, if a shortlist would at least halve it."""
    pairs = most_pairs(plan.images, plan.captions, SUGGESTED)
    if plan.chosen is not None or 2 * pairs > plan.pairs:
        return None
    if not isinstance(model, Shortlister):
        return (
            f"--rerank {SUGGESTED} --shortlist-from NAME scores at most {pairs:,} pairs, chosen by a "
            f"dual encoder, instead of {plan.pairs:,}"
        )
    return (
        f"--rerank {SUGGESTED} fuses at most {pairs:,} pairs, chosen by contrastive score, "
        f"instead of {plan.pairs:,}"
    )


class _Clock:
    """Counts pairs and tells the caller."""

    def __init__(self, plan: ScoringPlan, hint: str | None, report: Report) -> None:
        self._hint = hint
        self._pairs, self._remaining = plan.pairs, plan.remaining_pairs  # counted once
        self._session = 0
        self._started = time.perf_counter()
        self._report = report

    def tick(self, pairs: int) -> None:
        """Note finished pairs."""
        self._session += pairs
        left = self._remaining - self._session
        elapsed = time.perf_counter() - self._started
        self._report(
            Progress(
                "pairs", self._pairs - left, self._pairs, elapsed * left / self._session, self._hint
            )
        )


def _estimate(
    model: PairScorer,
    captions: Sequence[str],
    plan: ScoringPlan,
    report: Report,
    encoded: Sequence[ItemFeatures],
    image_seconds: float,
) -> None:
    """Say what a long run will take, once its first images are through the tower.

    All of them may take half an hour on a CPU. A pair may be ten times as cheap as an image: a run
    that would be short even so is not estimated.
    """
    if image_seconds * plan.remaining_pairs < 10 * LONG_RUN_SECONDS:
        return
    stack = StackedFeatures.of(encoded)
    [text] = model.encode_texts([captions[plan.remaining[0].start]])
    took = []
    for _ in range(2):  # the first call of a model is slow
        started = time.perf_counter()
        model.score_pairs(stack, text)["score"].float().cpu()
        took.append(time.perf_counter() - started)
    seconds = image_seconds * plan.images + took[-1] / len(encoded) * plan.remaining_pairs
    done = plan.pairs - plan.remaining_pairs
    hint = _cheaper(model, plan)
    report(Progress("pairs", done, plan.pairs, seconds, hint, estimated=True))


def _encode_images(
    model: PairScorer,
    images: Sequence[Path],
    batch_size: int,
    stack: int,
    report: Report,
    once_warm: Callable[[Sequence[ItemFeatures], float], None] | None = None,
) -> list[StackedFeatures]:
    """The vision tower once per image, `batch_size` in a call, features in stacks of `stack`.

    `once_warm` is given what the second call gave, and the seconds that an image took in it.
    """
    stacks: list[StackedFeatures] = []
    waiting: list[ItemFeatures] = []
    done, size, calls = 0, batch_size, 0
    report(Progress("images", 0, len(images), None))
    while done < len(images):
        pictures = [load_image(path) for path in images[done : done + size]]
        started = time.perf_counter()
        encoded = fitting(partial(model.encode_images, pictures), size)
        if encoded is None:
            size //= 2
            continue
        calls += 1
        if calls == 2 and once_warm is not None:  # the first call of a model is slow
            once_warm(encoded, (time.perf_counter() - started) / len(encoded))
        waiting += encoded
        done += len(pictures)
        while len(waiting) >= stack or (waiting and done == len(images)):
            stacks.append(StackedFeatures.of(waiting[:stack]))
            waiting = waiting[stack:]
        report(Progress("images", done, len(images), None))
    return stacks


def _fit(
    model: PairScorer, stacks: Sequence[StackedFeatures], captions: Sequence[str]
) -> list[StackedFeatures]:
    """The stacks, halved until the first one fits with the longest caption."""
    fit = list(stacks)
    [text] = model.encode_texts([max(captions, key=len)])
    while fitting(partial(model.score_pairs, fit[0], text), len(fit[0])) is None:
        fit = [half for stack in fit for half in _halves(stack)]
    return fit


def _halves(stack: StackedFeatures) -> list[StackedFeatures]:
    return list(_parts([stack], (len(stack) + 1) // 2))


def _parts(stacks: Iterable[StackedFeatures], size: int) -> Iterable[StackedFeatures]:
    """The stacks in parts of at most `size` items, which share their memory."""
    for stack in stacks:
        if len(stack) <= size:
            yield stack
            continue
        for start in range(0, len(stack), size):
            rows = slice(start, start + size)
            yield StackedFeatures({name: tensor[rows] for name, tensor in stack.tensors.items()})


def _score_block(
    model: PairScorer,
    stacks: Sequence[StackedFeatures],
    texts: Iterable[ItemFeatures],
    plan: ScoringPlan,
    block: PairBlock,
    writer: BlockWriter,
    search: Search,
    clock: _Clock,
) -> None:
    """Score a block's captions with all their images and keep the result."""
    started = time.perf_counter()
    columns = []
    for caption, text in enumerate(texts, start=block.start):
        chosen, size = plan.images_of(caption), search.size
        began = time.perf_counter()
        if chosen is None:
            columns.append(score_stacks(model, _parts(stacks, size), text))
        else:
            columns.append(score_chosen(model, stacks, text, chosen, plan.images, size))
        pairs = plan.images if chosen is None else len(chosen)
        search.note(size, pairs, time.perf_counter() - began)
        clock.tick(pairs)
    parts = {name: np.stack([column[name] for column in columns], axis=1) for name in columns[0]}
    writer.write(block, parts, time.perf_counter() - started)


def _encode_texts(
    model: PairScorer, texts: Sequence[str], batch_size: int
) -> Iterable[ItemFeatures]:
    """The text tower once per text of a block."""
    for start in range(0, len(texts), batch_size):
        yield from model.encode_texts(texts[start : start + batch_size])


def score_chosen(
    model: PairScorer,
    stacks: Sequence[StackedFeatures],
    text: ItemFeatures,
    chosen: Sequence[int],
    images: int,
    batch_size: int,
) -> dict[str, Scores]:
    """One caption with the images of its shortlist: parts `[images]`, NaN for the others."""
    gathered = (
        StackedFeatures.gather(stacks, chosen[start : start + batch_size])
        for start in range(0, len(chosen), batch_size)
    )
    column = {}
    for name, part in score_stacks(model, gathered, text).items():
        column[name] = np.full(images, np.nan, dtype=np.float32)
        column[name][list(chosen)] = part
    return column


def score_stacks(
    model: PairScorer, stacks: Iterable[StackedFeatures], text: ItemFeatures
) -> dict[str, Scores]:
    """One caption with all images of some stacks: each part of the score `[images]`."""
    slices = []
    for stack in stacks:
        parts = model.score_pairs(stack, text)
        if "score" not in parts or any(part.shape != (len(stack),) for part in parts.values()):
            shapes = {name: tuple(part.shape) for name, part in parts.items()}
            raise IncompatibleModel(
                f"model '{model.name}' scored {len(stack)} images with one text and returned "
                f"{shapes}, where 'score' and every part need the shape ({len(stack)},)"
            )
        slices.append({name: part.float().cpu().numpy() for name, part in parts.items()})
    whole = {name: np.concatenate([part[name] for part in slices]) for name in slices[0]}
    for name, part in whole.items():
        _check_numbers(model, name, part)
    return whole


def _check_numbers(model: Model, name: str, part: Scores) -> None:
    """Stop at once where a model gives what cannot be ranked."""
    if np.isnan(part).any():
        raise BadCheckpoint(
            f"model '{model.name}' returns NaN scores ('{name}'); "
            "its weights are damaged, or try --dtype float32"
        )
