"""One scene, told in true sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS, Mention, related
from evals.suite_mini.speaker import Speaker, sentence
from evals.suite_mini.world import SHAPES, TEXTURES, Scene, Thing

OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
"""The relation that holds the other way round."""
NUMBER_WORDS = {0: "no", 1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


class Narrator:
    """Names the things of a scene and says what is true of them.

    Attributes:
        scene: what is told.
        speaker: chooses the words.
        dice: chooses what to say.
        named: the things that a phrase can single out, in random order.
    """

    def __init__(self, scene: Scene, dice: Dice) -> None:
        """Look at a scene through the eyes of one of the annotators, chosen by the dice."""
        self.scene = scene
        self.dice = dice
        self.speaker = Speaker(dice.below(5), dice)
        self.named = dice.shuffled([thing for thing in scene.things if self._is_alone(thing)])

    def _is_alone(self, thing: Thing) -> bool:
        return sum(_full(thing).fits(other) for other in self.scene.things) == 1

    def mention(self, thing: Thing) -> Mention:
        """A short description that fits this thing of the scene and no other."""
        full = _full(thing)
        short = Mention(thing.shape)
        candidates = [
            short,
            *self.dice.shuffled(
                [
                    replace(short, colour=full.colour),
                    replace(short, size=full.size),
                    replace(short, texture=full.texture),
                ]
            ),
            replace(short, colour=full.colour, size=full.size),
        ]
        for candidate in candidates:
            if sum(candidate.fits(other) for other in self.scene.things) == 1:
                return candidate
        return full

    def introduced(self, thing: Thing) -> str:
        """As in: a small red star with stripes."""
        full = _full(thing)
        texture = None if thing.texture == "plain" else full.texture
        size = full.size if self.dice.chance(0.6) else None
        return self.speaker.thing(replace(full, size=size, texture=texture))

    def the(self, thing: Thing) -> str:
        """As in: the red star."""
        return definite(self.speaker.thing(self.mention(thing)))

    def place(self, thing: Thing) -> str:
        """As in: in the top left corner."""
        exact = next(name for name, cells in REGIONS.items() if thing.cell in cells)
        return self.speaker.place(exact)

    def relation(self) -> tuple[Thing, str, Thing] | None:
        """Two things that can be named and a relation from one to the other; never "beside"."""
        pairs = [
            (first, name, second)
            for first in self.named
            for second in self.named
            for name in OPPOSITES
            if first != second and related(name, first, second)
        ]
        return self.dice.pick(pairs) if pairs else None

    def counted(self) -> str:
        """As in: three things on the sand."""
        number = self.speaker.say(lexicon.NUMBERS[len(self.scene.things)])
        things = self.speaker.say(lexicon.THINGS)
        return " ".join([number, things, *self.speaker.background(self.scene.background)])

    def absent_shape(self) -> str:
        """A shape that nothing in the scene has."""
        present = {thing.shape for thing in self.scene.things}
        return self.dice.pick([shape for shape in SHAPES if shape not in present])

    def noun(self, shape: str) -> str:
        """One of its words, in the singular."""
        return self.speaker.say(lexicon.NOUNS[shape])[0]

    def everything(self) -> str:
        """The scene's things with their numbers: a tiny ring and two red stars."""
        groups: dict[Mention, int] = {}
        for thing in self.scene.things:
            groups[_full(thing)] = groups.get(_full(thing), 0) + 1
        phrases = []
        for mention, count in groups.items():
            texture = None if mention.texture == "plain" else mention.texture
            size = mention.size if self.dice.chance(0.6) else None
            phrases.append(
                self.speaker.thing(replace(mention, count=count, size=size, texture=texture))
            )
        return listed(self.dice.shuffled(phrases))

    def facts(self, most: int) -> list[str]:
        """Up to `most` sentences that are true of the scene, each of another kind."""
        found: list[str] = []
        for kind in self.dice.shuffled(_FACTS):
            said = kind(self)
            if said is not None and len(found) < most:
                found.append(said)
        return found


def definite(phrase: str) -> str:
    """The phrase with "the" in the place of its article: "a red star" -> "the red star"."""
    first, rest = phrase.split(" ", 1)
    return f"the {rest}" if first in ("a", "an") else f"the {phrase}"


