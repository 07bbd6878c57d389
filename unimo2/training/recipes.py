"""Recipes: the frozen configuration of a training run, read from a TOML file.

A recipe file holds a `[training]` table (fields of `PretrainConfig`) and a `[model]` table
(`preset`, and fields of `Unimo2Config` that differ from it). Before them, `extends = "mini"` names a
recipe whose values hold where the file has none: one of the package, or a file, relative to the folder
of the file that names it. Unknown keys are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from unimo2.errors import MissingData, UsageError
from unimo2.files import parse_toml
from unimo2.modeling.fields import ModelFields
from unimo2.training.config import LoopConfig, PretrainConfig

CONFIG_FOLDER = Path(__file__).parent / "recipes"

Config = TypeVar("Config", bound=LoopConfig)
Fields = TypeVar("Fields", bound=ModelFields)

_PRESETS = ("base", "mini", "released")


@dataclass(frozen=True)
class Recipe:
    """A training configuration together with the model it is for."""

    name: str  # of the recipe: "mini", or the file's stem
    # the `Unimo2Config` preset the model starts from ("mini", "base", "released")
    preset: str = "mini"
    # fields of `Unimo2Config` that differ from the preset
    model: Mapping[str, Any] = field(default_factory=dict)
    training: PretrainConfig = field(default_factory=PretrainConfig)  # the training configuration


def load_recipe(name_or_file: str) -> Recipe:
    """Read a recipe by name (`unimo2/training/recipes/NAME.toml`) or from a file.

    Raises:
        MissingData: the recipe does not exist.
        UsageError: the file is not TOML, has an unknown key or a value of the wrong type, or extends
            itself.
    """
    return _load(find_recipe(name_or_file), ())


def _load(path: Path, extending: tuple[Path, ...]) -> Recipe:
    file = read_recipe_file(path, {"model", "training"}, extending)
    base = Recipe(path.stem) if file.extends is None else _load(file.extends, file.chain)
    model = {**base.model, **file.tables.get("model", {})}
    preset = str(model.pop("preset", base.preset))
    training = with_values(base.training, file.tables.get("training", {}), str(path))
    return Recipe(path.stem, preset, model, training)


class RecipeFile(NamedTuple):
    """What a recipe's file holds."""

    tables: Mapping[str, Mapping[str, Any]]
    extends: Path | None  # the recipe whose values hold where the tables have none
    chain: tuple[Path, ...]  # the files up to this one, each of which extends the next


def read_recipe_file(
    path: Path, known: set[str], extending: tuple[Path, ...] = (), folder: Path = CONFIG_FOLDER
) -> RecipeFile:
    """Read a recipe's file, but not the one that it extends.

    Args:
        path: The file.
        known: Its possible tables.
        extending: The files that lead to it.
        folder: The package's recipes of its kind.

    Raises:
        MissingData: The recipe that it extends does not exist.
        UsageError: The file is not TOML, has an unknown table or keys outside its tables, or extends
            itself.
    """
    path = path.resolve()
    chain = (*extending, path)
    if path in extending:
        names = ", which extends ".join(map(str, chain))
        raise UsageError(f"a recipe extends itself: {names}")
    tables = read_toml(path)
    extends = None
    if "extends" in tables:
        named = tables.pop("extends")
        if not isinstance(named, str):
            raise UsageError(f"{path}: extends is {named!r}; expected a recipe's name or file")
        shipped = (folder / f"{named}.toml").is_file()
        extends = find_recipe(named if shipped else str(path.parent / named), folder)
    return RecipeFile(_checked_tables(tables, path, known), extends, chain)


def model_fields(recipe: Recipe, kind: type[Fields], vocab_size: int | None = None) -> Fields:
    """The model of a recipe; without a vocabulary size, with that of the preset.

    Args:
        recipe: Names the preset and what differs from it.
        kind: `ModelFields`, or `Unimo2Config`, which needs torch.
        vocab_size: Of the tokenizer.

    Raises:
        UsageError: An unknown preset or field, or a value that cannot be meant.
    """
    if recipe.preset not in _PRESETS:
        known = ", ".join(_PRESETS)
        raise UsageError(f"model.preset is {recipe.preset!r}; known are: {known}")
    unknown = sorted(set(recipe.model) - set(kind.own_fields()))
    if unknown:
        raise UsageError(f"{recipe.name}: no model field is called {', '.join(unknown)}")
    tokens = {} if vocab_size is None else {"vocab_size": vocab_size}
    preset: Callable[..., Fields] = getattr(kind, recipe.preset)
    return preset(**{**recipe.model, **tokens})


