"""STS-B: how much do two descriptions share, from 0 to 5?

As distributed: ten columns with a header, the score last; the test file has no score. Half of the
pairs are worded by one person, half by two, whatever they share: so shared words tell less than
shared meaning.
"""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.meaning import Statement
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.texts import GlueRow
from evals.suite_mini.world import make_scene
from examples.embedded_text.likeness import score
from examples.embedded_text.telling import told
from examples.embedded_text.variation import changed
from examples.embedded_text.wording import worded

_GENRES = ("captions", "catalogue", "stories")
_KIND_WEIGHTS = (17, 20, 36, 13, 14)
"""The same said again; the same scene told anew; a scene with one to three changes; a neighbour in
the stream of scenes, which often has the same parts; any other scene."""


def make_statements(seed: int, stream: str, world: str, index: int) -> tuple[Statement, Statement]:
    """What the two sentences of a pair say."""
    scene = make_scene(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "pair")
    first = told(scene, dice)
    kind = dice.weighted(_KIND_WEIGHTS)
    if kind == 0:
        return first, first
    if kind == 1:
        return first, told(scene, dice)
    if kind == 2:
        return first, told(changed(scene, world, 1 + dice.below(3), dice), dice)
    other = index ^ 1 if kind == 3 else index + 2 + dice.below(1_000)
    return first, told(make_scene(seed, stream, world, other), dice)


def make_row(seed: int, stream: str, world: str, index: int) -> GlueRow:
    """A pair in words, with its score."""
    statements = make_statements(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "words")
    speaker, genre = dice.below(5), dice.pick(_GENRES)
    texts = []
    alone = dice.chance(0.5)
    for number, statement in enumerate(statements):
        if number and not alone:
            speaker = (speaker + 1 + dice.below(4)) % 5
            genre = dice.pick([name for name in _GENRES if name != genre])
        texts.append(worded(statement, genre, Speaker(speaker, dice)))
    return GlueRow(tuple(texts), f"{score(*statements):.3f}", genre="main-captions")
