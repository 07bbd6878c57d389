"""Model cards, one per model: source of the weights, capabilities, authors and training.

A card is a TOML file in `zoo/cards/`, or the user's own. A new model is a new file; there is no list
to edit. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unimo2.errors import BadCheckpoint, BadData, IncompatibleModel, MissingData, UsageError
from unimo2.files import parse_toml
from unimo2.formats.weights import refuse_damaged
from unimo2.formats.weights import weights_sha256 as weights_sha256  # of this module too
from zoo.protocols import CAPABILITIES

CARDS = Path(__file__).parent / "cards"
# "none": nothing that could be loaded is published, or not for this code.
SOURCE_KINDS = ("embedded", "folder", "package", "hub", "python", "entry point", "none")
WEIGHTS = "model.safetensors"  # of the weights that this project writes
OWN_CODE = ("python", "entry point")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Attributes:
        kind: "embedded" (below `zoo/`), "folder" (on this machine), "package" (of an installed
            Python package), "hub" (Hugging Face), "python" (a file with `load(device, dtype)`),
            "entry point" (of the group `unimo2.models`) or "none".
        location: Path relative to `zoo/`, folder, "package/folder", hub id, file[:function], name
            of an entry point, or where the authors publish the model.
        revision: Commit or tag of a hub model; None for its newest.
        file: File of weights in the folder, where the family's own loader does not find it.
    """

    kind: str
    location: str
    revision: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Published:
    """Published numbers of a model on one benchmark.

    Attributes:
        protocol: How they were measured, in words.
        source: Where they are printed.
        metrics: Values by the names that our records use; percentages as printed.
        split: Split of the data set.
        setting: "zero-shot" or "finetuned", as the source calls it.
        options: Options of `unimo2 eval` that make the same protocol.
        lineage: What the weights had seen by then, where that is the point.
        official: Whether `--official` runs this protocol; one of each benchmark and split.
    """

    protocol: str
    source: str
    metrics: Mapping[str, float]
    split: str | None = None
    setting: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    lineage: str | None = None
    official: bool = False


@dataclass(frozen=True)
class Card:
    """What is known about one model; `Card(**fields)` of a TOML file, checked by `read`.

    Attributes:
        name: What `--model` takes.
        family: Adapter module, `zoo.families.<family>`; also of a model that cannot be run.
        description: One line.
        source: Where the files are.
        capabilities: Keys of `zoo.protocols.CAPABILITIES`; an own model's file lists none.
        licence: SPDX identifier, or a sentence; "unknown" where it is.
        citation: The paper or page to cite.
        training_data: Data sets that the weights have seen beside those of `adapted_from`; see
            `zoo.lineage` for how entries are read.
        finetuned_for: Benchmarks that the weights were fine-tuned for; empty for a pre-trained
            model, which is evaluated zero-shot.
        command: Command that trained the weights, where it was ours.
        adapted_from: Name of the model that training started from.
        weights_sha256: Digest of the weights; checked whenever the model is loaded.
        runnable: Whether the model can be loaded here.
        why_not_runnable: The reason, and what would have to be there.
        labels: Names of the head's columns, where the model's configuration has none of its own.
        may_be_new: Regular expressions of weights that may be missing from the files.
        may_be_unused: Those of weights in the files that the model does not use.
        options: For the family; its page in docs/zoo lists them.
        published: Published numbers by benchmark.
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
    runnable: bool = True
    why_not_runnable: str | None = None
    labels: tuple[str, ...] = ()
    may_be_new: tuple[str, ...] = ()
    may_be_unused: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, tuple[Published, ...]] = field(default_factory=dict)

    @property
    def untold(self) -> bool:
        """Whether nothing says what the model was trained for: a folder, hub id or own code as such."""
        return not self.training_data and not self.finetuned_for and self.adapted_from is None


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
        raw = parse_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadData(f"card {path} is not valid TOML: {error}") from None
    source, published = raw.pop("source", None), raw.pop("published", {})
    if not isinstance(source, dict):
        raise BadData(f"card {path}: 'source' must be a table with 'kind' and 'location'")
    try:
        card = Card(
            source=Source(**_typed(source, Source, "source.")),
            published=_published(published),
            **_typed(raw, Card, "", skip=("source", "published")),
        )
        _check(card)
    except ValueError as error:
        raise BadData(f"card {path}: {error}") from None
    return card


def _published(raw: object) -> dict[str, tuple[Published, ...]]:
    """The `[[published.<benchmark>]]` tables; ValueError names what does not fit."""
    if not isinstance(raw, dict) or not all(isinstance(some, list) for some in raw.values()):
        raise ValueError("'published' must be tables [[published.<benchmark>]]")
    return {
        benchmark: tuple(
            Published(**_typed(one, Published, f"published.{benchmark}.")) for one in some
        )
        for benchmark, some in raw.items()
    }


def _typed(
    raw: Mapping[str, object], kind: type, prefix: str, skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Values of `raw` as `kind`'s fields want them; ValueError names the key that does not fit."""
    known = {one.name: one for one in fields(kind) if one.name not in skip}
    unknown = sorted(set(raw) - set(known))
    if unknown:
        raise ValueError(f"unknown key '{prefix}{unknown[0]}'; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, known_field in known.items():
        if name not in raw:
            if known_field.default is MISSING and known_field.default_factory is MISSING:
                raise ValueError(f"key '{prefix}{name}' is missing")
            continue
        values[name] = _value(raw[name], str(known_field.type), prefix + name)
    return values


def _value(value: object, kind: str, name: str) -> object:
    """A value of TOML as a field of that type wants it; ValueError says what is wrong."""
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"'{name}' must be a list of strings")
        return tuple(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"'{name}' must be true or false")
        return value
    if kind.startswith("Mapping"):
        numbers = kind == "Mapping[str, float]"
        if not isinstance(value, dict) or (
            numbers and not all(type(one) in (int, float) for one in value.values())
        ):
            raise ValueError(f"'{name}' must be a table" + (" of numbers" if numbers else ""))
        return dict(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"'{name}' must be a string that is not empty")
    return value


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
    if card.runnable == (card.why_not_runnable is not None):
        raise ValueError("'why_not_runnable' is for runnable = false, and required there")
    if card.runnable and card.source.kind == "none":
        raise ValueError("source.kind 'none' is for runnable = false")
    for benchmark, some in card.published.items():
        splits = [one.split for one in some if one.official]
        if len(set(splits)) < len(splits):
            raise ValueError(f"published.{benchmark}: two of one split are official")
    for pattern in (*card.may_be_new, *card.may_be_unused):
        try:
            re.compile(pattern)
        except re.error:
            raise ValueError(f"'{pattern}' is not a regular expression") from None


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
        state = path.stat()
        card = _read(path, state.st_size, state.st_mtime_ns)
        if card.name in cards:
            raise BadData(f"two cards are named '{card.name}': {homes[card.name]} and {path}")
        cards[card.name] = card
        homes[card.name] = path
    return MappingProxyType(dict(sorted(cards.items())))


