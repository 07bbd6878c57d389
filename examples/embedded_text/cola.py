"""CoLA: is a sentence acceptable English?

As distributed: four columns without header (source, label, the author's mark, sentence); the test
file has a header, an index and the sentence. Seven in ten sentences are acceptable.
"""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.texts import GlueRow
from evals.suite_mini.world import make_scene
from examples.embedded_text.faults import spoiled
from examples.embedded_text.grammar import CONSTRUCTIONS, Writer, written

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
