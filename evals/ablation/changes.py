"""What a row of an ablation changes in the training that all rows share (paper, Tables 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unimo2.errors import UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.training.recipes import Recipe


@dataclass(frozen=True)
class Change:
    """One thing that differs from the recipe.

    Attributes:
        variant: the row's name; also the option that asks for it, and its value.
        model: fields of the model's configuration.
        training: fields of the training's configuration.
        inference: fields of the model's configuration, in the evaluation alone.
        without: what is taken away; "" for other changes.
    """

    variant: str
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    without: str = ""


FULL = Change("full")
NEAREST = Change("one-to-one", model={"grounding": "nearest"})

_NO_DICTIONARY: Mapping[str, Any] = {"grounding": "none"}
# Trained without a dictionary, a model is the paper's baseline, whose contrastive scores are taken
# between projections (released code).
_BASELINE: Mapping[str, Any] = {**_NO_DICTIONARY, "contrastive_projection": True}
_NO_TEXT: Mapping[str, Any] = {"text_sets": ()}
# Pseudo pairs are made of the labelled images, so that they go with them.
_NO_IMAGES: Mapping[str, Any] = {"image_sets": ()}

# In the order of the paper's Table 4.
_TAKEN_AWAY = (
    Change("without=gd", model=_BASELINE, without="gd"),
    # Where there is no dictionary the released code attends densely over image and text; a trained
    # model whose dictionary is switched off does the same.
    Change("without=gd-inference", inference=_NO_DICTIONARY, without="gd-inference"),
    Change("without=gt", model={"attention": "dense"}, without="gt"),
    Change("without=text", training=_NO_TEXT, without="text"),
    Change("without=images", training=_NO_IMAGES, without="images"),
    Change("without=both", training={**_NO_TEXT, **_NO_IMAGES}, without="both"),
)
WITHOUT: Mapping[str, Change] = {change.without: change for change in _TAKEN_AWAY}
CORPORA = frozenset({"text", "images", "both"})  # rows that leave corpora out


def of_size(size: int, base: Unimo2Config) -> Change:
    """Another C; raises UsageError where the recipe's K rows cannot be chosen out of it."""
    least = base.grounded_tokens
    _check("--c", size, size >= least, f"the recipe's K = {least}", "least")
    return Change(f"c={size}", model={"dictionary_size": size})


def of_tokens(count: int, base: Unimo2Config) -> Change:
    """Another K; raises UsageError where there are not as many rows."""
    most = base.dictionary_size
    _check("--k", count, count <= most, f"the recipe's C = {most}", "most")
    return Change(f"k={count}", model={"grounded_tokens": count})


def take_away(names: Sequence[str], recipe: Recipe, base: Unimo2Config) -> list[Change]:
    """The changes that take something away, in the order of the paper's Table 4.

    Args:
        names: keys of `WITHOUT`.
        recipe: what it is taken from.
        base: its model.

    Raises:
        UsageError: an unknown name, or something that the recipe does not have.
    """
    for name in names:
        if name not in WITHOUT:
            raise UsageError(f"--without {name}: it must be one of: {', '.join(WITHOUT)}")
        lacking = _lacking(WITHOUT[name], recipe, base)
        if lacking:
            raise UsageError(f"--without {name}: the recipe '{recipe.name}' has no {lacking}")
    return [change for name, change in WITHOUT.items() if name in names]


def _lacking(change: Change, recipe: Recipe, base: Unimo2Config) -> str:
    """What the recipe would have to have for this to be taken away; "" if it has it."""
    if change.without in CORPORA:
        empty = [name for name in ("text_sets", "image_sets") if not getattr(recipe.training, name)]
        more = "; take one with all three kinds of corpora, such as ablation-corpora"
        return " and no ".join(empty) + more if empty else ""
    if base.grounding == "none":
        return "grounded dictionary"
    if "attention" in change.model and base.attention == "dense":
        return "Grounded Transformer: its attention is dense"
    return ""


def _check(option: str, value: int, fits: bool, other: str, bound: str) -> None:
    if value < 1:
        raise UsageError(f"{option} {value}: it must be at least 1")
    if not fits:
        raise UsageError(f"{option} {value}: it must be at {bound} {other} (K rows out of C)")
