"""Hypotheses about pictures, and whether a picture entails, contradicts or leaves them open.

A statement about what can be seen is decided by the picture. One that cannot be seen makes a
sentence neutral, but not by being there: "V, and U" is contradicted where V is false, "V, or U" is
entailed where V is true. So the words alone leave two labels open, whatever they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from evals.suite_mini.dice import Dice
from evals.suite_mini.pairing import Found, answer_pairs
from evals.suite_mini.phrases import answer_phrase, topic_phrases
from evals.suite_mini.speaker import sentence
from evals.suite_mini.topics import Topic, topics
from evals.suite_mini.world import Scene

CLAIM_KINDS: dict[str, int] = {
    "exists-in-colour": 100,
    "on": 40,
    "exists": 16,
    "is": 8,
    "count": 4,
    "shape-at": 2,
    "place": 2,
    "relation": 2,
    "shape": 2,
    "colours-of": 1,
    "bigger": 1,
    "same-colour": 1,
    "same-size": 1,
    "more": 1,
    "alike": 1,
    "neighbour": 1,
    "empty": 1,
}
"""How often a statement is about each kind of topic.

Mostly what a glance shows, as in SNLI; questions have weights of their own, in
`evals.suite_mini.topics`.
"""

_THERE_IS = (
    (
        "there is {a0}",
        "the picture shows {a0}",
        "you can see {a0}",
        "{a0} can be seen",
        "{a0} is in the picture",
    ),
    ("there is no {one0}", "the picture shows no {one0}", "no {one0} can be seen"),
)
# Slots are those of `topic_phrases`. For yes/no topics: what is said for "yes", and for "no".
_CLOSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "exists": _THERE_IS,
    "exists-in-colour": _THERE_IS,
    "is": (("{the0} is {is1}",), ("{the0} is not {is1}",)),
    "relation": (
        ("{the0} is {rel} {the1}", "{the0} stands {rel} {the1}", "{the0} can be seen {rel} {the1}"),
        ("{the0} is not {rel} {the1}", "{the0} does not stand {rel} {the1}"),
    ),
    "bigger": (
        (
            "{the0} is bigger than {the1}",
            "{the0} is larger than {the1}",
            "{the1} is smaller than {the0}",
        ),
        ("{the0} is not bigger than {the1}", "{the1} is not smaller than {the0}"),
    ),
    "same-colour": (
        ("{the0} and {the1} have the same color", "{the0} is the same color as {the1}"),
        ("{the0} and {the1} have different colors", "{the0} is not the same color as {the1}"),
    ),
    "same-size": (
        ("{the0} and {the1} have the same size", "{the0} is as big as {the1}"),
        ("{the0} and {the1} have different sizes", "{the0} is not the same size as {the1}"),
    ),
    "more": (
        ("there are more {many0} than {many1}", "you can see more {many0} than {many1}"),
        ("there are not more {many0} than {many1}",),
    ),
    "alike": (
        ("two of the things have the same shape", "a shape appears more than once"),
        ("all the things have different shapes", "no shape appears twice"),
    ),
    "on": (
        ("the things are {on}", "everything is {on}", "this is {on}"),
        ("the things are not {on}", "this is not {on}"),
    ),
}
# For the others: {value} is the answer.
_OPEN: dict[str, tuple[str, ...]] = {
    "colours-of": ("the {many0} are {value}", "all the {many0} are {value}"),
    "shape": ("{the0} is {value}", "{the0} has the shape of {value}"),
    "shape-at": ("there is {value} {is0}", "{value} is {is0}", "you can see {value} {is0}"),
    "neighbour": ("there is {value} {rel} {the0}", "{value} stands {rel} {the0}"),
    "place": ("{the0} is {value}", "{the0} stands {value}", "you can see {the0} {value}"),
    "empty": ("the {edge} {line} is empty", "nothing stands in the {edge} {line}"),
}
_COUNTS: dict[str, tuple[str, ...]] = {
    "0": ("there are no {many0}", "no {many0} can be seen"),
    "1": ("there is exactly one {one0}", "you can see exactly one {one0}"),
    "more": ("there are exactly {value} {many0}", "you can see exactly {value} {many0}"),
}


@dataclass(frozen=True)
class Claim:
    """The statement that a topic has a certain answer."""

    topic: Topic
    answer: str

    def holds(self, known: Mapping[Topic, str]) -> bool:
        """Whether it is true of a scene.

        Args:
            known: what can be asked of the scene, with the answers; the claim's topic is there.
        """
        return known[self.topic] == self.answer


def clause(claim: Claim, dice: Dice) -> str:
    """The claim in words, without a capital and a full stop."""
    kind = claim.topic.kind
    phrases = topic_phrases(claim.topic, dice)
    if kind in _CLOSED:
        return dice.pick(_CLOSED[kind][claim.answer == "no"]).format_map(phrases)
    if kind == "count":
        templates = _COUNTS.get(claim.answer, _COUNTS["more"])
    else:
        templates = _OPEN[kind]
    phrases["value"] = answer_phrase(claim.answer, dice)
    phrases["edge"] = claim.answer
    return dice.pick(templates).format_map(phrases)


_WHO = (
    "a girl",
    "a boy",
    "an old man",
    "a teacher",
    "a painter",
    "a nurse",
    "two friends",
    "a tall woman",
    "somebody's aunt",
    "our neighbours",
    "a farmer",
    "a student",
)
_BEFORE = ("yesterday", "last week", "an hour ago", "in the morning", "in winter", "long ago")
_SOON = ("tomorrow", "soon", "next week", "in a moment", "before lunch", "later today")
_EVENTS = ("a birthday", "a school book", "a contest", "a poster", "a party", "a game", "a friend")
_ABOUT_THE_PICTURE = (
    "{who} made the picture",
    "{who} drew all this {before}",
    "the picture belongs to {who}",
    "this is the favourite picture of {who}",
    "the picture was made {before}",
    "the picture was made for {event}",
    "one more thing will be added {soon}",
    "{who} wanted to move one of the things {before}",
    "there was one more thing here {before}",
    "{who} wiped something away {before}",
    "everything looked different {before}",
    "a name is written on the back of the picture",
    "the picture will be sold {soon}",
    "music was playing when the picture was made",
    "{who} dreamed of this scene {before}",
    "someone out of sight was watching",
    "{who} counted the things {before}",
    "the picture won a prize {before}",
    "{who} hoped to see the picture {soon}",
    "everything will be painted over {soon}",
    "making the picture took an hour",
    "the picture was a present for {who}",
    "the picture made {who} happy",
    "one of the things will fall down {soon}",
)
_ABOUT_A_THING = (
    "{who} painted {before}",
    "is loved by {who}",
    "belongs to {who}",
    "was moved here {before}",
    "will be gone {soon}",
    "took an hour to draw",
    "is meant for {event}",
    "was bigger {before}",
    "had another color {before}",
)


def unseen_clause(dice: Dice) -> str:
    """As in: a girl drew all this yesterday."""
    return _filled(dice.pick(_ABOUT_THE_PICTURE), dice)


def unseen_attribute(dice: Dice) -> str:
    """What follows "which" about a thing, as in: belongs to two friends."""
    return _filled(dice.pick(_ABOUT_A_THING), dice)


def _filled(template: str, dice: Dice) -> str:
    return template.format(
        who=dice.pick(_WHO),
        before=dice.pick(_BEFORE),
        soon=dice.pick(_SOON),
        event=dice.pick(_EVENTS),
    )


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
    for pair, form in zip(answer_pairs(known, CLAIM_KINDS, pairs, dice), forms, strict=False):
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
        if topic == claim.topic or topic.kind not in CLAIM_KINDS or topic not in wrong:
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
