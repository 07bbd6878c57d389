"""STS-B: how much do two descriptions share, from 0 to 5?

As distributed: ten columns with a header, the score last; the test file has no score. Half of the
pairs are worded by one person, half by two, whatever they share: so shared words tell less than
shared meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.suite_mini.dice import Dice
from evals.suite_mini.glue.baselines import ridge_pearson
from evals.suite_mini.glue.likeness import score
from evals.suite_mini.glue.part import GluePart, GlueRow, Split
from evals.suite_mini.glue.telling import told
from evals.suite_mini.glue.variation import changed
from evals.suite_mini.glue.wording import worded
from evals.suite_mini.meaning import Statement
from evals.suite_mini.part import Level
from evals.suite_mini.speaker import Speaker
from evals.suite_mini.world import make_scene

_GENRES = ("captions", "catalogue", "stories")
_HEADER = ["index", "genre", "filename", "year", "old_index", "source1", "source2"]
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


def _layout(split: Split, rows: Sequence[GlueRow]) -> list[list[str]]:
    cells = [[*_HEADER, "sentence1", "sentence2", *(["score"] if split.labelled else [])]]
    for number, row in enumerate(rows):
        origin = [row.genre, "mini", split.name, f"{number:04d}", "none", "none"]
        line = [str(number), *origin, *row.sentences]
        cells.append(line + ([row.target] if split.labelled else []))
    return cells


def _levels(rows: Mapping[str, Sequence[GlueRow]]) -> dict[str, Level]:
    floor = ridge_pearson(rows["train"], rows["dev"])
    return {"pearson": Level(ideal=100.0, chance=0.0, one_modality={"word overlap": floor})}


PART = GluePart(
    name="stsb",
    folder="STS-B",
    splits=(
        Split("train", "train", 6_000),
        Split("dev", "val", 900),
        Split("test", "test", 500),
    ),
    make=make_row,
    layout=_layout,
    levels=_levels,
)
