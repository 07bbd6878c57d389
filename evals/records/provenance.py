"""Provenance of the measured model: its training data decide whether a result is zero-shot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evals.benchmark import Benchmark, Request
from evals.datasets.suites import MINI, Suite
from evals.registry import canonical, get_benchmark
from unimo2.errors import IncompatibleModel, UsageError
from zoo import cards
from zoo.lineage import UNKNOWN, Lineage, lineage

if TYPE_CHECKING:
    from zoo.cards import Card


def check_tuning(card: Card, request: Request) -> None:
    """Refuse a model that is fine-tuned for something else, or a pre-trained one unasked.

    A model that is fine-tuned for the benchmark, itself or on the way to it, is never measured as
    zero-shot.

    A model that does not say what it was trained for is taken at its word, and so is one that has what
    is needed where the benchmark measures no pre-trained models.
    """
    tuned = [canonical(name) for name in card.finetuned_for]
    if request.zero_shot:
        refuse_tuned(card, request.benchmark)
        return
    benchmark = get_benchmark(request.benchmark)
    if request.benchmark in tuned or not benchmark.tuned(request):
        return
    if not tuned and (card.untold or not benchmark.zero_shot):
        return
    if tuned:
        raise IncompatibleModel(
            f"model '{card.name}' is fine-tuned for {', '.join(tuned)}, not for {request.benchmark}"
        )
    raise UsageError(
        f"model '{card.name}' is not fine-tuned for {request.benchmark}: add --zero-shot, "
        "or give the folder of a fine-tuned model with --model"
    )


def refuse_tuned(card: Card, benchmark: str) -> None:
    """Refuse a model as zero-shot on what it, or a model that it was made of, is fine-tuned for.

    Raises:
        IncompatibleModel: It is not a zero-shot model there.
    """
    found = _lineage(card)
    if benchmark not in map(canonical, found.tuned_for):
        return
    own = benchmark in map(canonical, card.finetuned_for)
    where = "" if own else f" (along {' <- '.join(found.models)})"
    raise IncompatibleModel(
        f"model '{card.name}' is fine-tuned for {benchmark}{where}, which is not zero-shot: leave "
        "--zero-shot out, or give a pre-trained model with --model"
    )


def facts(card: Card | None, benchmark: Benchmark, suite: Suite) -> dict[str, Any]:
    """What a record says of a model: its card, and what the weights had seen.

    Args:
        card: None for a model loaded by other code, about which nothing is known.
        benchmark: That it is measured on.
        suite: The data.

    Returns:
        "card", "family", "source" (none of a folder of this machine), "dataset", "zero_shot" ("yes", "no" or
        "unknown"), "seen", "complete" and "tuned_for".
    """
    if card is None:
        return {"zero_shot": UNKNOWN}
    found, source = _lineage(card), card.source
    place = f"{source.location}@{source.revision}" if source.revision else source.location
    named = source.kind in ("hub", "package", "embedded", "entry point")
    return {
        "card": card.name,
        "family": card.family,
        "source": f"{source.kind}: {place}" if named else source.kind,
        "dataset": benchmark.dataset,
        "zero_shot": found.zero_shot(benchmark.dataset, _generated(suite)),
        "models": list(found.models),
        "seen": sorted(found.seen),
        "complete": found.complete,
        "tuned_for": list(found.tuned_for),
    }


def remarks(protocol: Mapping[str, Any]) -> list[str]:
    """What a table says beside a zero-shot number whose model is not plainly zero-shot.

    Args:
        protocol: A record's.

    Returns:
        Some words for each reason; nothing for a fine-tuned model's number, or a plain one.
    """
    told = protocol.get("lineage")
    if not protocol.get("zero_shot") or not isinstance(told, Mapping):
        return []
    found = []
    if told.get("zero_shot") == "no":
        found.append(f"not zero-shot: trained on {told.get('dataset')}")
    if told.get("zero_shot") == UNKNOWN and "card" in told:
        found.append("zero-shot: unknown, training data not listed")
    if told.get("tuned_for"):
        found.append(f"fine-tuned for {', '.join(told['tuned_for'])}")
    return found


def note(card: Card | None, request: Request, benchmark: Benchmark, suite: Suite) -> list[str]:
    """The sentence of a model's lineage, where a zero-shot number needs one."""
    if card is None or not request.zero_shot:
        return []
    found, generated = _lineage(card), _generated(suite)
    plain = found.zero_shot(benchmark.dataset, generated) == "yes" and not found.tuned_for
    return [] if plain else [f"{card.name}: {found.sentence(benchmark.dataset, generated)}"]


def _lineage(card: Card) -> Lineage:
    return lineage(card, cards.read_all())


def _generated(suite: Suite) -> str | None:
    return MINI if suite.name == MINI else None
