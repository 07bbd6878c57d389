"""SST-2: is a sentence about a picture positive or negative?

As distributed: lower case, spaces around punctuation, a space at the end of the line's sentence.
A quarter of the pairs of a construction and a word occur in dev and test only.
"""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.texts import GlueRow
from evals.suite_mini.world import make_scene
from examples.embedded_text.narrator import Narrator
from examples.embedded_text.sentiment import Critic


def make_row(seed: int, stream: str, world: str, index: int) -> GlueRow:
    """An opinion about a scene of this world; good and bad alternate at random."""
    scene = make_scene(seed, stream, world, index)
    dice = Dice(seed, stream, world, index, "opinion")
    critic = Critic(Narrator(scene, dice), reserved=world != "train")
    good = dice.chance(0.5)
    end = dice.pick((" . ", " ", " ! "))
    return GlueRow((critic.opinion(good).lower() + end,), "1" if good else "0")
