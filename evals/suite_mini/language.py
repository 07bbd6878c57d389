"""Five annotators, each with a way of their own to describe a scene."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import REGIONS, RELATIONS, Link, Mention, Statement, related
from evals.suite_mini.speaker import Speaker, sentence
from evals.suite_mini.world import Scene, Thing

_OMIT_THING = 0.08
_OMIT_COLOUR = 0.04
_OMIT_SIZE = 0.46
_OMIT_TEXTURE = 0.15
_SAY_PLAIN = 0.06
_OMIT_PLACE = 0.1
_LONG = 20
"""Words. A longer sentence is thought over, and one more word is allowed after every try ..."""
_LONGEST = 28
"""... up to this many, so that captions stay within 40 tokens."""
_PATIENCE = 80
_TOKEN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Description:
    """A sentence about a scene, and what exactly it says."""

    text: str
    statement: Statement


@dataclass(frozen=True)
class _Group:
    """Things of a scene that are alike in everything but their place."""

    members: tuple[Thing, ...]
    mention: Mention


def tokenize(text: str) -> list[str]:
    """Lower-case words without punctuation; hyphens inside a word stay."""
    return _TOKEN.findall(text.lower())


def describe(scene: Scene, dice: Dice) -> list[Description]:
    """Five captions, one by each annotator, in random order."""
    numbers = dice.shuffled(range(len(ANNOTATORS)))
    return [_concise(number, scene, dice) for number in numbers]


def _concise(number: int, scene: Scene, dice: Dice) -> Description:
    """What the annotator says first, or the shortest of a few tries if that is long."""
    speaker = Speaker(number, dice)
    best = ANNOTATORS[number](scene, speaker)
    for attempt in range(_PATIENCE):
        if _word_count(best) <= min(_LONG + attempt, _LONGEST):
            break
        best = min(best, ANNOTATORS[number](scene, speaker), key=_word_count)
    return best


def _word_count(description: Description) -> int:
    return description.text.count(" ") + 1


def _groups(scene: Scene, speaker: Speaker) -> list[_Group]:
    """The things worth a phrase, in random order, each described with this or that left out."""
    dice = speaker.dice
    groups = dice.shuffled(
        [_Group(members, _mention(members, scene, dice)) for members in scene.alike]
    )
    if len(groups) > 2 and dice.chance(_OMIT_THING):
        groups.pop()
    return groups


def _mention(members: Sequence[Thing], scene: Scene, dice: Dice) -> Mention:
    thing, count = members[0], len(members)
    plain = thing.texture == "plain"
    say_texture = dice.chance(_SAY_PLAIN) if plain else not dice.chance(_OMIT_TEXTURE)
    colour = None if dice.chance(_OMIT_COLOUR) else thing.colour
    size = None if dice.chance(_OMIT_SIZE) else thing.size
    short = Mention(thing.shape, colour, size, thing.texture if say_texture else None, count=count)
    if sum(map(short.fits, scene.things)) == count:
        return short
    # Something else in the scene looks alike: tell them apart.
    return Mention(thing.shape, thing.colour, thing.size, thing.texture, count=count)


def _with_place(group: _Group, speaker: Speaker) -> Mention:
    """The mention with a place: a cell or an edge for one thing, a shared edge for several."""
    dice, said = speaker.dice, group.mention
    names = _regions_around(tuple([thing.cell for thing in group.members]))
    if not names or dice.chance(_OMIT_PLACE):
        return said
    # The first name that fits is the most exact one: REGIONS lists single cells before edges.
    region = names[0] if dice.chance(0.8) else dice.pick(names)
    return replace(said, region=region)


@cache
def _regions_around(cells: tuple[int, ...]) -> list[str]:
    """The parts of the picture in which all of these cells lie."""
    return [name for name, region in REGIONS.items() if region.issuperset(cells)]


@cache
def _relations(first: int, second: int) -> list[str]:
    """All that hold from a thing in the first cell to one in the second."""
    things = [Thing(cell, "", "", "", "") for cell in (first, second)]
    return [name for name in RELATIONS if related(name, *things)]


def _related_pair(
    groups: Sequence[_Group], verbs: lexicon.Words, speaker: Speaker
) -> tuple[str, list[_Group], Link] | None:
    """A clause that relates two single things, the groups with these two first, and the link."""
    single = [group for group in groups if len(group.members) == 1]
    if len(single) < 2:
        return None
    first, second = single[:2]
    name = speaker.dice.pick(_relations(first.members[0].cell, second.members[0].cell))
    clause = (
        f"{speaker.thing(first.mention)} {speaker.say(verbs)} "
        f"{speaker.relation(name)} {speaker.thing(second.mention)}"
    )
    rest = [group for group in groups if group is not first and group is not second]
    return clause, [first, second, *rest], Link(name, 0, 1)


def _tail(mentions: Sequence[Mention], joints: lexicon.Words, speaker: Speaker) -> str:
    """Nothing, or as in: , with a fish at the top and two stars."""
    if not mentions:
        return ""
    phrases = [speaker.placed(mention) for mention in mentions]
    return f", {speaker.say(joints)} {speaker.listing(phrases)}"


def _relater(scene: Scene, speaker: Speaker) -> Description:
    """As in: A large red star is to the left of a ring, with two hearts at the top, on the sand."""
    groups = _groups(scene, speaker)
    pair = _related_pair(groups, lexicon.STANDING, speaker)
    if pair is None:
        return _placer(scene, speaker)
    clause, groups, link = pair
    rest = [
        _with_place(group, speaker) if speaker.dice.chance(0.6) else group.mention
        for group in groups[2:]
    ]
    background = scene.background if speaker.dice.chance(0.6) else None
    clause += _tail(rest, ("with", "and also", "plus"), speaker)
    return Description(
        sentence(clause, *speaker.background(background)),
        Statement((groups[0].mention, groups[1].mention, *rest), (link,), background),
    )


def _placer(scene: Scene, speaker: Speaker) -> Description:
    """As in: There is a fish in the top left corner and a small house in the middle."""
    mentions = [_with_place(group, speaker) for group in _groups(scene, speaker)]
    background = scene.background if speaker.dice.chance(0.5) else None
    phrases = [speaker.placed(mention) for mention in mentions]
    opening = speaker.say(lexicon.OPENINGS) if speaker.dice.chance(0.7) else ""
    if opening == "there is" and mentions[0].count > 1:
        opening = "there are"
    return Description(
        sentence(opening, speaker.listing(phrases), *speaker.background(background)),
        Statement(tuple(mentions), (), background),
    )


def _counter(scene: Scene, speaker: Speaker) -> Description:
    """As in: Three things on the sand: a green heart, and two white moons at the top."""
    groups = _groups(scene, speaker)
    placed = speaker.dice.below(len(groups))
    mentions = [
        _with_place(group, speaker)
        if index == placed or speaker.dice.chance(0.35)
        else group.mention
        for index, group in enumerate(groups)
    ]
    total = len(scene.things)
    number = f"{speaker.say(lexicon.NUMBERS[total])} {speaker.say(lexicon.THINGS)}"
    where = " ".join([number, *speaker.background(scene.background)])
    phrases = [speaker.placed(mention) for mention in mentions]
    return Description(
        sentence(f"{where}:", speaker.listing(phrases)),
        Statement(tuple(mentions), (), scene.background, total),
    )


def _painter(scene: Scene, speaker: Speaker) -> Description:
    """As in: In the night sky, a tiny star hangs above a house, and a fish is at the bottom."""
    groups = _groups(scene, speaker)
    opening = speaker.background(scene.background)[0] + ","
    pair = _related_pair(groups, lexicon.HANGING, speaker)
    if pair is None:
        mentions = [_with_place(group, speaker) for group in groups]
        phrases = [speaker.placed(mention) for mention in mentions]
        seen = speaker.say(("you can see", "we find", "one can see"))
        return Description(
            sentence(opening, seen, speaker.listing(phrases)),
            Statement(tuple(mentions), (), scene.background),
        )
    clause, groups, link = pair
    rest = [_with_place(group, speaker) for group in groups[2:]]
    clause += _tail(rest, ("and", "with", "also"), speaker)
    return Description(
        sentence(opening, clause),
        Statement((groups[0].mention, groups[1].mention, *rest), (link,), scene.background),
    )


def _note_taker(scene: Scene, speaker: Speaker) -> Description:
    """As in: red star top left, two small rings, wooden floor."""
    mentions = [_with_place(group, speaker) for group in _groups(scene, speaker)]
    background = scene.background if speaker.dice.chance(0.6) else None
    phrases = [
        speaker.bare_thing(mention) + (f" {mention.region}" if mention.region else "")
        for mention in mentions
    ]
    if background is not None:
        phrases.append(speaker.say(lexicon.BACKGROUND_NAMES[background]))
    return Description(", ".join(phrases), Statement(tuple(mentions), (), background))


ANNOTATORS: tuple[Callable[[Scene, Speaker], Description], ...] = (
    _relater,
    _placer,
    _counter,
    _painter,
    _note_taker,
)
