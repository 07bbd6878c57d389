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
from evals.suite_mini.lexicon import CLAIMS, TABLES, Words
from evals.suite_mini.pairing import AskableTopic, answer_pairs
from evals.suite_mini.phrases import answer_phrase, topic_phrases
from evals.suite_mini.speaker import sentence
from evals.suite_mini.topics import Topic, topics
from evals.suite_mini.world import Scene

CLAIM_KINDS: dict[str, int] = {kind: entry["weight"] for kind, entry in CLAIMS.items()}
"""How often a statement is about each kind of topic; questions have weights of their own."""
_UNSEEN: dict[str, Words] = TABLES["unseen"]
_JOINTS: dict[str, Words] = TABLES["joined"]
_TWO_CLAIMS_CHANCE = 0.05
_SHORT_CHANCE = 0.8
_RELATIVE_CHANCE = 0.35
_AFFIRMED_CHANCE = 0.9
_TRIES = 40


@dataclass(frozen=True)
class Claim:
    """The statement that a topic has a certain answer."""

    topic: Topic
    answer: str

    def holds(self, known: Mapping[Topic, str]) -> bool:
        """Whether it is true of a scene, of which this can be asked, with these answers."""
        return known[self.topic] == self.answer


def clause(claim: Claim, dice: Dice) -> str:
    """The claim in words, without a capital and a full stop."""
    words = CLAIMS[claim.topic.kind]
    phrases = topic_phrases(claim.topic, dice)
    if "words" in words:
        phrases |= {"value": answer_phrase(claim.answer, dice), "edge": claim.answer}
    return dice.pick(words.get(claim.answer) or words["words"]).format_map(phrases)


def unseen_clause(dice: Dice, of: str = "clauses") -> str:
    """What no picture shows, as in: a girl drew all this yesterday.

    Args:
        dice: for the words.
        of: "attributes" for what follows "which" about a thing, as in: belongs to two friends.
    """
    template = dice.pick(_UNSEEN[of])
    return template.format_map(
        {slot: dice.pick(_UNSEEN[slot]) for slot in ("who", "before", "soon", "event")}
    )


class HypothesisForm(Enum):
    """How a hypothesis is built, with its label where what is seen of it is true, and false."""

    SEEN = ("entailment", "contradiction")
    AND_UNSEEN = ("neutral", "contradiction")
    OR_UNSEEN = ("entailment", "neutral")

    def label(self, truth: bool) -> str:
        """The label of a hypothesis, given whether its visible part is true of the picture."""
        return self.value[0] if truth else self.value[1]


@dataclass(frozen=True)
class DrawnHypothesis:
    """A sentence about one picture of a group."""

    picture: int
    """Number of the picture within its group."""
    text: str
    label: str
    form: HypothesisForm


def hypothesis_pairs(
    scenes: Sequence[Scene], pairs: int, dice: Dice
) -> list[tuple[DrawnHypothesis, DrawnHypothesis]]:
    """Sentences, each about two pictures that give it different labels (see `answer_pairs`).

    Returns:
        The two members of each pair: equal in their text, and different in their labels.
    """
    known = [dict(topics(scene)) for scene in scenes]
    forms = dice.shuffled(
        [list(HypothesisForm)[number % len(HypothesisForm)] for number in range(pairs)]
    )
    made = []
    # With a small group there are fewer pairs than forms.
    for pair, form in zip(answer_pairs(known, CLAIM_KINDS, pairs, dice), forms, strict=False):
        claim = _claim(pair, dice)
        truths = [claim.holds(known[found.picture]) for found in pair]
        right = pair[truths.index(True)]
        wrong = pair[truths.index(False)]
        text = _text(form, claim, known[right.picture], known[wrong.picture], dice)
        first, second = (
            DrawnHypothesis(found.picture, text, form.label(truth), form)
            for found, truth in zip(pair, truths, strict=True)
        )
        made.append((first, second))
    return made


def _claim(pair: tuple[AskableTopic, AskableTopic], dice: Dice) -> Claim:
    """That the topic has the one or the other answer; "yes" more often than "no"."""
    answers = [found.answer for found in pair]
    if "yes" in answers:
        return Claim(pair[0].topic, "yes" if dice.chance(_AFFIRMED_CHANCE) else "no")
    return Claim(pair[0].topic, dice.pick(answers))


def _text(
    form: HypothesisForm,
    claim: Claim,
    right: Mapping[Topic, str],
    wrong: Mapping[Topic, str],
    dice: Dice,
) -> str:
    """The sentence; the claim is true of the topics in `right` and false of those in `wrong`."""
    seen = clause(claim, dice)
    if form is HypothesisForm.SEEN:
        if not dice.chance(_TWO_CLAIMS_CHANCE):
            return sentence(seen)
        joint = dice.pick(("and", "or"))
        other = _second_claim(claim, joint == "or", right, wrong, dice)
        return sentence(seen) if other is None else _joined(joint, seen, clause(other, dice), dice)
    joint = "or" if form is HypothesisForm.OR_UNSEEN else "and"
    if dice.chance(_SHORT_CHANCE):
        short = TABLES["short"][joint]
        return sentence(dice.pick(short["words"]).format(seen, dice.pick(short["unseen"])))
    if form is HypothesisForm.AND_UNSEEN:
        start = _after_subject(seen)
        if start and dice.chance(_RELATIVE_CHANCE):
            unseen = unseen_clause(dice, "attributes")
            return sentence(f"{seen[:start]}, which {unseen},{seen[start:]}")
    return _joined(joint, seen, unseen_clause(dice), dice)


def _joined(joint: str, first: str, second: str, dice: Dice) -> str:
    """Two clauses in either order."""
    return sentence(dice.pick(_JOINTS[joint]).format(*dice.shuffled((first, second))))


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
