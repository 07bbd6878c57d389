"""How much two descriptions share, from 0 to 5: STS-B's scores.

Computed from what they say, not from their words: things are paired off so that they agree best;
then relations and backgrounds are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from evals.suite_mini.meaning import REGIONS, Link, Mention, Statement

HIGHEST = 5.0
_STEP = 0.2
"""The official scores are means of five annotators' whole numbers."""

_WEIGHTS = {"shape": 4.0, "colour": 3.0, "size": 1.0, "texture": 1.0, "region": 2.0, "count": 1.0}
_COLOUR_ALONE = 0.15
"""A red star and a red ring share something, but not much."""
_THINGS, _RELATION, _BACKGROUND, _TOTAL = 6.0, 2.0, 1.0, 0.5
_UNSAID = 0.5
"""Agreement where only one of the two says anything."""
_WITHIN = 0.75
"""Agreement of places of which one lies within the other."""
_FLIPPED = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
    "beside": "beside",
}


def score(first: Statement, second: Statement) -> float:
    """The likeness of two descriptions.

    Returns:
        0 (nothing in common) to 5 (they say the same), in steps of 0.2; the same in either order.
    """
    return round(round(HIGHEST * _likeness(first, second) / _STEP) * _STEP, 1)


def likeness_of_mentions(first: Mention, second: Mention) -> float:
    """How alike two things are described, from 0 to 1."""
    if first.shape != second.shape:
        same = first.colour is not None and first.colour == second.colour
        return _COLOUR_ALONE if same else 0.0
    agreed = sum(weight * _agreement(name, first, second) for name, weight in _WEIGHTS.items())
    return agreed / sum(_WEIGHTS.values())


def _agreement(name: str, first: Mention, second: Mention) -> float:
    one, other = getattr(first, name), getattr(second, name)
    if one == other:
        return 1.0
    if one is None or other is None:
        return _UNSAID
    if name == "region" and (REGIONS[one] <= REGIONS[other] or REGIONS[other] <= REGIONS[one]):
        return _WITHIN
    return 0.0


def _likeness(first: Statement, second: Statement) -> float:
    """From 0 to 1: the best over all ways to pair the things off."""
    if len(first.mentions) > len(second.mentions):
        first, second = second, first
    return max(
        _paired_likeness(first, second, pairing)
        for pairing in permutations(range(len(second.mentions)), len(first.mentions))
    )


def _paired_likeness(first: Statement, second: Statement, pairing: Sequence[int]) -> float:
    """If mention i of the first is mention `pairing[i]` of the second."""
    alike = sum(
        likeness_of_mentions(mention, second.mentions[partner])
        for mention, partner in zip(first.mentions, pairing, strict=True)
    )
    things = 2.0 * alike / (len(first.mentions) + len(second.mentions))
    total, weight = _THINGS * things, _THINGS
    if first.links or second.links:
        # How things stand matters as far as they are the same things.
        total += _RELATION * things * _link_agreement(first.links, second.links, pairing)
        weight += _RELATION
    total += _BACKGROUND * _same(first.background, second.background, things)
    weight += _BACKGROUND * _spoken_of(first.background, second.background)
    # The same number of other things is no likeness; the same background is one.
    total += _TOTAL * things * _same(first.total, second.total, 1.0)
    weight += _TOTAL * _spoken_of(first.total, second.total)
    return total / weight


def _spoken_of(first: object, second: object) -> bool:
    return first is not None or second is not None


def _same(first: object, second: object, things: float) -> float:
    """Agreement; where one is silent, half of how alike the things are."""
    if not _spoken_of(first, second):
        return 0.0
    if first is None or second is None:
        return _UNSAID * things
    return float(first == second)


def _link_agreement(first: Sequence[Link], second: Sequence[Link], pairing: Sequence[int]) -> float:
    if not first or not second:
        return _UNSAID
    said, other = first[0], second[0]
    subject, target = pairing[said.subject], pairing[said.other]
    if (subject, target) == (other.subject, other.other):
        return float(said.relation == other.relation)
    if (target, subject) == (other.subject, other.other):
        return float(said.relation == _FLIPPED[other.relation])
    return 0.0