def find_recipe(name_or_file: str, folder: Path = CONFIG_FOLDER) -> Path:
    """The file of a recipe: NAME.toml of those that come with the package, or a file of the user."""
    shipped = folder / f"{name_or_file}.toml"
    path = shipped if shipped.is_file() else Path(name_or_file)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise MissingData(f"no configuration {name_or_file!r}: give a file, or one of: {known}")
    return path


def _checked_tables(
    tables: dict[str, Any], path: Path, known: set[str]
) -> dict[str, dict[str, Any]]:
    """The same tables, all of them known and of finite numbers; UsageError otherwise."""
    _refuse_unknown(tables, known, str(path))
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name!r} must be a table, [{name}]")
        _require_finite(table, f"{path}: {name}")
    return tables


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; UsageError where it is none."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _require_finite(values: Mapping[str, Any], where: str) -> None:
    """Refuse TOML's `inf` and `nan`, with which a training only fails later."""
    for key, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                raise UsageError(f"{where}: {key} is {one}; expected a finite number")


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Change a recipe by `key=value` texts from the command line.

    A key is a training field (`batch_size=32`) or, with the prefix `model.`, a model field
    (`model.grounded_tokens=16`). Values are TOML (`3e-4`, `true`, `["coco"]`) or plain words.

    Raises:
        UsageError: a text is not an assignment, its key is unknown or its value has the wrong type.
    """
    training, changed = parse_assignments(assignments)
    model = {**recipe.model, **changed}
    return replace(recipe, model=model, training=with_values(recipe.training, training, "--set"))


def parse_assignments(assignments: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `key=value` texts into those of the training and (prefix `model.`) of the model."""
    training: dict[str, Any] = {}
    model: dict[str, Any] = {}
    for text in assignments:
        key, separator, raw = text.partition("=")
        key = key.strip()
        if not separator or not key:
            raise UsageError(f"--set {text!r}: write key=value, for example batch_size=32")
        if key.startswith("model."):
            model[key.removeprefix("model.")] = _parse(raw)
        else:
            training[key.removeprefix("training.")] = _parse(raw)
    _require_finite({**training, **model}, "--set")
    return training, model


def _parse(raw: str) -> Any:
    """A TOML value, or the text itself where it is none."""
    try:
        return parse_toml(f"value = {raw.strip()}")["value"]
    except ValueError:
        return raw.strip()


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; known are: {names}")


def with_values(config: Config, values: Mapping[str, Any], where: str) -> Config:
    """A copy of a training configuration with some fields changed, each checked against its type.

    `where` is the file or option that the values come from, for messages.

    Raises:
        UsageError: An unknown field, or a value of the wrong type or out of range.
    """
    _refuse_unknown(values, {f.name for f in fields(config)}, where)
    hints = get_type_hints(type(config))
    return replace(config, **{k: _checked(k, v, hints[k], where) for k, v in values.items()})


def _checked(name: str, value: Any, hint: Any, where: str) -> Any:
    """The value as the field's type; ints pass as floats, lists as tuples."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(map(str, get_args(hint)))
            raise UsageError(f"{where}: {name} is {value!r}; expected one of: {allowed}")
        return value
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        items = value if isinstance(value, list) else [value]
        if all(_is_a(item, kind) for item in items):
            return tuple(kind(item) for item in items)
        plural = {str: "texts", int: "whole numbers", float: "numbers"}[kind]
        raise UsageError(f"{where}: {name} is {value!r}; expected a list of {plural}")
    if not _is_a(value, hint):
        raise UsageError(f"{where}: {name} is {value!r}; expected a value of type {hint.__name__}")
    return hint(value)


def _is_a(value: Any, kind: type) -> bool:
    """Whether a TOML value is of a type; whole numbers are numbers, true and false are not."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
