"""Pairs of pictures that give different answers to the same question, as in VQA v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from evals.suite_mini.captioned import CaptionedEntry
from evals.suite_mini.dice import Dice
from evals.suite_mini.topics import Topic

_TRIES = 40
_GROUP = 40
"""Pictures among which the members of a pair are sought: enough for most topics."""


@dataclass(frozen=True)
class PictureGroup:
    """Pictures of a split, and how much is to be said of them."""

    split: str
    number: int
    pictures: tuple[CaptionedEntry, ...]
    pairs: int


G = TypeVar("G", bound=PictureGroup)


def groups(
    kind: type[G], split: str, pictures: Sequence[CaptionedEntry], items_per_picture: float
) -> list[G]:
    """Cut a split into groups.

    Args:
        kind: what is made of a group.
        split: its name.
        pictures: of the split.
        items_per_picture: questions or sentences wanted for each, on average.

    Returns:
        Groups that cover the pictures in their order; their pairs add up to the items wanted.
    """
    count, size = max(1, len(pictures) // _GROUP), len(pictures)
    bounds = [number * size // count for number in range(count + 1)]
    wanted = [round(bound * items_per_picture / 2) for bound in bounds]
    return [
        kind(split, number, tuple(pictures[start:end]), wanted[number + 1] - wanted[number])
        for number, (start, end) in enumerate(pairwise(bounds))
    ]


@dataclass(frozen=True)
class AskableTopic:
    """A topic that is askable of a picture of a group, with the picture's answer."""

    picture: int
    """Number of the picture within its group."""
    topic: Topic
    answer: str
    """Canonical, as `topics` gives it."""


_Forms = dict[tuple[object, ...], dict[Topic, dict[str, list[int]]]]


def answer_pairs(
    known: Sequence[Mapping[Topic, str]], kinds: Mapping[str, int], pairs: int, dice: Dice
) -> list[tuple[AskableTopic, AskableTopic]]:
    """Topics, each found in two pictures that answer it differently.

    Args:
        known: what can be asked of each picture of the group, with the answers; two at least.
        kinds: how often each kind of topic is wanted, in proportion.
        pairs: how many are wanted; there are fewer if the group is too small for them.
        dice: for everything that is left open.

    Returns:
        The two members of each pair, in random order. Answers of one topic come as evenly as the
        scenes allow, pictures are used equally often, and none is asked the same thing twice.
    """
    table = _table(known, kinds)
    names, weights = list(kinds), list(kinds.values())
    uses = [0] * len(known)
    taken: set[tuple[int, Topic]] = set()
    found: list[tuple[AskableTopic, AskableTopic]] = []
    for _ in range(pairs * _TRIES):
        if len(found) == pairs:
            break
        forms = table.get(names[dice.weighted(weights)])
        if not forms:
            continue
        by_topic = dice.pick(list(forms.values()))
        topic = dice.pick(list(by_topic))
        pair = _choose(topic, by_topic[topic], uses, taken, dice)
        if pair is None:
            continue
        found.append(pair)
        for member in pair:
            uses[member.picture] += 1
            taken.add((member.picture, topic))
    return found


def _table(known: Sequence[Mapping[Topic, str]], kinds: Mapping[str, int]) -> dict[str, _Forms]:
    """Kind -> form -> topic -> answer -> pictures; topics with one answer only are left out."""
    found: dict[Topic, dict[str, list[int]]] = {}
    for number, own in enumerate(known):
        for topic, answer in own.items():
            if topic.kind in kinds:
                found.setdefault(topic, {}).setdefault(answer, []).append(number)
    table: dict[str, _Forms] = {}
    for topic, answers in found.items():
        if len(answers) > 1:
            forms = table.setdefault(topic.kind, {})
            forms.setdefault(topic.form(), {})[topic] = answers
    return table


def _choose(
    topic: Topic,
    known: Mapping[str, Sequence[int]],
    uses: Sequence[int],
    taken: set[tuple[int, Topic]],
    dice: Dice,
) -> tuple[AskableTopic, AskableTopic] | None:
    """Two pictures with different answers, those first that were used least so far."""
    chosen = []
    for answer in dice.shuffled(sorted(known))[:2]:
        free = [number for number in known[answer] if (number, topic) not in taken]
        if not free:
            return None
        fewest = min(uses[number] for number in free)
        picture = dice.pick([number for number in free if uses[number] == fewest])
        chosen.append(AskableTopic(picture, topic, answer))
    return chosen[0], chosen[1]
