"""Zero-shot classification: the retrieval score of an image with a sentence for each class.

With several templates a class's score is the mean over its sentences, whichever score it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evals.benchmark import Request, option
from evals.metrics.ranking import Floats, Ranking, rank_classes
from evals.records.protocol import ClassNames, Ensemble
from evals.retrieval.options import PairOptions
from evals.retrieval.planner import PAIRS_PER_BLOCK
from evals.retrieval.scorer import score_chosen, score_stacks
from evals.retrieval.shortlist import SUGGESTED, Mask, top_k, two_tiers
from unimo2.console import stage, tracked
from unimo2.errors import IncompatibleModel, UsageError
from unimo2.formats.imagenet import Synset
from unimo2.formats.parsing import first_few
from zoo import protocols
from zoo.protocols import ImagePreparer, StackedFeatures

if TYPE_CHECKING:
    from PIL.Image import Image

    from zoo.protocols import DualEncoder, ItemFeatures, Model, PairScorer, Shortlister

# Classes as sentences, for zero-shot classification.
#
# One template is the paper's (section 5.2). The 80 are those that CLIP's authors published for
# ImageNet (Radford et al., 2021, section 3.1.4).


ONE = ("a photo of {}",)
_DOING = "scoring images with sentences"
_TEMPLATES = Path(__file__).parent / "templates"


def templates(count: int) -> tuple[str, ...]:
    """The templates of an ensemble.

    Args:
        count: 1 or 80.

    Returns:
        Sentences with "{}" where the class's name goes.

    Raises:
        UsageError: Another number.
    """
    if count == 1:
        return ONE
    if count == 80:
        return _eighty()
    raise UsageError(f"--templates {count}: there are 1 (the paper's) and 80 (CLIP's)")


@cache
def _eighty() -> tuple[str, ...]:
    return tuple((_TEMPLATES / "imagenet80.txt").read_text(encoding="utf-8").splitlines())


def class_names(synsets: Sequence[Synset], chosen: str) -> list[str]:
    """What classes are called in sentences, `[classes]`.

    Args:
        synsets: The classes.
        chosen: "synset", the first name of each as the data's synset file has it, or "clip", the names
            that CLIP's authors wrote for ImageNet's 1,000 classes.

    Raises:
        UsageError: Classes that CLIP's list has no names for.
    """
    if chosen == SYNSET:
        return [synset.names[0] for synset in synsets]
    missing = [synset.wnid for synset in synsets if synset.wnid not in _clip_names()]
    if missing:
        raise UsageError(
            f"--class-names {CLIP}: CLIP's list names ImageNet's 1,000 classes, and {len(missing):,} of "
            f"the {len(synsets):,} here are others ({first_few(missing)}): leave --class-names out"
        )
    return [_clip_names()[synset.wnid] for synset in synsets]


@cache
def _clip_names() -> dict[str, str]:
    """CLIP's names by synset id (notebooks/Prompt_Engineering_for_ImageNet.ipynb)."""
    lines = (_TEMPLATES / "clip_names.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def prompts(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """All sentences, class by class: `[classes x templates]`.

    Args:
        names: Of the classes.
        chosen: Templates.

    Returns:
        The sentences; those of class i are at i * len(chosen) and after.
    """
    return [template.format(name) for name in names for template in chosen]


FUSED, CONTRASTIVE = "fused", "contrastive"
SYNSET, CLIP = "synset", "clip"  # whose names classes have
SCORES = (FUSED, CONTRASTIVE)
_KEPT = 4096  # sentences whose features are kept; more are re-encoded for each chunk of images


@dataclass(frozen=True)
class ClassOptions(PairOptions):
    """How classes are scored.

    Attributes:
        score: "fused", or "contrastive" for that score alone.
        templates: Sentences per class, 1 or 80.
        class_names: "synset" or "clip", as of `class_names`.
    """

    score: str = option(
        FUSED,
        "Zero-shot: fused (of a dual encoder its only score), or contrastive for that score alone.",
        variant="{}",
        of=(FUSED, CONTRASTIVE),
        capabilities=("pair_scorer", "dual_encoder"),
    )
    templates: int = option(
        1,
        "Zero-shot: 1, 'a photo of [label]', or CLIP's 80 for ImageNet.",
        range=(1, 80),
        variant="templates-{}",
        capabilities=("pair_scorer", "dual_encoder"),
    )
    class_names: str = option(
        SYNSET,
        "Zero-shot: synset, the first name of the data's synset file, or clip, CLIP's own names for "
        "ImageNet's classes.",
        variant="names-{}",
    )


def alternatives(request: Request) -> tuple[str, ...]:
    """Capabilities, any one of which suffices for a zero-shot run, in order of preference.

    Raises:
        UsageError: An unknown score, or options that exclude each other.
    """
    options = request.options
    templates(options.templates)  # refuses another number
    parts = options.rerank is not None or options.contrastive_weight is not None
    if options.score not in SCORES:
        raise UsageError(f"unknown score '{options.score}'; known are {', '.join(SCORES)}")
    if options.score == CONTRASTIVE:
        if parts:
            raise UsageError(
                "--score contrastive is the contrastive score alone: leave --rerank and "
                "--contrastive-weight out"
            )
        return ("dual_encoder",)
    return ("pair_scorer",) if parts else ("pair_scorer", "dual_encoder")


def is_fused(model: object, request: Request) -> bool:
    """Whether classes are scored by the fusion of image and sentence."""
    return request.options.score == FUSED and isinstance(model, protocols.PairScorer)


def protocol(model: Model, request: Request) -> dict[str, Any]:
    """How classes are scored, for the record's "protocol".

    Raises:
        IncompatibleModel: A weight is asked for and the model's score has no such parts; a
            shortlist, and the model has no contrastive score of its own.
        UsageError: A shortlist of no candidates, an unknown number of templates, unknown names.
    """
    options = request.options
    chosen = templates(options.templates)
    if options.class_names not in _NAMES:
        raise UsageError(f"--class-names {options.class_names}: there are {', '.join(_NAMES)}")
    pairs, weight, rerank = "exhaustive", None, options.rerank
    if not is_fused(model, request):
        score = "contrastive score alone" if options.score == CONTRASTIVE else "dot"
    else:
        own = cast("PairScorer", model).contrastive_weight
        weight = own if options.contrastive_weight is None else options.contrastive_weight
        score = "the model's" if weight is None else "itm + contrastive_weight * contrastive"
        if options.contrastive_weight is not None and own is None:
            raise IncompatibleModel(
                f"model '{model.name}' has no contrastive part: leave --contrastive-weight out"
            )
    if rerank is not None:
        protocols.require(model, "shortlister")
        pairs = (
            f"shortlist of {rerank} classes an image by contrastive score, fused; the "
            "others below, by contrastive score"
        )
    return {
        "score": score,
        "pairs": pairs,
        "rerank": rerank,
        "contrastive_weight": weight,
        "templates": len(chosen),
        **({"prompt": chosen[0]} if len(chosen) == 1 else {"ensemble": _ensemble(model, request)}),
        "class_names": _NAMES[options.class_names].value,
    }


def _by_cosine(model: Model) -> bool:
    """Whether the model's vectors have length 1 and are meant for the cosine."""
    return getattr(model, "similarity", "dot") == "cosine"


def _ensemble(model: Model, request: Request) -> str:
    """Combination of a class's sentences."""
    cosine = _by_cosine(model) and not is_fused(model, request)
    return (Ensemble.UNIT_VECTOR if cosine else Ensemble.SCORE).value


_NAMES = {SYNSET: ClassNames.FIRST_OF_SYNSET, CLIP: ClassNames.CLIP}


@dataclass
class ClassScorer:
    """Ranks the classes for some images; features of the sentences are computed once.

    Attributes:
        model: A pair scorer, shortlister or dual encoder, as the request needs.
        synsets: The classes.
        request: Gives score, shortlist, weight, templates and names.
    """

    model: Model
    synsets: Sequence[Synset]
    request: Request

    def __post_init__(self) -> None:
        """Write the sentences."""
        chosen = templates(self.request.options.templates)
        self._per_class = len(chosen)
        names = class_names(self.synsets, self.request.options.class_names)
        self._sentences = prompts(names, chosen)
        self._kept: list[ItemFeatures] | None = None
        self._vectors: np.ndarray | None = None

    @property
    def images_at_once(self) -> int:
        """Images whose pairs are a unit of work: what a kill loses, and when the pace is known."""
        sentences = len(self._sentences)
        if not is_fused(self.model, self.request):
            return _KEPT
        if self.request.options.rerank is not None:
            sentences = min(sentences, self.request.options.rerank * self._per_class)
        return max(1, PAIRS_PER_BLOCK // sentences)

    @property
    def cheaper(self) -> str | None:
        """Advice for a long exhaustive run, if a shortlist would at least halve it."""
        exhaustive = is_fused(self.model, self.request) and self.request.options.rerank is None
        if not exhaustive or not isinstance(self.model, protocols.Shortlister):
            return None
        if 2 * SUGGESTED > len(self.synsets):
            return None
        return (
            f"--rerank {SUGGESTED} fuses {SUGGESTED} classes of an image, chosen by contrastive "
            f"score, instead of {len(self.synsets):,}"
        )

    def rank(self, images: Sequence[Image], targets: Sequence[int]) -> Ranking:
        """Where the true class of each image stands among all classes.

        Args:
            images: n images.
            targets: `[n]`, numbers of their classes.

        Returns:
            The ranking; `best` and `truth` are numbers of classes.
        """
        owner = np.asarray(targets, dtype=np.int64)
        if not is_fused(self.model, self.request):
            return rank_classes(self._similarities(images), owner)
        stacks = self._stacks(images)
        if self.request.options.rerank is None:
            return rank_classes(self._fused(stacks, len(images), None), owner)
        contrastive = self._contrastive(stacks, len(images))
        shortlist = top_k(contrastive, self.request.options.rerank, axis=1)
        fused = self._fused(stacks, len(images), shortlist)
        places = two_tiers(fused.T, contrastive.T, shortlist.T)
        ranking = rank_classes(places.T, owner)
        shown, rows = np.where(shortlist, fused, contrastive), np.arange(len(images))
        return replace(
            ranking, truth_score=shown[rows, ranking.truth], best_score=shown[rows, ranking.best]
        )

    def _stacks(self, images: Sequence[Image]) -> list[StackedFeatures]:
        model, size = cast("PairScorer", self.model), self.model.batch_size
        cuts = [images[start : start + size] for start in range(0, len(images), size)]
        stacks = [StackedFeatures.of(model.encode_images(cut)) for cut in cuts]
        return model.prepare_images(stacks) if isinstance(model, ImagePreparer) else stacks

    def _fused(
        self, stacks: Sequence[StackedFeatures], images: int, shortlist: Mask | None
    ) -> Floats:
        """The whole score, `[images, classes]`; NaN outside the shortlist `[images, classes]`."""
        model = cast("PairScorer", self.model)
        scores = np.zeros((images, len(self.synsets)))
        wanted = None if shortlist is None else np.asarray(shortlist.any(axis=0))
        for number, text in self._texts(wanted):
            if shortlist is None:
                parts = score_stacks(model, stacks, text)
            else:
                rows = np.flatnonzero(shortlist[:, number]).tolist()
                parts = score_chosen(model, stacks, text, rows, images, model.batch_size)
            scores[:, number] += self._weighted(parts) / self._per_class
        if shortlist is not None:
            scores[~shortlist] = np.nan
        return scores

    def _weighted(self, parts: dict[str, Any]) -> Floats:
        weight = self.request.options.contrastive_weight
        if weight is None:
            return parts["score"].astype(np.float64)
        return (parts["itm"] + np.float32(weight) * parts["contrastive"]).astype(np.float64)

    def _contrastive(self, stacks: Sequence[StackedFeatures], images: int) -> Floats:
        """The contrastive part, `[images, classes]`, without fusion."""
        model = cast("Shortlister", self.model)
        scores = np.zeros((images, len(self.synsets)))
        for number, text in self._texts(None):
            parts = [
                model.contrastive_scores(stack, text).float().cpu().numpy() for stack in stacks
            ]
            scores[:, number] += np.concatenate(parts).astype(np.float64) / self._per_class
        return scores

    def _texts(self, wanted: Mask | None) -> Iterator[tuple[int, ItemFeatures]]:
        """The features of every sentence with the number of its class, of wanted classes alone."""
        model, size = cast("PairScorer", self.model), self.model.batch_size
        places = [
            place
            for place in range(len(self._sentences))
            if wanted is None or wanted[place // self._per_class]
        ]
        if len(self._sentences) <= _KEPT:
            if self._kept is None:
                self._kept = []
                starts = range(0, len(self._sentences), size)
                for start in tracked(starts, "encoding sentences", "batches"):
                    self._kept += model.encode_texts(self._sentences[start : start + size])
            for place in tracked(places, _DOING, "sentences"):
                yield place // self._per_class, self._kept[place]
            return
        with stage(_DOING, "sentences", len(places)) as advance:
            for start in range(0, len(places), size):
                some = places[start : start + size]
                texts = model.encode_texts([self._sentences[place] for place in some])
                for done, (place, text) in enumerate(zip(some, texts, strict=True), start + 1):
                    yield place // self._per_class, text
                    advance(done)

    def _similarities(self, images: Sequence[Image]) -> Floats:
        """Dot products with each class's mean vector, `[images, classes]`.

        Vectors that are meant for the cosine have length 1, and so has their mean then: CLIP's
        ensemble of prompts (Radford et al., 2021, section 3.1.4) as its code computes it.
        """
        model, size = cast("DualEncoder", self.model), self.model.batch_size
        if self._vectors is None:
            parts = [
                model.embed_texts(self._sentences[start : start + size]).float().cpu().numpy()
                for start in tracked(
                    range(0, len(self._sentences), size), "embedding sentences", "batches"
                )
            ]
            every = np.concatenate(parts).astype(np.float64)
            means = every.reshape(len(self.synsets), self._per_class, -1).mean(axis=1)
            if _by_cosine(self.model):
                means /= np.linalg.norm(means, axis=1, keepdims=True)
            self._vectors = means
        found = [
            model.embed_images(images[start : start + size]).float().cpu().numpy()
            for start in range(0, len(images), size)
        ]
        similarities: Floats = np.concatenate(found).astype(np.float64) @ self._vectors.T
        return similarities
