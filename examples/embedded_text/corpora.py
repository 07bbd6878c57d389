"""The paragraphs of the two text corpora."""

from __future__ import annotations

from evals.suite_mini.dice import Dice
from evals.suite_mini.world import make_scene
from examples.embedded_text.books import book_paragraph
from examples.embedded_text.pages import page_paragraph


def make_paragraph(seed: int, corpus: str, index: int) -> str:
    """A paragraph about scenes of the training world: one line without a line end."""
    scene = make_scene(seed, corpus, "train", index)
    dice = Dice(seed, corpus, "train", index, "text")
    if corpus == "bookwiki":
        return book_paragraph(scene, dice)
    # A scene and its neighbour are often made of the same parts: good to compare.
    other = make_scene(seed, corpus, "train", index ^ 1)
    return page_paragraph(scene, other, dice)
