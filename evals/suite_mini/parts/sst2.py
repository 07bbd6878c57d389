"""SST-2: is a sentence about a picture positive or negative?

As distributed: lower case, spaces around punctuation, a space at the end of the line's sentence.
A quarter of the pairs of a construction and a word occur in dev and test only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.suite_mini.dice import Dice
from evals.suite_mini.glue.baselines import accuracy, bag_of_words, logistic_baseline
from evals.suite_mini.glue.part import GluePart, GlueRow, Split, majority_share
from evals.suite_mini.glue.sentiment import Critic
from evals.suite_mini.part import Level
from evals.suite_mini.prose.narrator import Narrator
from evals.suite_mini.world import make_scene


def make_row(seed: int, stream: str, world: str, index: int) -> GlueRow:
    """An opinion about a scene of this world; good and bad alternate at random."""
    scene = make_scene(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "opinion")
    critic = Critic(Narrator(scene, dice), reserved=world != "train")
    good = dice.chance(0.5)
    end = dice.pick((" . ", " ", " ! "))
    return GlueRow((critic.opinion(good).lower() + end,), "1" if good else "0")


def _layout(split: Split, rows: Sequence[GlueRow]) -> list[list[str]]:
    if split.labelled:
        return [["sentence", "label"], *([row.sentences[0], row.target] for row in rows)]
    # The official test sentences end without the space.
    numbered = ([str(number), row.sentences[0].strip()] for number, row in enumerate(rows))
    return [["index", "sentence"], *numbered]


def _levels(rows: Mapping[str, Sequence[GlueRow]]) -> dict[str, Level]:
    train, dev = rows["train"], rows["dev"]
    return {
        "accuracy": Level(
            ideal=100.0,
            chance=50.0,
            majority=majority_share(train, dev),
            one_modality={"bag of words": accuracy(logistic_baseline(bag_of_words, train), dev)},
        )
    }


PART = GluePart(
    name="sst2",
    folder="SST-2",
    splits=(
        Split("train", "train", 7_000),
        Split("dev", "val", 872),
        Split("test", "test", 500),
    ),
    make=make_row,
    layout=_layout,
    levels=_levels,
)
