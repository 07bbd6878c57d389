"""`--shortlist-from NAME`: another model chooses the pairs that the measured one ranks.

That makes the number one of two models, so the record says of both which they are. A truth that is not
on its query's shortlist cannot be found: the share of truths that are bounds every recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import zoo
from evals.benchmark import Benchmark, Request
from evals.distributed import ProcessGroup, own_device
from evals.metrics.ranking import Ints, Metric, Ranking, retrieval_metrics
from evals.records.provenance import facts, refuse_tuned
from evals.registry import get_benchmark
from evals.retrieval import scorer
from evals.retrieval.shortlist import Shortlists
from evals.retrieval.writer import Scores
from unimo2.console import Report
from unimo2.errors import IncompatibleModel, UsageError
from zoo import cards, protocols

if TYPE_CHECKING:
    from evals.datasets.suites import Suite
    from zoo.protocols import Model

CAPABILITIES = ("dual_encoder", "shortlister")
CONTRASTIVE, CHOOSER = "contrastive", "chooser"  # whose scores chose, as parts of a run's score


@dataclass(frozen=True)
class Chooser:
    """A model that chooses the pairs of another one.

    Attributes:
        model: A dual encoder, or a pair scorer with a contrastive score.
        about: What the record says of it, as of `evals.records.provenance.facts`.
    """

    model: Model
    about: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """The model, and the score by which it chooses."""
        dual = isinstance(self.model, protocols.DualEncoder)
        return {
            "model": self.model.name,
            "weights_sha256": self.model.weights_sha256,
            "dtype": self.model.dtype,
            "score": "dot" if dual else CONTRASTIVE,
            "lineage": dict(self.about),
        }

    def matrix(
        self,
        images: Sequence[Path],
        captions: Sequence[str],
        batch_size: int | None,
        report: Report,
    ) -> Scores:
        """The scores of all pairs, `[images, captions]`."""
        size = batch_size or self.model.batch_size
        model: Any = self.model
        if isinstance(model, protocols.DualEncoder):
            return scorer.product_matrix(model, images, captions, size, report)
        return scorer.contrastive_matrix(model, images, captions, size, report)


def completed(request: Request, suite: Suite, share: ProcessGroup) -> Request:
    """The request with the model loaded that its option `shortlist_from` names.

    Raises:
        UsageError: No `--rerank` to choose for; or one of its kinds, as `zoo.load`.
        IncompatibleModel: The model cannot choose, or is fine-tuned for what is measured zero-shot.
    """
    options = request.options
    if options.shortlist_from is None and options.chooser is None:
        return request
    if options.rerank is None:
        raise UsageError("--shortlist-from chooses the candidates of --rerank K: add --rerank K")
    if isinstance(options.chooser, Chooser):
        return request
    benchmark = get_benchmark(request.benchmark)
    if options.chooser is not None:
        found = Chooser(_able(options.chooser), facts(None, benchmark, suite))
    else:
        found = _loaded(request, benchmark, suite, share)
    return replace(request, options=replace(options, chooser=found))


def _loaded(request: Request, benchmark: Benchmark, suite: Suite, share: ProcessGroup) -> Chooser:
    card = zoo.resolve(request.options.shortlist_from)
    cards.require(card, *CAPABILITIES)
    if request.zero_shot:
        refuse_tuned(card, request.benchmark)
    device = own_device(request.device, share)
    model = zoo.load_card(card, device, trust_remote_code=request.trust_remote_code)
    return Chooser(_able(model), facts(card, benchmark, suite))


def _able(model: Model) -> Model:
    if not any(isinstance(model, protocols.CAPABILITIES[name]) for name in CAPABILITIES):
        raise IncompatibleModel(
            f"model '{model.name}' cannot choose a shortlist: expected a "
            f"{' or '.join(CAPABILITIES)}"
        )
    return model


def on_shortlist(shortlists: Shortlists, caption_image: Ints, seed: int) -> dict[str, Metric]:
    """Share of queries with a right candidate on their shortlist, in percent.

    Args:
        shortlists: Shortlists of the run.
        caption_image: `[captions]`, index of each caption's image.
        seed: Seed for the bootstrap.

    Returns:
        "image_retrieval/truth_on_shortlist" and "text_retrieval/truth_on_shortlist".
    """
    owner = np.asarray(caption_image)
    captions = np.arange(len(owner))
    truth = np.zeros(shortlists.images.shape, dtype=bool)
    truth[owner, captions] = True
    found = (
        np.asarray((shortlists.images & truth).any(axis=0)),  # [captions]
        np.asarray((shortlists.texts & truth).any(axis=1)),  # [images]
    )
    first, second = (_hit_or_miss(hits) for hits in found)
    metrics = retrieval_metrics(first, second, owner, seed, at=(1,))
    return {
        name.replace("R@1", "truth_on_shortlist"): replace(metric, chance=None, at_chance=False)
        for name, metric in metrics.items()
    }


def _hit_or_miss(hits: np.ndarray) -> Ranking:
    """A ranking whose recall at 1 is the share of hits."""
    zeros = np.zeros(len(hits), dtype=np.int64)
    numbers = np.zeros(len(hits), dtype=np.float64)
    return Ranking(
        better=(~hits).astype(np.int64),
        tied_wrong=zeros,
        tied_right=zeros + 1,
        truth=zeros,
        best=zeros,
        truth_score=numbers,
        best_score=numbers,
    )
