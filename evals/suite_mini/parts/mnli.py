"""MNLI: does a description entail a sentence, contradict it, or leave it open?

As distributed: a column for each of the two sentences' parses (here the sentence's words, bracketed
from the right) and for each annotator's label (one in training, five in the development files). The
mismatched files have genres that do not occur in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.suite_mini.dice import Dice
from evals.suite_mini.glue.baselines import (
    accuracy,
    bag_of_words,
    logistic_baseline,
    second_sentence,
)
from evals.suite_mini.glue.claims import Both, Claim
from evals.suite_mini.glue.entailment import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    is_clear,
    verdict,
)
from evals.suite_mini.glue.hypotheses import KINDS, propose, said
from evals.suite_mini.glue.part import GluePart, GlueRow, Split, majority_share
from evals.suite_mini.glue.telling import told
from evals.suite_mini.glue.wording import worded
from evals.suite_mini.meaning import Statement
from evals.suite_mini.part import Level
from evals.suite_mini.speaker import Speaker, sentence
from evals.suite_mini.world import make_scene

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


def _layout(split: Split, rows: Sequence[GlueRow]) -> list[list[str]]:
    annotators = {"train": 1}.get(split.name, 5 if split.labelled else 0)
    header = ["index", "promptID", "pairID", "genre"]
    header += ["sentence1_binary_parse", "sentence2_binary_parse"]
    header += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2"]
    header += [f"label{number + 1}" for number in range(annotators)]
    header += ["gold_label"] if split.labelled else []
    cells = [header]
    for number, row in enumerate(rows):
        line = [str(number), str(number), f"{number}{row.target[0]}", row.genre]
        if not split.labelled:
            line[2] = str(number)  # an official pairID ends in the first letter of the label
        line += [_bracketed(text.split()) for text in row.sentences]
        line += [f"(ROOT {text})" for text in row.sentences]
        line += [*row.sentences, *row.extra[:annotators]]
        cells.append(line + ([row.target] if split.labelled else []))
    return cells


def _bracketed(parts: Sequence[str]) -> str:
    """As in: ( The ( star ( is red. ) ) )."""
    if len(parts) == 1:
        return parts[0]
    return " ".join(f"( {part}" for part in parts[:-1]) + f" {parts[-1]}" + " )" * (len(parts) - 1)


def _levels(rows: Mapping[str, Sequence[GlueRow]]) -> dict[str, Level]:
    """By the names of the benchmark: over both files, and of each."""
    train, matched, mismatched = (rows[name] for name in ("train", "dev_matched", "dev_mismatched"))
    floors = {
        "bag of words": logistic_baseline(bag_of_words, train),
        "hypothesis only": logistic_baseline(second_sentence, train),
    }
    return {
        metric: Level(
            ideal=100.0,
            chance=100.0 / len(LABELS),
            majority=majority_share(train, measured),
            one_modality={name: accuracy(reader, measured) for name, reader in floors.items()},
        )
        for metric, measured in (
            ("accuracy", [*matched, *mismatched]),
            ("accuracy[matched]", matched),
            ("accuracy[mismatched]", mismatched),
        )
    }


PART = GluePart(
    name="mnli",
    folder="MNLI",
    splits=(
        Split("train", "train", 8_000),
        Split("dev_matched", "val", 900),
        Split("dev_mismatched", "val", 900),
        Split("test_matched", "test", 500),
        Split("test_mismatched", "test", 500),
    ),
    make=make_row,
    layout=_layout,
    levels=_levels,
)
