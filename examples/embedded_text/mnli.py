"""MNLI: does a description entail a sentence, contradict it, or leave it open?

As distributed: a column for each of the two sentences' parses (here the sentence's words, bracketed
from the right) and for each annotator's label (one in training, five in the development files). The
mismatched files have genres that do not occur in training.
"""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import Statement
from evals.suite_mini.speaker import Speaker, sentence
from evals.suite_mini.texts import GlueRow
from evals.suite_mini.world import make_scene
from examples.embedded_text.claims import Both, Claim
from examples.embedded_text.entailment import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    is_clear,
    verdict,
)
from examples.embedded_text.hypotheses import KINDS, propose, said
from examples.embedded_text.telling import told
from examples.embedded_text.wording import worded

LABELS = (ENTAILMENT, NEUTRAL, CONTRADICTION)
MATCHED = ("captions", "catalogue", "stories")
MISMATCHED = ("letters", "notes", "telephone")
_TRIES, _TRIES_A_TELLING = 60, 6
"""Claims of one kind that are drawn for a label, and how many of them about one telling."""
_COMPOUND = 0.1
_DISSENT = 0.06
"""How often one of the five annotators of a development row disagrees with the others."""


def make_pair(seed: int, stream: str, world: str, index: int) -> tuple[Statement, Claim, str]:
    """What a premise says, what a hypothesis claims, and the label."""
    scene = make_scene(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "claim")
    label = dice.pick(LABELS)
    while True:
        # The kind and the label are drawn apart, so that the kind tells nothing of the label.
        kind = dice.pick(KINDS)
        for attempt in range(_TRIES):
            if attempt % _TRIES_A_TELLING == 0:
                statement = told(scene, dice)
            claim = propose(statement, kind, dice) if is_clear(statement) else None
            if claim is None or verdict(statement, claim) != label:
                continue
            if dice.chance(_COMPOUND):
                claim = _compound(statement, claim, kind, dice)
            return statement, claim, label


def _compound(statement: Statement, claim: Claim, kind: str, dice: Dice) -> Claim:
    """The claim together with one of another kind that is entailed, if one is found."""
    for other_kind in dice.shuffled(
        [name for name in KINDS if name.removeprefix("not ") != kind.removeprefix("not ")]
    ):
        other = propose(statement, other_kind, dice)
        if other is not None and verdict(statement, other) == ENTAILMENT:
            return Both(claim, other) if dice.chance(0.5) else Both(other, claim)
    return claim


def make_row(seed: int, stream: str, world: str, index: int) -> GlueRow:
    """A pair in words; `extra` holds five annotators' labels, whose majority is the true one."""
    statement, claim, label = make_pair(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "words")
    genre = dice.pick(MISMATCHED if stream.endswith("mismatched") else MATCHED)
    premise = worded(statement, genre, Speaker(dice.below(5), dice))
    hypothesis = said(claim, statement, Speaker(dice.below(5), dice))
    opening = dice.pick(("in the picture,", "here")) if dice.chance(0.15) else ""
    labels = [label] * 5
    if dice.chance(_DISSENT):
        labels[1 + dice.below(4)] = dice.pick([other for other in LABELS if other != label])
    return GlueRow((premise, sentence(opening, hypothesis)), label, genre, tuple(labels))
