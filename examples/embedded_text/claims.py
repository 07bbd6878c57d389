"""Claims about a scene that somebody has described: what the hypotheses of MNLI say.

"The star" in a claim is the star of the description. So a claim is true or false of a scene
together with a reading: which things the phrases of the description speak of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

from evals.suite_mini.meaning import REGIONS, Mention, Statement, related
from evals.suite_mini.world import Scene, Thing

Reading = Mapping[int, tuple[Thing, ...]]
"""By position of the mention: the things it speaks of."""


class Claim(Protocol):
    """Something that is true or false of a scene and a reading."""

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Whether it is true."""
        ...


@dataclass(frozen=True)
class Attribute:
    """The star is red."""

    mention: int
    name: str
    """"colour", "size" or "texture"."""
    value: str

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of all the things that are meant."""
        return all(getattr(thing, self.name) == self.value for thing in reading[self.mention])


@dataclass(frozen=True)
class Place:
    """The star is at the top."""

    mention: int
    region: str

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of all the things that are meant."""
        return all(thing.cell in REGIONS[self.region] for thing in reading[self.mention])


@dataclass(frozen=True)
class Relation:
    """The star is above the ring; both are single things."""

    first: int
    name: str
    second: int

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """As the captions of the suite use the words."""
        return related(self.name, reading[self.first][0], reading[self.second][0])


@dataclass(frozen=True)
class SameColour:
    """The star and the ring have the same colour."""

    first: int
    second: int

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of all the things that are meant."""
        return len({thing.colour for thing in (*reading[self.first], *reading[self.second])}) == 1


@dataclass(frozen=True)
class Larger:
    """The star is bigger than the ring; both are single things."""

    first: int
    second: int

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Large against small."""
        sizes = reading[self.first][0].size, reading[self.second][0].size
        return sizes == ("large", "small")


@dataclass(frozen=True)
class Exists:
    """There is a red star in the picture."""

    pattern: Mention

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of the scene alone."""
        return any(self.pattern.fits(thing) for thing in scene.things)


@dataclass(frozen=True)
class Count:
    """There are exactly, at least or fewer than so many things."""

    kind: str
    """"exactly", "at least" or "fewer than"."""
    number: int

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of the scene alone."""
        total = len(scene.things)
        if self.kind == "exactly":
            return total == self.number
        return total >= self.number if self.kind == "at least" else total < self.number


@dataclass(frozen=True)
class Background:
    """It is all on the sand."""

    name: str

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Of the scene alone."""
        return scene.background == self.name


@dataclass(frozen=True)
class Not:
    """The claim is false."""

    claim: Claim

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Whatever the other does not."""
        return not self.claim.holds(scene, reading)


@dataclass(frozen=True)
class Both:
    """Two claims at once."""

    first: Claim
    second: Claim

    def holds(self, scene: Scene, reading: Reading) -> bool:
        """Both of them."""
        return self.first.holds(scene, reading) and self.second.holds(scene, reading)


def readings(statement: Statement, scene: Scene) -> Iterator[Reading]:
    """Every way to understand the statement so that it is true of the scene; none if it is false."""
    if statement.background not in (None, scene.background):
        return
    if statement.total not in (None, len(scene.things)):
        return
    fixed: dict[int, tuple[Thing, ...]] = {}
    for place, mention in enumerate(statement.mentions):
        if mention.count > 1:
            fitting = tuple(thing for thing in scene.things if mention.fits(thing))
            if len(fitting) != mention.count or not all(map(mention.lies_in_region, fitting)):
                return
            fixed[place] = fitting
    single = [place for place, mention in enumerate(statement.mentions) if mention.count == 1]
    for things in permutations(scene.things, len(single)):
        reading = {
            **fixed,
            **{place: (thing,) for place, thing in zip(single, things, strict=True)},
        }
        if all(
            statement.mentions[place].fits(thing)
            and statement.mentions[place].lies_in_region(thing)
            for place, thing in zip(single, things, strict=True)
        ) and all(
            related(link.relation, reading[link.subject][0], reading[link.other][0])
            for link in statement.links
        ):
            yield reading