def indefinite(phrase: str) -> str:
    """The phrase with "a" or "an": "egg" -> "an egg"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def listed(phrases: Sequence[str]) -> str:
    """As in: a, b and c."""
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _full(thing: Thing) -> Mention:
    return Mention(thing.shape, thing.colour, thing.size, thing.texture)


def _place_fact(teller: Narrator) -> str | None:
    if not teller.named:
        return None
    thing = teller.dice.pick(teller.named)
    verb = teller.dice.pick(lexicon.STANDING)
    if teller.dice.chance(0.3):
        return sentence(teller.place(thing), verb, teller.introduced(thing))
    return sentence(teller.the(thing), verb, teller.place(thing))


def _relation_fact(teller: Narrator) -> str | None:
    triple = teller.relation()
    if triple is None:
        return None
    first, name, second = triple
    said = f"{teller.the(first)} is {teller.speaker.relation(name)} {teller.the(second)}"
    if teller.dice.chance(0.4):
        again = (
            f"{teller.the(second)} is {teller.speaker.relation(OPPOSITES[name])} "
            f"{teller.the(first)}"
        )
        link = teller.dice.pick((", so", "; in other words,", ", which means that"))
        return sentence(f"{said}{link} {again}")
    return sentence(said)


def _colour_fact(teller: Narrator) -> str | None:
    if not teller.named:
        return None
    thing = teller.dice.pick(teller.named)
    name = definite(teller.speaker.thing(replace(teller.mention(thing), colour=None)))
    like = [other for other in teller.scene.things if other.shape == thing.shape]
    if len(like) > 1:
        return None
    colour = teller.speaker.say(lexicon.COLOUR_WORDS[thing.colour])
    other = teller.dice.pick([key for key in lexicon.COLOUR_WORDS if key != thing.colour])
    wrong = teller.speaker.say(lexicon.COLOUR_WORDS[other])
    return sentence(
        teller.dice.pick(
            (
                f"{name} is {colour}",
                f"{name} is {colour}, not {wrong}",
                f"{name} has been painted {colour}",
                f"the colour of {name} is {colour}",
            )
        )
    )


def _count_fact(teller: Narrator) -> str | None:
    total = len(teller.scene.things)
    things = teller.speaker.say(lexicon.THINGS)
    number = NUMBER_WORDS[total]
    return sentence(
        teller.dice.pick(
            (
                f"there are {number} {things} in all",
                f"all in all we count {number} {things}",
                f"there are not more than {number} {things}",
                f"the picture has {number} {things} and nothing else",
            )
        )
    )


def _absence_fact(teller: Narrator) -> str | None:
    noun = teller.noun(teller.absent_shape())
    return sentence(
        teller.dice.pick(
            (
                f"there is no {noun} in the picture",
                f"nobody drew {indefinite(noun)}",
                f"{indefinite(noun)} cannot be found anywhere",
                f"you will look for {indefinite(noun)} in vain",
            )
        )
    )


def _size_fact(teller: Narrator) -> str | None:
    small = [thing for thing in teller.named if thing.size == "small"]
    large = [thing for thing in teller.named if thing.size == "large"]
    if not small or not large:
        return None
    less, more = teller.the(teller.dice.pick(small)), teller.the(teller.dice.pick(large))
    return sentence(
        teller.dice.pick(
            (
                f"{less} is smaller than {more}",
                f"{more} is bigger than {less}",
                f"{more} is larger than {less}, which is quite small",
                f"{less} is not as big as {more}",
            )
        )
    )


def _likeness_fact(teller: Narrator) -> str | None:
    if len(teller.named) < 2:
        return None
    first, second = teller.dice.shuffled(teller.named)[:2]
    both = f"{teller.the(first)} and {teller.the(second)}"
    if first.colour == second.colour:
        colour = teller.speaker.say(lexicon.COLOUR_WORDS[first.colour])
        return sentence(
            teller.dice.pick((f"{both} have the same colour", f"{both} are both {colour}"))
        )
    if first.texture == second.texture and teller.dice.chance(0.4):
        word = {"plain": "plain", "striped": "striped", "dotted": "dotted"}[first.texture]
        return sentence(f"{both} are both {word}")
    return sentence(teller.dice.pick((f"{both} differ in colour", f"{both} are not alike")))


def _texture_fact(teller: Narrator) -> str | None:
    texture = teller.dice.pick(TEXTURES[1:])
    word = teller.speaker.say(lexicon.TEXTURE_WORDS[texture][0])
    having = [thing for thing in teller.scene.things if thing.texture == texture]
    if not having:
        return sentence(teller.dice.pick((f"nothing is {word}", f"none of them is {word}")))
    if len(having) == 1 and having[0] in teller.named:
        name = definite(teller.speaker.thing(Mention(having[0].shape, having[0].colour)))
        return sentence(f"only {name} is {word}")
    if len(having) == len(teller.scene.things):
        return sentence(f"everything is {word}")
    return sentence(f"{NUMBER_WORDS[len(having)]} of them {_be(len(having))} {word}")


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


_FACTS = (
    _place_fact,
    _relation_fact,
    _colour_fact,
    _count_fact,
    _absence_fact,
    _size_fact,
    _likeness_fact,
    _texture_fact,
)
