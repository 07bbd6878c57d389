"""What ten people answer: mostly the same, now and then a synonym, a slip or a stray answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from evals.suite_mini import lexicon
from evals.suite_mini.dice import Dice
from evals.suite_mini.looks import CELLS
from evals.suite_mini.world import COLOURS, SHAPES, SIZES, TEXTURES

PEOPLE = 10

# How sure people are of a question: the share who give the canonical answer, and how often
# questions are so. Four of ten are enough for full marks, so a good reader stays near 100.
_AGREEMENT = (1.0, 0.85, 0.5)
_AGREEMENT_WEIGHTS = (48, 36, 16)
_SYNONYM_CHANCE = 0.65
"""Of those who do not give the canonical answer; the others err."""
_CONFIDENCES = ("yes", "maybe", "no")
_SURE, _UNSURE = (85, 13, 2), (40, 45, 15)

_BACKGROUND_ANSWERS: dict[str, str] = lexicon.TABLES["background_answers"]
# Who errs takes another answer of the family; the first family with the answer counts.
_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("yes", "no"),
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    ("left", "right"),
    ("above", "below"),
    ("top", "bottom"),
    CELLS,
    tuple(_BACKGROUND_ANSWERS.values()),
)


@dataclass(frozen=True)
class HumanAnswer:
    """What one annotator wrote."""

    text: str
    confidence: str


def spoken(answer: str) -> str:
    """The canonical answer as the data set spells it: "meadow" is "grass"."""
    return _BACKGROUND_ANSWERS.get(answer, answer)


def answer_type(answer: str) -> str:
    """VQA's "yes/no", "number" or "other"."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def ten_answers(answer: str, dice: Dice) -> tuple[HumanAnswer, ...]:
    """What ten people answer, given the canonical answer (`topics`), in their order."""
    share = _AGREEMENT[dice.weighted(_AGREEMENT_WEIGHTS)]
    return tuple(_one(answer, share, dice) for _ in range(PEOPLE))


def most_common(answers: tuple[HumanAnswer, ...]) -> str:
    """VQA's `multiple_choice_answer`; of equally common ones, the one given first."""
    return Counter(answer.text for answer in answers).most_common(1)[0][0]


def _one(answer: str, share: float, dice: Dice) -> HumanAnswer:
    if dice.chance(share):
        return HumanAnswer(spoken(answer), _CONFIDENCES[dice.weighted(_SURE)])
    if dice.chance(_SYNONYM_CHANCE):
        # There is no other word for "yes" or "3".
        text = dice.pick(_synonyms(answer) or (spoken(answer),))
    else:
        text = _mistaken(answer, dice)
    return HumanAnswer(text, _CONFIDENCES[dice.weighted(_UNSURE)])


def _synonyms(answer: str) -> tuple[str, ...]:
    """Other words for the answer, none of which is canonical for another one."""
    if " and " in answer:
        first, second = answer.split(" and ")
        return (f"{second} and {first}", f"{first}, {second}")
    if answer in lexicon.NOUNS:
        return tuple(word for word, _ in lexicon.NOUNS[answer][1:] if word != answer)
    if answer in lexicon.TEXTURE_WORDS:
        return lexicon.TEXTURE_WORDS[answer][0][1:]
    if answer in _BACKGROUND_ANSWERS:
        names = lexicon.BACKGROUND_NAMES[answer]
        return tuple(name for name in names if name != spoken(answer))
    if answer in lexicon.TABLES["synonyms"]:
        return lexicon.TABLES["synonyms"][answer]
    if answer in CELLS:
        upright = answer.replace("top", "upper").replace("bottom", "lower")
        turned = upright.replace("middle", "center") if answer.startswith("middle") else upright
        return (turned, f"on {answer}")
    return (lexicon.COLOUR_WORDS | lexicon.SIZE_WORDS).get(answer, ("?",))[1:]


def _mistaken(answer: str, dice: Dice) -> str:
    """One off if it is a number, one colour wrong of two, else something else of its family."""
    if answer.isdigit():
        number = int(answer)
        return str(number + 1 if number == 0 or dice.chance(0.5) else number - 1)
    if " and " in answer:
        return answer.split(" and ")[dice.below(2)]
    known = spoken(answer)
    family = next(family for family in _FAMILIES if known in family)
    return dice.pick([other for other in family if other != known])
