"""What a sentence says about a scene, and whether it is true of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.suite_mini.world import Scene, Thing

REGIONS: dict[str, frozenset[int]] = {
    "top left": frozenset({0}),
    "top middle": frozenset({1}),
    "top right": frozenset({2}),
    "middle left": frozenset({3}),
    "middle": frozenset({4}),
    "middle right": frozenset({5}),
    "bottom left": frozenset({6}),
    "bottom middle": frozenset({7}),
    "bottom right": frozenset({8}),
    "top": frozenset({0, 1, 2}),
    "bottom": frozenset({6, 7, 8}),
    "left": frozenset({0, 3, 6}),
    "right": frozenset({2, 5, 8}),
}
"""The cells that the name of a part of the picture covers."""

RELATIONS = ("left", "right", "above", "below", "beside")


@dataclass(frozen=True)
class Mention:
    """A phrase for one thing ("a small star") or for a number of like ones ("two red stars").

    What is None was left unsaid. With a count of two or more the phrase says that there are
    exactly so many such things, all of them in the region, if one is named.
    """

    shape: str
    colour: str | None = None
    size: str | None = None
    texture: str | None = None
    region: str | None = None
    count: int = 1

    def fits(self, thing: Thing) -> bool:
        """Whether the thing is such a one, wherever it stands."""
        return (
            self.shape == thing.shape
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and self.texture in (None, thing.texture)
        )

    def lies_in_region(self, thing: Thing) -> bool:
        """Whether the thing stands where the phrase says."""
        return self.region is None or thing.cell in REGIONS[self.region]


@dataclass(frozen=True)
class Link:
    """A relation between two mentions of single things, given by their positions."""

    relation: str
    subject: int
    other: int


@dataclass(frozen=True)
class Statement:
    """All that a sentence says."""

    mentions: tuple[Mention, ...]
    links: tuple[Link, ...] = ()
    background: str | None = None
    total: int | None = None
    """How many things there are in all."""


def lead(direction: str, first: Thing, second: Thing) -> int:
    """By how many cells the first thing is further to the left (right, above, below)."""
    right, down = second.column - first.column, second.row - first.row
    return {"left": right, "right": -right, "above": down, "below": -down}[direction]


def related(relation: str, first: Thing, second: Thing) -> bool:
    """Whether the relation holds from the first thing to the second.

    "left" needs the first to be further left, and no further away up or down than it is to the
    side; the others likewise. "beside" is left or right in the very next cell.
    """
    right, down = abs(second.column - first.column), abs(second.row - first.row)
    if relation == "beside":
        return down == 0 and right == 1
    return 0 < lead(relation, first, second) >= max(right, down)


def is_true(statement: Statement, scene: Scene) -> bool:
    """Whether there is a way to read the sentence so that it holds in the scene.

    Different phrases for single things speak of different things.
    """
    if statement.background not in (None, scene.background):
        return False
    if statement.total not in (None, len(scene.things)):
        return False
    candidates: list[list[Thing]] = []
    for mention in statement.mentions:
        fitting = [thing for thing in scene.things if mention.fits(thing)]
        if mention.count > 1:
            in_place = all(mention.lies_in_region(thing) for thing in fitting)
            if len(fitting) != mention.count or not in_place:
                return False
            candidates.append([])
            continue
        fitting = [thing for thing in fitting if mention.lies_in_region(thing)]
        if not fitting:
            return False
        candidates.append(fitting)
    return _assignable(statement, candidates, {})


def _assignable(
    statement: Statement, candidates: Sequence[list[Thing]], chosen: dict[int, Thing]
) -> bool:
    """Whether the mentions not yet chosen can each get a thing of their own (backtracking)."""
    open_mentions = [
        index
        for index, mention in enumerate(statement.mentions)
        if mention.count == 1 and index not in chosen
    ]
    if not open_mentions:
        return all(
            related(link.relation, chosen[link.subject], chosen[link.other])
            for link in statement.links
        )
    index = open_mentions[0]
    return any(
        _assignable(statement, candidates, {**chosen, index: thing})
        for thing in candidates[index]
        if thing not in chosen.values()
    )
