"""Which models exist, and how each is loaded.

`zoo.load("mini")` takes a card's name, `zoo.load("path/to/folder")` a model folder.
"""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unimo2.errors import BadCheckpoint, MissingData
from zoo import cards
from zoo.cards import Card, Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from zoo.protocols import Model

__all__ = ["load", "load_card", "resolve", "task_adapter", "weights_folder"]

_FAMILY = re.compile(r"[a-z][a-z0-9_]*")


def load(name_or_folder: str | Path, device: str = "auto", dtype: str | None = None) -> Model:
    """Load a model by its card's name or from its folder.

    Args:
        name_or_folder: A card's name, or a folder with `config.json` and `model.safetensors`.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ...
        dtype: "float32", "bfloat16" or "float16"; None for the family's own choice.

    Returns:
        The adapter of the model's family.

    Raises:
        UsageError: The name is unknown.
        MissingData: The weights are not where the card says.
        BadCheckpoint: The weights or the configuration cannot be used.
    """
    return load_card(resolve(name_or_folder), device, dtype)


def resolve(name_or_folder: str | Path) -> Card:
    """Find the card of a name, or make one for a folder.

    A name that has a card means the card; write `./mini` for a folder called like a card.

    Args:
        name_or_folder: As for `load`.

    Returns:
        The card; for a folder it holds what its `config.json` says.

    Raises:
        UsageError: It is neither a card's name nor a folder.
        BadCheckpoint: The folder holds no model of a known family.
    """
    text = str(name_or_folder)
    if text in cards.read_all():
        return cards.find(text)
    folder = Path(name_or_folder).expanduser()
    if not folder.is_dir():
        if folder.name != text:
            raise MissingData(f"no model folder at {folder}")
        return cards.find(text)
    return _folder_card(folder)


def load_card(card: Card, device: str = "auto", dtype: str | None = None) -> Model:
    """Load the model that a card describes; arguments and errors as for `load`."""
    adapter = _adapter(card.family, card.name)
    model: Model = adapter.load(weights_folder(card), card, device, dtype)
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


def _adapter(family: str, name: str) -> ModuleType:
    """The module `zoo.families.<family>`, if it adapts a family."""
    if _FAMILY.fullmatch(family) and find_spec(f"zoo.families.{family}") is not None:
        module = import_module(f"zoo.families.{family}")
        if hasattr(module, "load") and hasattr(module, "capabilities"):
            return module
    raise BadCheckpoint(f"model '{name}' is of the family '{family}', which has no adapter")


def _folder_card(folder: Path) -> Card:
    """A card for a model that lies in a folder: its config.json says family and task."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = str(config["model_type"])
    except FileNotFoundError:
        raise BadCheckpoint(f"{folder} holds no config.json, so it is no model folder") from None
    except (ValueError, KeyError, TypeError):
        raise BadCheckpoint(f"{path} is no model configuration with a 'model_type'") from None
    family = _family(kind, config)
    adapter = _adapter(family, folder.name)
    task = config.get("task")
    return Card(
        name=folder.resolve().name,
        family=family,
        description="a model folder",
        source=Source("folder", str(folder)),
        capabilities=tuple(adapter.capabilities(config)),
        licence="unknown",
        citation="unknown",
        finetuned_for=() if task is None else (str(task),),
    )


def _family(kind: str, config: Mapping[str, Any]) -> str:
    """The family of that `model_type`, or the one that takes the configuration for its own."""
    if _FAMILY.fullmatch(kind) and find_spec(f"zoo.families.{kind}") is not None:
        return kind
    for module in pkgutil.iter_modules([str(Path(__file__).parent / "families")]):
        recognises = getattr(import_module(f"zoo.families.{module.name}"), "recognises", None)
        if recognises is not None and recognises(config):
            return module.name
    return kind


def _folder(card: Card) -> Path:
    """The folder on this machine that holds a card's files."""
    source = card.source
    if source.kind == "hub":
        return _from_hub(source)
    base = Path(__file__).parent if source.kind == "embedded" else Path()
    folder = base / Path(source.location).expanduser()
    if not folder.is_dir():
        made = f"; train it with '{card.command}'" if card.command else ""
        raise MissingData(f"the weights of '{card.name}' are not at {folder}{made}")
    return folder


def _from_hub(source: Source) -> Path:
    """A hub model's files, from the local cache where they are there already."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, revision = source.location, source.revision
    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(repository, revision=revision))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(
            f"cannot fetch '{source.location}' from the hub ({reason}); "
            "copy it into a folder and give that as the model"
        ) from None
