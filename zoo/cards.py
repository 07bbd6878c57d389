"""One card a model: where its weights come from, what it can do, who made it and how.

A card is a TOML file in `zoo/cards/`. A new model is a new file; there is no list to edit.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unimo2.errors import BadCheckpoint, BadData, IncompatibleModel, MissingData, UsageError
from zoo.protocols import CAPABILITIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CARDS = Path(__file__).parent / "cards"
WEIGHTS = "model.safetensors"
SOURCE_KINDS = ("embedded", "folder", "hub")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Attributes:
        kind: "embedded" (below `zoo/`), "folder" (on this machine) or "hub" (Hugging Face).
        location: A path relative to `zoo/`, a folder, or a hub id.
        revision: Commit or tag of a hub model; None for its newest.
    """

    kind: str
    location: str
    revision: str | None = None


@dataclass(frozen=True)
class Card:
    """What is known about one model; `Card(**fields)` of a TOML file, checked by `read`.

    Attributes:
        name: What `--model` takes.
        family: The adapter module, `zoo.<family>`.
        description: One line.
        source: Where the files are.
        capabilities: Keys of `zoo.protocols.CAPABILITIES`.
        licence: SPDX identifier, or a sentence.
        citation: The paper or page to cite.
        training_data: Data sets that the weights have seen.
        finetuned_for: Benchmarks that the weights were fine-tuned for; empty for a pre-trained
            model, which is evaluated zero-shot.
        command: The command that trained the weights, where it was ours.
        adapted_from: Name of the model that training started from.
        weights_sha256: Of the weights file; checked whenever the model is loaded.
    """

    name: str
    family: str
    description: str
    source: Source
    capabilities: tuple[str, ...]
    licence: str
    citation: str
    training_data: tuple[str, ...] = ()
    finetuned_for: tuple[str, ...] = ()
    command: str | None = None
    adapted_from: str | None = None
    weights_sha256: str | None = None


def read(path: Path) -> Card:
    """Read one card strictly.

    Args:
        path: A TOML file.

    Returns:
        The card.

    Raises:
        BadData: Broken TOML, an unknown or missing key, a value of the wrong type.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"card {path} is no valid TOML: {error}") from None
    source = raw.pop("source", None)
    if not isinstance(source, dict):
        raise BadData(f"card {path}: 'source' must be a table with 'kind' and 'location'")
    try:
        card = Card(
            source=Source(**_typed(source, Source, "source.")),
            **_typed(raw, Card, "", skip=("source",)),
        )
        _check(card)
    except ValueError as error:
        raise BadData(f"card {path}: {error}") from None
    return card


def _typed(
    raw: Mapping[str, object], kind: type, prefix: str, skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Values of `raw` as `kind`'s fields want them; ValueError names the key that does not fit."""
    known = {field.name: field for field in fields(kind) if field.name not in skip}
    unknown = sorted(set(raw) - set(known))
    if unknown:
        raise ValueError(f"unknown key '{prefix}{unknown[0]}'; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name not in raw:
            if field.default is MISSING:
                raise ValueError(f"key '{prefix}{name}' is missing")
            continue
        value = raw[name]
        if str(field.type).startswith("tuple"):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"'{prefix}{name}' must be a list of strings")
            values[name] = tuple(value)
        elif isinstance(value, str) and value.strip():
            values[name] = value
        else:
            raise ValueError(f"'{prefix}{name}' must be a string with something in it")
    return values


def _check(card: Card) -> None:
    """Refuse values that no loader could use; ValueError says which."""
    if not _NAME.fullmatch(card.name):
        raise ValueError(f"name '{card.name}' must be lower-case letters, digits, '.', '_', '-'")
    if card.source.kind not in SOURCE_KINDS:
        raise ValueError(f"source.kind '{card.source.kind}' is none of {', '.join(SOURCE_KINDS)}")
    unknown = sorted(set(card.capabilities) - set(CAPABILITIES))
    if unknown:
        raise ValueError(f"unknown capability '{unknown[0]}'; known: {', '.join(CAPABILITIES)}")
    if card.weights_sha256 is not None and not _SHA256.fullmatch(card.weights_sha256):
        raise ValueError("weights_sha256 must be 64 hexadecimal digits")


def read_all(folder: Path = CARDS) -> Mapping[str, Card]:
    """Every card in a folder, by name, in alphabetical order.

    Args:
        folder: Where the TOML files are.

    Returns:
        Cards by name.

    Raises:
        BadData: A broken card, or two cards of one name.
    """
    cards: dict[str, Card] = {}
    homes: dict[str, Path] = {}
    for path in sorted(folder.glob("*.toml")):
        card = read(path)
        if card.name in cards:
            raise BadData(f"two cards are named '{card.name}': {homes[card.name]} and {path}")
        cards[card.name] = card
        homes[card.name] = path
    return MappingProxyType(dict(sorted(cards.items())))


def find(name: str, folder: Path = CARDS) -> Card:
    """The card of that name.

    Args:
        name: A card's name.
        folder: Where the TOML files are.

    Returns:
        The card.

    Raises:
        UsageError: There is none; the known ones are listed.
    """
    cards = read_all(folder)
    if name not in cards:
        known = ", ".join(cards) or "none"
        raise UsageError(
            f"unknown model '{name}'; known are: {known}; or give the folder of a model"
        )
    return cards[name]


def require(card: Card, capability: str) -> None:
    """Refuse a model by its card, before its weights are touched.

    Args:
        card: The model's card.
        capability: A key of `zoo.protocols.CAPABILITIES`.

    Raises:
        IncompatibleModel: The card does not list the capability.
    """
    if capability not in card.capabilities:
        can = ", ".join(card.capabilities) or "nothing that is measured"
        raise IncompatibleModel(
            f"model '{card.name}' is no {capability} (its card lists: {can}); "
            "'unimo2 zoo list' shows what each model can do"
        )


def weights_sha256(folder: Path) -> str:
    """The sha256 of a model folder's weights file.

    Args:
        folder: A model folder holding `model.safetensors`.

    Returns:
        64 hexadecimal digits.

    Raises:
        MissingData: There is no weights file.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise MissingData(f"no weights at {path}; a model folder holds {WEIGHTS} and config.json")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_weights(card: Card, folder: Path) -> str:
    """Compare the weights on disk with what the card promises.

    Args:
        card: The model's card; without `weights_sha256` any weights will do.
        folder: The model's folder.

    Returns:
        The sha256 of the weights.

    Raises:
        MissingData: There is no weights file.
        BadCheckpoint: The weights are others than the card's.
    """
    found = weights_sha256(folder)
    if card.weights_sha256 is not None and found != card.weights_sha256:
        raise BadCheckpoint(
            f"the weights at {folder / WEIGHTS} are not those of the card '{card.name}' "
            f"(sha256 {found[:12]}… where the card says {card.weights_sha256[:12]}…); "
            "fetch them again, or give the folder itself as the model"
        )
    return found
