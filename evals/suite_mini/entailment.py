"""Hypotheses about pictures, and whether a picture entails, contradicts or leaves them open.

A statement about what can be seen is decided by the picture. One that cannot be seen makes a
sentence neutral, but not by being there: "V, and U" is contradicted where V is false, "V, or U" is
entailed where V is true. So the words alone leave two labels open, whatever they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from evals.suite_mini.claims import KINDS, Claim, clause
from evals.suite_mini.dice import Dice
from evals.suite_mini.pairing import Found, answer_pairs
from evals.suite_mini.speaker import sentence
from evals.suite_mini.topics import Topic, topics
from evals.suite_mini.unseen import unseen_attribute, unseen_clause
from evals.suite_mini.world import Scene

_AND = (
    "{0}, and {1}",
    "{0}, but {1}",
    "{0}, while {1}",
    "it is true that {0} and that {1}",
)
_OR = (
    "{0}, or {1}",
    "either {0} or {1}",
    "{0}, or else {1}",
    "it is true that {0} or that {1}",
)
_TWO_CLAIMS_CHANCE = 0.05
_SHORT_CHANCE = 0.8
_RELATIVE_CHANCE = 0.35
_AFFIRMED_CHANCE = 0.9
_TRIES = 40


class Form(Enum):
    """How a hypothesis is built, with its label where what is seen of it is true, and false."""

    SEEN = ("entailment", "contradiction")
    AND_UNSEEN = ("neutral", "contradiction")
    OR_UNSEEN = ("entailment", "neutral")

    def label(self, truth: bool) -> str:
        """The label of a hypothesis, given whether its visible part is true of the picture."""
        return self.value[0] if truth else self.value[1]


# The same in a few words, as most sentences say it: templates, and what no picture decides.
_SHORT: dict[Form, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Form.AND_UNSEEN: (
        ("{0}, as {1}", "{0}, just as {1}", "{0}, exactly as {1}"),
        (
            "yesterday",
            "last week",
            "always",
            "planned",
            "promised",
            "every day",
            "in the other picture",
        ),
    ),
    Form.OR_UNSEEN: (
        ("{0}, {1}", "{0}, either {1}"),
        (
            "now or tomorrow",
            "now or later",
            "now or last week",
            "today or yesterday",
            "here or elsewhere",
            "on this side or on the back",
        ),
    ),
}


@dataclass(frozen=True)
class Hypothesis:
    """A sentence about one picture of a group."""

    picture: int
    """Number of the picture within its group."""
    text: str
    label: str
    form: Form


def hypothesis_pairs(
    scenes: Sequence[Scene], pairs: int, dice: Dice
) -> list[tuple[Hypothesis, Hypothesis]]:
    """Sentences, each about two pictures that give it different labels.

    Args:
        scenes: of the group, at least two.
        pairs: how many are wanted; there are fewer if the group is too small for them.
        dice: for everything that is left open.

    Returns:
        The two members of each pair: equal in their text, and different in their labels.
    """
    known = [dict(topics(scene)) for scene in scenes]
    forms = dice.shuffled([list(Form)[number % len(Form)] for number in range(pairs)])
    made = []
    # With a small group there are fewer pairs than forms.
    for pair, form in zip(answer_pairs(known, KINDS, pairs, dice), forms, strict=False):
        claim = _claim(pair, dice)
        truths = [claim.holds(known[found.picture]) for found in pair]
        right = pair[truths.index(True)]
        wrong = pair[truths.index(False)]
        text = _text(form, claim, known[right.picture], known[wrong.picture], dice)
        first, second = (
            Hypothesis(found.picture, text, form.label(truth), form)
            for found, truth in zip(pair, truths, strict=True)
        )
        made.append((first, second))
    return made


def _claim(pair: tuple[Found, Found], dice: Dice) -> Claim:
    """That the topic has the one or the other answer; "yes" more often than "no"."""
    answers = [found.answer for found in pair]
    if "yes" in answers:
        return Claim(pair[0].topic, "yes" if dice.chance(_AFFIRMED_CHANCE) else "no")
    return Claim(pair[0].topic, dice.pick(answers))


def _text(
    form: Form,
    claim: Claim,
    right: Mapping[Topic, str],
    wrong: Mapping[Topic, str],
    dice: Dice,
) -> str:
    """The sentence.

    Args:
        form: how it is built.
        claim: what is seen of it.
        right: what can be asked of the picture that the claim is true of.
        wrong: likewise where it is false.
        dice: for the words.
    """
    seen = clause(claim, dice)
    if form is Form.SEEN:
        if not dice.chance(_TWO_CLAIMS_CHANCE):
            return sentence(seen)
        joints = dice.pick((_AND, _OR))
        other = _second_claim(claim, joints is _OR, right, wrong, dice)
        return sentence(seen) if other is None else _joined(joints, seen, clause(other, dice), dice)
    if dice.chance(_SHORT_CHANCE):
        template, unseen = (dice.pick(words) for words in _SHORT[form])
        return sentence(template.format(seen, unseen))
    if form is Form.OR_UNSEEN:
        return _joined(_OR, seen, unseen_clause(dice), dice)
    start = _after_subject(seen)
    if start and dice.chance(_RELATIVE_CHANCE):
        return sentence(f"{seen[:start]}, which {unseen_attribute(dice)},{seen[start:]}")
    return _joined(_AND, seen, unseen_clause(dice), dice)


def _joined(joints: Sequence[str], first: str, second: str, dice: Dice) -> str:
    """Two clauses in either order."""
    return sentence(dice.pick(joints).format(*dice.shuffled((first, second))))


def _second_claim(
    claim: Claim,
    false_in_wrong: bool,
    right: Mapping[Topic, str],
    wrong: Mapping[Topic, str],
    dice: Dice,
) -> Claim | None:
    """Another claim, true of the right picture and, if need be, false of the wrong one."""
    candidates = list(right)
    for _ in range(_TRIES):
        topic = dice.pick(candidates)
        if topic == claim.topic or topic.kind not in KINDS or topic not in wrong:
            continue
        if not false_in_wrong or right[topic] != wrong[topic]:
            return Claim(topic, right[topic])
    return None


def _after_subject(seen: str) -> int:
    """Where the subject of "the star is ..." ends, or 0 if the clause is built otherwise."""
    if not seen.startswith("the ") or seen.startswith(("the things", "the picture", "the back")):
        return 0
    ends = [at for at in (seen.find(verb) for verb in (" is ", " stands ", " has ")) if at > 0]
    plain = ends and " and " not in seen and not seen.endswith(" is empty")
    return min(ends) if plain else 0
