"""Families of models and models of other packages, found without importing torch or any of them.

A family is a file in `zoo/families/` with a literal `RECOGNISES` and a function `load(folder, card,
device, dtype)`. The literal says which folders are the family's and what their models can do:

    RECOGNISES = {"CLIPModel": ("dual_encoder",), "*ForSequenceClassification": ("text_classifier",)}

A further literal, `NEEDS = ("tokenizer", "image_processor")`, says what a folder holds beside configuration
and weights. A key is a pattern of `architectures` in config.json, or "model_type:...", or "key:..." (a field of a
config.json without `model_type`), or "file:..." (a file beside it). A value of None means that the
module's `capabilities(config)` says it. The literal is read from the source, so that asking which
family a folder is of imports none. Other packages add single models, or whole families, by the entry
point group `unimo2.models`: "package.module:load" is a model, "package.module" a family.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from unimo2.errors import BadCheckpoint
from unimo2.formats.weights import read_json

GROUP = "unimo2.models"
FAMILIES = Path(__file__).parent / "families"
_OPEN_CLIP = "open_clip_config.json"

Declaration = Mapping[str, "tuple[str, ...] | None"]


@dataclass(frozen=True)
class Family:
    """One family of models.

    Attributes:
        name: As cards name it.
        module: Dotted name of the module that loads its models.
        recognises: Patterns of its folders, with the capabilities of their models.
        needs: What a folder holds beside configuration and weights: "tokenizer", "image_processor".
    """

    name: str
    module: str
    recognises: Declaration
    needs: tuple[str, ...] = ()

    def load(self) -> ModuleType:
        """Import the family's module.

        Raises:
            BadCheckpoint: It cannot be imported, for want of a package for example.
        """
        try:
            return import_module(self.module)
        except Exception as error:
            raise BadCheckpoint(
                f"family '{self.name}' cannot be imported: {_line(error)}"
            ) from None


@dataclass(frozen=True)
class EntryPoint:
    """A model or family that an installed package registers.

    Attributes:
        name: What `--model`, or a card's `family`, calls it.
        target: "package.module:function" of a model, "package.module" of a family.
        problem: Why it cannot be used, in one line; None where nothing is known against it.
    """

    name: str
    target: str
    problem: str | None = None


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """The families of this package, by name."""
    found = {}
    for path in sorted(FAMILIES.glob("*.py")):
        declared = _literals(path)
        if "RECOGNISES" in declared:
            found[path.stem] = Family(
                path.stem,
                f"zoo.families.{path.stem}",
                declared["RECOGNISES"],
                declared.get("NEEDS", ()),
            )
    return found


def needs(folder: Path) -> tuple[str, ...]:
    """What a model folder should hold beside configuration and weights; nothing if it is unknown."""
    try:
        config = _configuration(folder)
    except BadCheckpoint:
        return ()
    for one in families().values():
        if config and any(_fits(pattern, config, folder) for pattern in one.recognises):
            return one.needs
    return ()


def family(name: str, model: str) -> ModuleType:
    """The module of a family.

    Args:
        name: As a card names it.
        model: Name of the model, for the message.

    Raises:
        BadCheckpoint: The family does not exist or cannot be imported.
    """
    if name in families():
        return families()[name].load()
    registered = entry_points().get(name)
    if registered is not None and ":" not in registered.target:
        if registered.problem:
            raise BadCheckpoint(f"family '{name}' cannot be used: {registered.problem}")
        return Family(name, registered.target, {}).load()
    raise BadCheckpoint(f"model '{model}' is of the family '{name}', which has no adapter")


def recognise(folder: Path) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
    """The family of a model folder, by its configuration alone.

    Args:
        folder: Holds config.json, or open_clip_config.json.

    Returns:
        The family's name, what its model can do, and the content of config.json.

    Raises:
        BadCheckpoint: No configuration, or one that no family takes.
    """
    config = _configuration(folder)
    for one in families().values():
        for pattern, capabilities in one.recognises.items():
            if _fits(pattern, config, folder):
                if capabilities is None:
                    capabilities = tuple(one.load().capabilities(config))
                return one.name, capabilities, config
    for point in entry_points().values():
        if ":" not in point.target and point.problem is None:
            module = Family(point.name, point.target, {}).load()
            for pattern, capabilities in module.RECOGNISES.items():
                if _fits(pattern, config, folder):
                    return point.name, tuple(capabilities or module.capabilities(config)), config
    kind = ", ".join(config.get("architectures") or ()) or str(config.get("model_type"))
    known = ", ".join(name for name in families())
    raise BadCheckpoint(
        f"{folder.name} is a '{kind}', which has no adapter; families are {known}; give a Python "
        "file with load(device, dtype) for any other model"
    )


def entry_points() -> Mapping[str, EntryPoint]:
    """What installed packages register, by name; nothing of them is imported.

    Of two with one name neither can be used; a card's name goes before either.
    """
    found: dict[str, EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        problem = _problem(point.value)
        if point.name in found and found[point.name].target != point.value:
            problem = f"two packages register it: {found[point.name].target} and {point.value}"
        found[point.name] = EntryPoint(point.name, point.value, problem)
    return dict(sorted(found.items()))


def _problem(target: str) -> str | None:
    """What can be said against a target without importing it."""
    module, _, function = target.partition(":")
    parts = [*module.split("."), *(function.split(".") if ":" in target else [])]
    if not all(part.strip().isidentifier() for part in parts):
        return f"'{target}' does not have the form package.module:load"
    try:
        there = find_spec(parts[0]) is not None
    except (ImportError, ValueError, AttributeError):
        there = False
    return None if there else f"its package '{parts[0]}' is not installed"


def _literals(path: Path) -> Mapping[str, Any]:
    """The literals `RECOGNISES` and `NEEDS` of a file, as far as it has them."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0])
            if name in ("RECOGNISES", "NEEDS"):
                found[name] = ast.literal_eval(node.value)
    return found


def _configuration(folder: Path) -> Mapping[str, Any]:
    """The content of config.json; nothing where only OpenCLIP's file is there."""
    path = folder / "config.json"
    if not path.is_file() and (folder / _OPEN_CLIP).is_file():
        return {}
    if not path.is_file():
        raise BadCheckpoint(f"{folder} has no config.json: expected a model folder")
    config = read_json(path)
    named = {"model_type", "architectures", "architecture"}
    if not isinstance(config, dict) or not named & set(config):
        raise BadCheckpoint(
            f"{path}: expected a model configuration, a JSON object with 'model_type'"
        )
    if not isinstance(config.get("architectures") or [], list):
        raise BadCheckpoint(f"{path}: expected a list of class names in 'architectures'")
    return config


def _fits(pattern: str, config: Mapping[str, Any], folder: Path) -> bool:
    kind, _, wanted = pattern.rpartition(":")
    if kind == "file":
        return (folder / wanted).is_file()
    if kind == "key":
        return wanted in config and "model_type" not in config
    architectures = [str(name) for name in config.get("architectures") or ()]
    if kind == "model_type":
        return fnmatchcase(str(config.get("model_type")), wanted)
    return any(fnmatchcase(name, wanted) for name in architectures)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