@cache
def _read(path: Path, size: int, modified: int) -> Card:
    """As `read`, once for each state of the file."""
    return read(path)


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
            f"unknown model '{name}'; known are: {known}; or give a model's folder, its hub id "
            "(owner/name), a card's file or a Python file with load(device, dtype)"
        )
    return cards[name]


def require(card: Card, *alternatives: str) -> None:
    """Refuse a model by its card, before its weights are touched.

    Args:
        card: The model's card; an own model's lists no capabilities, and is asked once it is loaded.
        *alternatives: Keys of `zoo.protocols.CAPABILITIES`, any one of which will do.

    Raises:
        IncompatibleModel: The card lists none of the capabilities, or the model cannot be run.
    """
    require_runnable(card)
    own = card.source.kind in OWN_CODE and not card.capabilities
    if not own and not set(alternatives) & set(card.capabilities):
        can = ", ".join(card.capabilities) or "nothing that is measured"
        raise IncompatibleModel(
            f"model '{card.name}' cannot be used as {' or '.join(alternatives)} (its card lists: "
            f"{can}); 'unimo2 zoo list' shows what each model can do"
        )


def require_runnable(card: Card) -> None:
    """Refuse a card that is there for its published numbers.

    Raises:
        IncompatibleModel: With the reason.
    """
    if not card.runnable:
        raise IncompatibleModel(
            f"model '{card.name}' cannot be run here: {card.why_not_runnable}; "
            f"'unimo2 zoo show {card.name}' has its published numbers"
        )


def check_weights(card: Card, folder: Path) -> str:
    """Compare the weights on disk with what the card promises.

    Args:
        card: The model's card; without `weights_sha256` any weights will do.
        folder: The model's folder.

    Returns:
        The sha256 of the weights.

    Raises:
        MissingData: The weights file does not exist.
        BadCheckpoint: A file of the folder is damaged, or the weights are others than the card's.
    """
    path = folder / card.source.file if card.source.file else folder
    if not path.exists():
        raise MissingData(f"no weights at {path}; the card '{card.name}' names that file")
    refuse_damaged(folder, path)
    found = weights_sha256(path)
    if card.weights_sha256 is not None and found != card.weights_sha256:
        raise BadCheckpoint(
            f"the weights at {path} are not those of the card '{card.name}' "
            f"(sha256 {found[:12]}… where the card says {card.weights_sha256[:12]}…); "
            "fetch them again, or give the folder itself as the model"
        )
    return found


def lines(card: Card) -> list[tuple[str, str]]:
    """A card as labels and values for a reader, without what it does not say.

    Args:
        card: Any card.

    Returns:
        One row per field, and one per published number's source.
    """
    rows: list[tuple[str, str]] = []
    for name, value in asdict(card).items():
        if name == "published" or (name == "runnable" and value):
            continue
        if name == "source":
            value = f"{card.source.kind}: {card.source.location}"
            value += f" at {card.source.revision}" if card.source.revision else ""
        elif isinstance(value, (list, tuple)):
            value = ", ".join(value)
        elif isinstance(value, Mapping):
            value = ", ".join(f"{key} = {item}" for key, item in value.items())
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if value:
            rows.append((name.replace("_", " "), str(value)))
    for benchmark, some in card.published.items():
        rows += [(f"published for {benchmark}", _sentence(one)) for one in some]
    return rows


def _sentence(one: Published) -> str:
    numbers = ", ".join(f"{name} {value:g}" for name, value in one.metrics.items())
    where = ", ".join(part for part in (one.setting, one.split) if part)
    seen = f"; {one.lineage}" if one.lineage else ""
    return f"{numbers} ({where + '; ' if where else ''}{one.protocol}{seen}) [{one.source}]"


def listing(found: Sequence[Card], capability: str | None = None) -> list[tuple[str, ...]]:
    """Cards as rows of a table: name, family, capabilities, whether it runs, description.

    Args:
        found: Cards, for example `read_all().values()`.
        capability: Only models that have it; None for all.

    Returns:
        One row per card.

    Raises:
        UsageError: An unknown capability.
    """
    if capability is not None and capability not in CAPABILITIES:
        raise UsageError(f"unknown capability '{capability}'; known: {', '.join(CAPABILITIES)}")
    return [
        (
            card.name,
            card.family,
            ", ".join(card.capabilities),
            "yes" if card.runnable else "no",
            card.description,
        )
        for card in found
        if capability is None or capability in card.capabilities
    ]
