"""Matches prediction files with the annotations that score them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evals.metrics.ranking import Metric
from unimo2.errors import BadData
from unimo2.formats.parsing import first_few

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Scored:
    """What predictions are worth.

    Attributes:
        metrics: By name, in percent.
        missing: Items without a prediction, which were left out because that was allowed.
        notes: What a reader must know.
    """

    metrics: Mapping[str, Metric]
    missing: int = 0
    notes: tuple[str, ...] = ()


def answered(
    predictions: Collection[Key],
    wanted: Sequence[Key],
    what: str,
    allow_missing: bool,
    ignored: Collection[Key] = (),
) -> list[Key]:
    """The ids that can be scored.

    Args:
        predictions: Ids that are predicted.
        wanted: Ids that have a target, in the order in which they are scored.
        what: Name of the scored items, in the plural.
        allow_missing: Score what is there.
        ignored: Ids that exist and have no target; they may be predicted or not.

    Returns:
        The wanted ids that have a prediction, in their order.

    Raises:
        BadData: A prediction for an id that does not exist; none at all; or, unless that is
            allowed, ids without one. The first few are named.
    """
    known = {*wanted, *ignored}
    unknown = [key for key in predictions if key not in known]
    if unknown:
        raise BadData(
            f"{len(unknown):,} predictions for {what} that the annotations do not have: "
            f"{first_few(unknown)}"
        )
    missing = [key for key in wanted if key not in predictions]
    if len(missing) == len(wanted):
        raise BadData(f"none of the {len(wanted):,} {what} has a prediction")
    if missing and not allow_missing:
        raise BadData(
            f"{len(missing):,} of {len(wanted):,} {what} have no prediction: {first_few(missing)}; "
            "--allow-missing scores the others"
        )
    return [key for key in wanted if key in predictions]


def missing_note(scored: int, wanted: int, what: str) -> tuple[str, ...]:
    """The note that says how many items are scored, if not all.

    Args:
        scored: Items that are.
        wanted: Items that have a target.
        what: What they are, in the plural.

    Returns:
        One note or none.
    """
    if scored == wanted:
        return ()
    return (
        f"{wanted - scored:,} of {wanted:,} {what} have no prediction; the other {scored:,} are "
        "scored",
    )
