"""The rows of an ablation: which trainings there are, and when two are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from evals.records import Record
from evals.suites import Suite
from unimo2.errors import UsageError
from unimo2.preparation import model_config, model_fields
from unimo2.recipes import PretrainConfig, Recipe

# What rows differ in; the rest of a training is their common base.
_VARIED = frozenset({"grounded_tokens", "dictionary_size", "grounding"})
# The tokenizer's size follows from the corpus.
_DERIVED = frozenset({"vocab_size"})


@dataclass(frozen=True)
class Row:
    """One training of an ablation.

    Attributes:
        variant: its name among the rows: "k=20", "c=1024", "one-to-one".
        recipe: how it is trained, complete.
        training: everything its weights depend on, as its record keeps it.
    """

    variant: str
    recipe: Recipe
    training: Mapping[str, Any]

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
) -> list[Row]:
    """The rows of the paper's Table 5 for one recipe.

    Args:
        recipe: the common training; its steps are every row's budget.
        suite: the data.
        tokens: values of K, the grounded tokens chosen for one input.
        sizes: values of C, the rows of the dictionary.
        one_to_one: add the map of every token to its nearest row ("1-to-1 Map").

    Returns:
        First those of C, then those of K, then the map; each value once.

    Raises:
        UsageError: a value below 1, K above C, or nothing to vary.
    """
    base = model_config(recipe)
    default_tokens, default_size = base.grounded_tokens, base.dictionary_size
    changes: dict[str, dict[str, Any]] = {}
    for size in sizes:
        _check("--c", size, size >= default_tokens, f"the recipe's K = {default_tokens}", "least")
        changes[f"c={size}"] = {"dictionary_size": size}
    for count in tokens:
        _check("--k", count, count <= default_size, f"the recipe's C = {default_size}", "most")
        changes[f"k={count}"] = {"grounded_tokens": count}
    if one_to_one:
        changes["one-to-one"] = {"grounding": "nearest"}
    if not changes:
        raise UsageError("nothing to vary: give --k 10 20 50 100, --c 1024 2048, or --one-to-one")
    config = recipe.training
    read = (*config.pair_sets, *config.image_sets, *config.text_sets)
    data = data_fingerprint(suite, read)
    return [_row(variant, recipe, change, data) for variant, change in changes.items()]


def _check(option: str, value: int, fits: bool, other: str, bound: str) -> None:
    if value < 1:
        raise UsageError(f"{option} {value}: it must be at least 1")
    if not fits:
        raise UsageError(f"{option} {value}: it must be at {bound} {other} (K rows out of C)")


def _row(variant: str, recipe: Recipe, change: Mapping[str, Any], data: str) -> Row:
    changed = replace(recipe, model={**recipe.model, **change})
    base, own = model_config(recipe), model_config(changed)
    model = {name: getattr(own, name) for name in model_fields() if name not in _DERIVED}
    config = changed.training.identity()
    training = {
        "recipe": recipe.name,
        "budget": recipe.training.steps,
        "seed": recipe.training.seed,
        "K": own.grounded_tokens,
        "C": own.dictionary_size,
        "grounding": own.grounding,
        "base_K": base.grounded_tokens,
        "base_C": base.dictionary_size,
        "base": _base(model, config, data),
        "data": data,
        "model": model,
        "config": config,
    }
    return Row(variant, changed, training)


def _base(model: Mapping[str, Any], config: Mapping[str, Any], data: str) -> str:
    """A short hash of what the rows of one ablation have in common.

    Fields at their defaults do not enter, so that a new field leaves old hashes alone.
    """
    common = {name: value for name, value in model.items() if name not in _VARIED}
    other_model = _without_defaults(common, model_fields())
    return digest({"model": other_model, "config": _changed_config(config), "data": data})[:8]


def same_training(record: Record, row: Row) -> bool:
    """Whether a record is of exactly this row's training.

    A field that the record does not know yet counts as being at its default.
    """
    found = record.protocol.get("training")
    if not found or found["data"] != row.training["data"]:
        return False
    model = _without_defaults(found["model"], model_fields())
    own_model = _without_defaults(row.training["model"], model_fields())
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
