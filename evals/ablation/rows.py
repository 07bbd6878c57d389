"""Rows of an ablation: their trainings, and when two of them are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from evals.datasets.suites import Suite
from evals.records import Record
from unimo2.errors import UsageError
from unimo2.modeling.fields import ModelFields
from unimo2.training.config import PretrainConfig
from unimo2.training.recipes import Recipe, model_fields

# What a row of an ablation changes in the training that all rows share (paper, Tables 4 and 5).


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


def of_size(size: int, base: ModelFields) -> Change:
    """Another C; raises UsageError where the recipe's K rows cannot be chosen out of it."""
    least = base.grounded_tokens
    _check("--c", size, size >= least, f"the recipe's K = {least}", "least")
    return Change(f"c={size}", model={"dictionary_size": size})


def of_tokens(count: int, base: ModelFields) -> Change:
    """Another K; raises UsageError where there are not as many rows."""
    most = base.dictionary_size
    _check("--k", count, count <= most, f"the recipe's C = {most}", "most")
    return Change(f"k={count}", model={"grounded_tokens": count})


def take_away(names: Sequence[str], recipe: Recipe, base: ModelFields) -> list[Change]:
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
            raise UsageError(f"--without {name}: expected one of: {', '.join(WITHOUT)}")
        lacking = _lacking(WITHOUT[name], recipe, base)
        if lacking:
            raise UsageError(f"--without {name}: the recipe '{recipe.name}' has no {lacking}")
    return [change for name, change in WITHOUT.items() if name in names]


def _lacking(change: Change, recipe: Recipe, base: ModelFields) -> str:
    """What the recipe would have to have for this to be taken away; "" if it has it."""
    if change.without in CORPORA:
        empty = [name for name in ("text_sets", "image_sets") if not getattr(recipe.training, name)]
        more = "; take one with all three kinds of corpora, such as ablation"
        return " and no ".join(empty) + more if empty else ""
    if base.grounding == "none":
        return "grounded dictionary"
    if "attention" in change.model and base.attention == "dense":
        return "Grounded Transformer: its attention is dense"
    return ""


def _check(option: str, value: int, fits: bool, other: str, bound: str) -> None:
    if value < 1:
        raise UsageError(f"{option} {value}: expected at least 1")
    if not fits:
        raise UsageError(f"{option} {value}: expected at {bound} {other} (K rows out of C)")


# What rows of Table 5 differ in; the rest of a training is their common base.
_VARIED = frozenset({"grounded_tokens", "dictionary_size", "grounding"})
# The tokenizer's size follows from the corpus.
_DERIVED = frozenset({"vocab_size"})


