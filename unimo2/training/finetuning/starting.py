"""Initial weights of fine-tuning: a checkpoint's, without the head of another task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from unimo2.errors import BadCheckpoint
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import Unimo2Model

Model = TypeVar("Model", bound=PreTrainedModel)

_HEAD = "head."


@dataclass(frozen=True)
class Start(Generic[Model]):
    """A model before its first step."""

    model: Model  # with the checkpoint's weights, and a new head where it has none of this task
    new_head: bool  # whether the head is new (or the task has none)
    # a line that says which head of the checkpoint was left out; None if none was
    dropped: str | None = None


def load_start(
    kind: type[Model], folder: Path, task: str, labels: Sequence[str], fields: dict[str, Any]
) -> Start[Model]:
    """Load a checkpoint for a task, whatever it is fine-tuned for.

    The checkpoint's head is kept if it is of the same task and the same classes in the same order;
    another one is dropped, as the authors start STS-B from their MNLI model. New heads are drawn
    from torch's global generator. `fields` of the configuration differ from the checkpoint's.

    Raises:
        BadCheckpoint: The weights are not whole, or cannot be read.
    """
    config = Unimo2Config.from_pretrained(folder)
    changed = Unimo2Config.from_pretrained(folder, **fields)
    heads = [name for name in _names(folder) if name.startswith(_HEAD)]
    why = _other_head(config, changed, kind, task, labels) if heads else None
    if why is None:
        return Start(_loaded(kind, folder, folder, **fields), not heads)
    gets = "no head" if kind is Unimo2Model else "a new one"
    line = f"the head of {folder.name} {why} and is dropped: {task.replace('_', '-')} gets {gets}"
    if kind is Unimo2Model:
        changed.num_labels = 2  # transformers' own number, for models without classes
    weights = {name: value for name, value in _weights(folder).items() if name not in heads}
    return Start(_loaded(kind, folder, None, config=changed, state_dict=weights), True, line)


def _other_head(
    config: Unimo2Config,
    changed: Unimo2Config,
    kind: type[PreTrainedModel],
    task: str,
    labels: Sequence[str],
) -> str | None:
    """Why a checkpoint's head is not one of this task; None if it is."""
    names = cast(Mapping[int, str], config.id2label or {})
    known = [names[number] for number in sorted(names)]
    if kind is Unimo2Model or config.task not in (None, task):
        return f"is of {str(config.task or 'another task').replace('_', '-')}"
    if (list(labels) != known) if labels else (len(known) != 1):
        return "has other classes"
    if config.pair_head_input != changed.pair_head_input:
        return f"reads {config.pair_head_input!r}, not {changed.pair_head_input!r},"
    return None


def _loaded(kind: type[Model], folder: Path, source: Path | None, **options: Any) -> Model:
    """The model of some weights; errors name the folder."""
    try:
        model: Model = kind.from_pretrained(source, **options)
    except BadCheckpoint as error:
        _, _, what = str(error).partition(": ")
        raise BadCheckpoint(f"{folder}: {what or error}") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadCheckpoint(
            f"{folder}: its weights do not fit the model that the recipe asks for ({reason}); leave "
            "fields of the model's size as the checkpoint has them"
        ) from error
    return model


def _files(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights: none where they are not in safetensors."""
    return sorted(folder.glob("model*.safetensors"))


def _names(folder: Path) -> list[str]:
    try:
        names: list[str] = []
        for path in _files(folder):
            with safe_open(path, framework="pt") as file:
                names += file.keys()
        return names
    except (OSError, SafetensorError):
        return []  # loading says what is wrong with the file


def _weights(folder: Path) -> dict[str, Tensor]:
    """A checkpoint's weights in float32, by name."""
    weights = {k: v for path in _files(folder) for k, v in load_file(path).items()}
    return {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in weights.items()}
