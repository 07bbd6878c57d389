"""General English that is about no scene: people, what they do, where, when and why."""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.speaker import sentence
from unimo2.processing import PLAIN_SENTENCES

SHE = ("Anna", "Clara", "Emma", "Greta", "Julia", "Laura", "Maria", "Nina")
HE = ("Ben", "David", "Felix", "Henry", "Jonas", "Luke", "Oscar", "Tom")

_PEOPLE = (
    "the teacher",
    "my brother",
    "our neighbour",
    "a young man",
    "the old woman",
    "her sister",
    "his father",
    "the girl",
    "the boy",
    "the doctor",
    "a farmer",
    "the baker",
    "my friend",
)
# (present, past, what follows)
_DEEDS = (
    ("reads", "read", ("a book", "the newspaper", "a long letter", "a story to the children")),
    ("buys", "bought", ("some bread", "a new coat", "apples at the market", "a ticket")),
    ("cooks", "cooked", ("dinner", "a bowl of soup", "rice with vegetables", "an egg")),
    ("plays", "played", ("football", "the guitar", "with the dog", "a game of cards")),
    ("waits", "waited", ("for the bus", "at the station", "for an answer", "outside")),
    ("walks", "walked", ("along the river", "to school", "through the park", "up the hill")),
    ("writes", "wrote", ("a postcard", "to a friend", "her name on the board", "a song")),
    ("repairs", "repaired", ("the bicycle", "an old clock", "the roof", "a broken chair")),
    ("watches", "watched", ("the birds", "a film", "the children", "the rain")),
    ("opens", "opened", ("the window", "the door", "a box of pencils", "the shop")),
    ("carries", "carried", ("a heavy bag", "two cups of tea", "the baby", "a ladder")),
    ("looks", "looked", ("at the clock", "for the keys", "out of the window", "tired")),
)
_WHEN = (
    "every morning",
    "on Sundays",
    "before breakfast",
    "after work",
    "in the evening",
    "when it rains",
    "once a week",
    "in winter",
)
_PAST_WHEN = (
    "yesterday",
    "last week",
    "this morning",
    "two days ago",
    "on Monday",
    "last summer",
    "an hour ago",
)
_WHY = (
    "because the weather was good",
    "although it was late",
    "while the others were asleep",
    "because nobody else would do it",
    "as if nothing had happened",
    "before the guests arrived",
    "until it grew dark",
    "so that everyone could rest",
)
_THOUGHTS = (
    "thinks that",
    "says that",
    "does not know whether",
    "has heard that",
    "doubts that",
    "is sure that",
)


def everyday_paragraph(dice: Dice) -> str:
    """Three to five sentences of general English."""
    return " ".join(_sentence(dice) for _ in range(3 + dice.below(3)))


def _sentence(dice: Dice) -> str:
    if dice.chance(0.12):
        return dice.pick(PLAIN_SENTENCES)
    return dice.pick((_habit, _event, _event, _thought, _question, _pair))(dice)


def _person(dice: Dice) -> str:
    return dice.pick(SHE + HE) if dice.chance(0.4) else dice.pick(_PEOPLE)


def _habit(dice: Dice) -> str:
    present, _, objects = dice.pick(_DEEDS)
    when = dice.pick(_WHEN)
    if dice.chance(0.3):
        return sentence(f"{when},", _person(dice), present, dice.pick(objects))
    return sentence(_person(dice), present, dice.pick(objects), when)


def _event(dice: Dice) -> str:
    _, past, objects = dice.pick(_DEEDS)
    clause = f"{_person(dice)} {past} {dice.pick(objects)}"
    if dice.chance(0.4):
        return sentence(clause, dice.pick(_WHY))
    if dice.chance(0.3):
        return sentence(f"{dice.pick(_PAST_WHEN)},", clause)
    return sentence(clause, dice.pick(_PAST_WHEN))


def _thought(dice: Dice) -> str:
    present, _, objects = dice.pick(_DEEDS)
    one, another = dice.shuffled(SHE + HE + _PEOPLE)[:2]
    return sentence(one, dice.pick(_THOUGHTS), another, present, dice.pick(objects))


def _question(dice: Dice) -> str:
    _, past, objects = dice.pick(_DEEDS)
    who = _person(dice)
    asked = f"who {past} {dice.pick(objects)} {dice.pick(_PAST_WHEN)}"
    answer = dice.pick((f"It was {who}.", "Nobody knows.", f"Perhaps {who} did."))
    return f"{asked[0].upper()}{asked[1:]}? {answer}"


def _pair(dice: Dice) -> str:
    (_, first, first_objects), (_, second, second_objects) = dice.shuffled(_DEEDS)[:2]
    one, another = dice.shuffled(SHE + HE + _PEOPLE)[:2]
    return sentence(
        one,
        first,
        dice.pick(first_objects) + ",",
        dice.pick(("and", "but", "while")),
        another,
        second,
        dice.pick(second_objects),
    )