@dataclass(frozen=True)
class AblationRow:
    """One training of an ablation, and how its model is evaluated.

    Attributes:
        variant: its name among the rows: "full", "k=20", "one-to-one", "without=gd".
        recipe: how it is trained, complete.
        training: everything its weights depend on, as its record keeps it.
        shared: the recipe that the rows have in common. Corpora and tokenizer are its own: a row
            leaves corpora out, and reads the others by the same tokenizer.
        without: what it takes away: "gd", "gd-inference", "gt", "text", "images", "both"; or "".
        inference: fields of the model's configuration that only its evaluation changes.
    """

    variant: str
    recipe: Recipe
    training: Mapping[str, Any]
    shared: Recipe
    without: str = ""
    inference: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A short hash of what its weights depend on, for the name of its folder."""
        content = {name: self.training[name] for name in ("model", "config", "data")}
        return digest(content)[:8]


def make_rows(
    recipe: Recipe,
    suite: Suite,
    tokens: Sequence[int] = (),
    sizes: Sequence[int] = (),
    one_to_one: bool = False,
    without: Sequence[str] = (),
    full: bool = False,
) -> list[AblationRow]:
    """The rows of the paper's Tables 4 and 5 for one recipe.

    Args:
        recipe: the common training; its steps are every row's budget.
        suite: the data.
        tokens: values of K, the grounded tokens chosen for one input.
        sizes: values of C, the rows of the dictionary.
        one_to_one: add the map of every token to its nearest row ("1-to-1 Map").
        without: what is taken away, a row each; see `evals.ablation.rows.WITHOUT`.
        full: Add the unchanged recipe. It is always there beside rows without something.

    Returns:
        The unchanged recipe, the rows of C, of K, the map, and those without something; each once.

    Raises:
        UsageError: a value below 1, K above C, something taken away that the recipe does not have,
            or nothing to vary.
    """
    base = model_fields(recipe, ModelFields)
    changes = [FULL] if full or without else []
    changes += [of_size(size, base) for size in sizes]
    changes += [of_tokens(count, base) for count in tokens]
    changes += [NEAREST] if one_to_one else []
    changes += take_away(without, recipe, base)
    if not changes:
        raise UsageError(
            "nothing to vary: give --k 10 20 50 100, --c 1024 2048, --one-to-one, or --without gd"
        )
    config = recipe.training
    read = (*config.pair_sets, *config.image_sets, *config.text_sets)
    data = data_fingerprint(suite, read)
    common = _base(_model_of(base), config.identity(), data)
    unique = {change.variant: change for change in changes}
    return [_row(recipe, change, base, data, common) for change in unique.values()]


def _row(recipe: Recipe, change: Change, base: ModelFields, data: str, common: str) -> AblationRow:
    """The row of a change; `common` is the hash of what all rows share."""
    changed = replace(
        recipe,
        model={**recipe.model, **change.model},
        training=replace(recipe.training, **change.training),
    )
    own = model_fields(changed, ModelFields)
    training = {
        "recipe": recipe.name,
        "budget": recipe.training.steps,
        "seed": recipe.training.seed,
        "K": own.grounded_tokens,
        "C": own.dictionary_size,
        "grounding": own.grounding,
        "base_K": base.grounded_tokens,
        "base_C": base.dictionary_size,
        "base": common,
        "data": data,
        "model": _model_of(own),
        "config": changed.training.identity(),
    }
    return AblationRow(change.variant, changed, training, recipe, change.without, change.inference)


def _model_of(config: ModelFields) -> dict[str, Any]:
    """The fields of a model that a recipe decides."""
    return {
        name: getattr(config, name) for name in ModelFields.own_fields() if name not in _DERIVED
    }


def _base(model: Mapping[str, Any], config: Mapping[str, Any], data: str) -> str:
    """A short hash of what the rows of one ablation have in common.

    Fields at their defaults do not enter, so that a new field leaves old hashes alone.
    """
    common = {name: value for name, value in model.items() if name not in _VARIED}
    other_model = _without_defaults(common, ModelFields.own_fields())
    return digest({"model": other_model, "config": _changed_config(config), "data": data})[:8]


def same_row(record: Record, row: AblationRow) -> bool:
    """Whether a record is of this row's training, evaluated with the same parts switched on."""
    same_parts = record.protocol.get("inference", {}) == dict(row.inference)
    return same_parts and same_training(record, row)


def same_training(record: Record, row: AblationRow) -> bool:
    """Whether a record is of exactly this row's training.

    A field that the record does not know yet counts as being at its default.
    """
    found = record.protocol.get("training")
    if not found or found["data"] != row.training["data"]:
        return False
    model = _without_defaults(found["model"], ModelFields.own_fields())
    own_model = _without_defaults(row.training["model"], ModelFields.own_fields())
    return model == own_model and _changed_config(found["config"]) == _changed_config(
        row.training["config"]
    )


def _changed_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return _without_defaults(config, {item.name: item.default for item in fields(PretrainConfig)})


def _without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Only what differs from a default, as JSON would give it back."""
    plain = json.loads(json.dumps(values))
    known = json.loads(json.dumps({name: defaults.get(name) for name in plain}))
    return {name: plain[name] for name in sorted(plain) if plain[name] != known[name]}


def data_fingerprint(suite: Suite, data_sets: Sequence[str]) -> str:
    """A sha256 of what rows are trained and evaluated on.

    Args:
        suite: gives the data.
        data_sets: names of the corpora; Flickr30k, on which rows are evaluated, is added.

    Returns:
        Of a generated suite from the fingerprints of these data sets alone; of real data from the
        annotation files.
    """
    names = sorted({*data_sets, "flickr30k"})
    if suite.fingerprints:
        return digest({name: suite.fingerprints[name] for name in names})
    if suite.fingerprint is not None:
        return suite.fingerprint
    content = hashlib.sha256()
    for name in names:
        path = suite.root / name / f"dataset_{name}.json"
        if path.is_file():
            content.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def digest(content: Mapping[str, Any]) -> str:
    """The sha256 of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
