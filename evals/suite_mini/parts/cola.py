"""CoLA: is a sentence acceptable English?

As distributed: four columns without header (source, label, the author's mark, sentence); the test
file has a header, an index and the sentence. Seven in ten sentences are acceptable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.suite_mini.dice import Dice
from evals.suite_mini.glue.baselines import bag_of_words, logistic_baseline, matthews
from evals.suite_mini.glue.faults import spoiled
from evals.suite_mini.glue.grammar import CONSTRUCTIONS, Writer, written
from evals.suite_mini.glue.part import GluePart, GlueRow, Split
from evals.suite_mini.part import Level
from evals.suite_mini.world import make_scene

_ACCEPTABLE = 0.7
_SOURCES = {name: f"mw{number:02d}" for number, name in enumerate(CONSTRUCTIONS)}
"""The official file names the book that a sentence is from; here it is the construction."""


def make_row(seed: int, stream: str, world: str, index: int) -> GlueRow:
    """A sentence about things of a scene of this world; `extra` names its fault, if it has one."""
    scene = make_scene(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "grammar")
    acceptable = dice.chance(_ACCEPTABLE)
    writer = Writer(scene, dice)
    name = dice.pick(tuple(CONSTRUCTIONS))
    while True:
        words = CONSTRUCTIONS[name](writer)
        if acceptable:
            return GlueRow((written(words),), "1", _SOURCES[name])
        fault = spoiled(name, words, dice)
        if fault is not None:
            return GlueRow((written(fault[1]),), "0", _SOURCES[name], (fault[0],))


def _layout(split: Split, rows: Sequence[GlueRow]) -> list[list[str]]:
    if split.labelled:
        return [
            [row.genre, row.target, "" if row.target == "1" else "*", row.sentences[0]]
            for row in rows
        ]
    numbered = ([str(number), row.sentences[0]] for number, row in enumerate(rows))
    return [["index", "sentence"], *numbered]


def _levels(rows: Mapping[str, Sequence[GlueRow]]) -> dict[str, Level]:
    reader = logistic_baseline(bag_of_words, rows["train"])
    return {
        "matthews": Level(
            ideal=100.0,
            chance=0.0,
            majority=0.0,
            one_modality={"bag of words": matthews(reader, rows["dev"])},
        )
    }


PART = GluePart(
    name="cola",
    folder="CoLA",
    splits=(
        Split("train", "train", 7_000),
        Split("dev", "val", 900),
        Split("test", "test", 500),
    ),
    make=make_row,
    layout=_layout,
    levels=_levels,
)
