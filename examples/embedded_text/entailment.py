"""Whether a description entails a claim, contradicts it, or leaves it open.

Decided by rules, over every drawing on the 3 x 3 grid of any number of things, not only those that
the generator draws: a reader does not know its habits. Where two sensible readers could differ, no
verdict is given, and the pair is not used; for example whether something far above and a little to
the left is "to the left".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

from evals.suite_mini.meaning import REGIONS, RELATIONS, Mention, Statement, related
from evals.suite_mini.world import GRID, Thing
from examples.embedded_text.claims import (
    Attribute,
    Background,
    Both,
    Claim,
    Count,
    Exists,
    Larger,
    Not,
    Place,
    Relation,
    SameColour,
)
from examples.embedded_text.telling import are_apart

ENTAILMENT, NEUTRAL, CONTRADICTION = "entailment", "neutral", "contradiction"
_OPPOSITE = {ENTAILMENT: CONTRADICTION, CONTRADICTION: ENTAILMENT, NEUTRAL: NEUTRAL}
_CELLS = GRID * GRID

_RELATED = {
    (name, first, second): related(
        name, Thing(first, "", "", "", ""), Thing(second, "", "", "", "")
    )
    for name in RELATIONS
    for first in range(_CELLS)
    for second in range(_CELLS)
}
"""Whether the relation holds between things in two cells."""

Layout = tuple[tuple[int, ...], ...]
"""For each mention the cells of its things."""


def is_clear(statement: Statement) -> bool:
    """Whether no thing could be what two of its phrases describe."""
    return all(are_apart(first, second) for first, second in combinations(statement.mentions, 2))


def verdict(statement: Statement, claim: Claim) -> str | None:
    """What the description says about the claim.

    Args:
        statement: of a description; clear, see `is_clear`.
        claim: about its mentions, or about the scene.

    Returns:
        "entailment" if the claim is true of every drawing and reading of which the description
        is, "contradiction" if of none, "neutral" if of some; None if that could be disputed.
    """
    if isinstance(claim, Not):
        inner = verdict(statement, claim.claim)
        return None if inner is None else _OPPOSITE[inner]
    if isinstance(claim, Both):
        return _both(verdict(statement, claim.first), verdict(statement, claim.second))
    if isinstance(claim, Attribute):
        return _compared(getattr(statement.mentions[claim.mention], claim.name), claim.value)
    if isinstance(claim, Background):
        return _compared(statement.background, claim.name)
    if isinstance(claim, SameColour):
        first, second = (statement.mentions[i].colour for i in (claim.first, claim.second))
        return NEUTRAL if first is None else _compared(second, first)
    if isinstance(claim, Larger):
        sizes = (statement.mentions[claim.first].size, statement.mentions[claim.second].size)
        return _LARGER.get(sizes)
    if isinstance(claim, Count):
        return _count(statement, claim)
    if isinstance(claim, Exists):
        return _exists(statement, claim.pattern)
    if isinstance(claim, Place):
        return _place(statement, claim)
    if isinstance(claim, Relation):
        return _relation(statement, claim)
    raise TypeError(f"no rule for {claim!r}")


_LARGER: dict[tuple[str | None, str | None], str] = {
    ("large", "small"): ENTAILMENT,
    ("small", "large"): CONTRADICTION,
    ("large", None): NEUTRAL,
    (None, "small"): NEUTRAL,
    (None, None): NEUTRAL,
}


def _compared(said: str | None, claimed: str) -> str:
    if said is None:
        return NEUTRAL
    return ENTAILMENT if said == claimed else CONTRADICTION


def _both(first: str | None, second: str | None) -> str | None:
    """Two open claims together could exclude each other: no verdict."""
    if None in (first, second) or (first, second) == (NEUTRAL, NEUTRAL):
        return None
    if CONTRADICTION in (first, second):
        return CONTRADICTION
    return NEUTRAL if NEUTRAL in (first, second) else ENTAILMENT


def _mentioned(statement: Statement) -> int:
    return sum(mention.count for mention in statement.mentions)


def _count(statement: Statement, claim: Count) -> str | None:
    least, total = _mentioned(statement), statement.total
    if total is not None:
        told = {
            "exactly": total == claim.number,
            "at least": total >= claim.number,
            "fewer than": total < claim.number,
        }
        return ENTAILMENT if told[claim.kind] else CONTRADICTION
    if claim.kind == "at least":
        return ENTAILMENT if least >= claim.number else NEUTRAL
    if claim.kind == "fewer than":
        return CONTRADICTION if least >= claim.number else NEUTRAL
    if least == claim.number:
        return None  # a description may be taken to be complete
    return CONTRADICTION if least > claim.number else NEUTRAL


def _implies(mention: Mention, pattern: Mention) -> bool:
    """Whether whatever the mention speaks of fits the pattern."""
    return all(
        getattr(pattern, name) in (None, getattr(mention, name))
        for name in ("shape", "colour", "size", "texture")
    )


def _exists(statement: Statement, pattern: Mention) -> str | None:
    if any(_implies(mention, pattern) for mention in statement.mentions):
        return ENTAILMENT
    excluded = all(are_apart(mention, pattern) for mention in statement.mentions)
    if statement.total == _mentioned(statement):
        return CONTRADICTION if excluded else NEUTRAL
    if excluded and any(mention.shape == pattern.shape for mention in statement.mentions):
        return None  # "a red star": is there a blue one, too? Many would say no.
    return NEUTRAL


@lru_cache(maxsize=16)
def _layouts(statement: Statement) -> tuple[Layout, ...]:
    """Every way to place the things that are mentioned."""
    found: list[Layout] = []

    def place(chosen: list[tuple[int, ...]], used: frozenset[int]) -> None:
        if not all(
            _RELATED[link.relation, chosen[link.subject][0], chosen[link.other][0]]
            for link in statement.links
            if max(link.subject, link.other) < len(chosen)
        ):
            return
        if len(chosen) == len(statement.mentions):
            found.append(tuple(chosen))
            return
        mention = statement.mentions[len(chosen)]
        allowed = REGIONS[mention.region] if mention.region else frozenset(range(_CELLS))
        for cells in combinations(sorted(allowed - used), mention.count):
            place([*chosen, cells], used | set(cells))

    place([], frozenset())
    return tuple(found)


def _loosely_related(relation: str, first: int, second: int) -> bool:
    """In the widest sense: "left" whatever the heights, "beside" corner to corner, too."""
    right, down = second % GRID - first % GRID, second // GRID - first // GRID
    return {
        "left": right > 0,
        "right": right < 0,
        "above": down > 0,
        "below": down < 0,
        "beside": max(abs(right), abs(down)) == 1,
    }[relation]


def _place(statement: Statement, claim: Place) -> str | None:
    mention = statement.mentions[claim.mention]
    region = REGIONS[claim.region]
    if mention.count > 1 and len(region) == 1:
        return None
    inside = [
        all(cell in region for cell in layout[claim.mention]) for layout in _layouts(statement)
    ]
    found = _over_all(inside, inside)
    if found != NEUTRAL and mention.region is None:
        return None  # it follows from a relation alone, and from the size of the grid
    return found


def _relation(statement: Statement, claim: Relation) -> str | None:
    pairs = {(layout[claim.first][0], layout[claim.second][0]) for layout in _layouts(statement)}
    return _over_all(
        [_RELATED[claim.name, first, second] for first, second in pairs],
        [_loosely_related(claim.name, *pair) for pair in pairs],
    )


def _over_all(strictly: Sequence[bool], loosely: Sequence[bool]) -> str | None:
    """The verdict if both senses of the words agree on it."""
    if all(strictly):
        return ENTAILMENT
    if not any(loosely):
        return CONTRADICTION
    return NEUTRAL if any(strictly) and not all(loosely) else None
