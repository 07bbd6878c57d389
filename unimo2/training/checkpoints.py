"""The state of an unfinished training run on disk: complete, and replaced atomically."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from transformers import PreTrainedModel

from unimo2.errors import BadCheckpoint, TrainingFailed
from unimo2.files import clear_unfinished, write_atomically, write_text


def save_model(model: PreTrainedModel, processor: Any, folder: Path, dtype: str) -> None:
    """Write weights (safetensors) and processor, all or nothing; for `TrainingTask.save`.

    Args:
        model: Its weights and configuration.
        processor: A processor or tokenizer, saved beside them; None for none.
        folder: Replaced as a whole.
        dtype: Floating-point weights on disk: "float32", "float16" or "bfloat16".

    Raises:
        TrainingFailed: The folder cannot be written.
    """
    weights = {
        name: value.to(getattr(torch, dtype)) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }

    def write(partial: Path) -> None:
        model.save_pretrained(partial, state_dict=weights)
        if processor is not None:
            processor.save_pretrained(partial)

    write_folder(folder, write)


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let a model be written beside a folder, and then put it in its place, all or nothing."""
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    # safetensors has an error of its own for a full disk, and tokenizers the bare base class.
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingFailed(f"the model cannot be written to {folder}: {error}") from error


def save_tensors(module: nn.Module, path: Path) -> None:
    """Write a module's weights as one safetensors file, all or nothing."""
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    try:
        write_atomically(path, lambda stream: stream.write(to_bytes(weights)))
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"weights cannot be written to {path}: {error}") from error


def copy_folder(source: Path, target: Path) -> None:
    """Copy a model folder, replacing the target as a whole."""
    write_folder(target, lambda partial: shutil.copytree(source, partial))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values as a JSON file, all or nothing."""
    write_text(path, json.dumps(values, indent=2) + "\n")


_FILE = "state.pt"
_KEYS = {"step", "seconds", "precision", "identity", "model", "optimizer", "samples", "best"}
_OPTIONAL = {"changes"}  # that states from before there were any lack
_PRECISION = "precision.json"
# Which library wrote a configuration says nothing of the weights; train.json has all versions.
_IGNORED = ".transformers_version"


@dataclass(frozen=True)
class Best:
    """The evaluation that has gone best so far."""

    step: int  # optimiser steps done before it
    name: str  # which value decides, for example "accuracy"; higher is better
    value: float  # that value


@dataclass(frozen=True)
class TrainingState:
    """Everything from which a run continues as if it had never stopped.

    The learning rate and all random numbers are functions of (seed, step), so `step` also holds
    the position in the data, the schedule and the state of every generator.
    """

    step: int  # optimiser steps done
    seconds: float  # training time so far
    precision: str  # what "auto" was settled to, so that a resumed run computes alike
    identity: Mapping[str, Any]  # configuration, model and data that the run belongs to
    model: Mapping[str, Tensor]  # state dict of what is trained: the model within its losses
    optimizer: Mapping[str, Any]  # state dict of the optimiser
    samples: Mapping[str, int]  # how many samples of each kind were trained on
    # the fields of the best evaluation so far (`Best`), whose weights are saved elsewhere
    best: Mapping[str, Any] | None
    changes: Sequence[str] = ()  # values that were changed on the way, each with the step, in words


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state beside the old one, flush it to disk, then put it in its place.

    Whenever the process is killed, the folder holds one complete state or none.

    Raises:
        TrainingFailed: it cannot be written (a full disk); the old state is left as it was.
    """
    target = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clear_unfinished(target)
        write_atomically(target, lambda file: torch.save(vars(state), file))
    except (OSError, RuntimeError) as error:
        before = "there is none before it"
        if target.is_file():
            before = "the one before it is intact, and the same command resumes from there"
        raise TrainingFailed(
            f"the checkpoint at step {state.step} cannot be written to {target}: {_why(error)}; "
            f"{before}"
        ) from error


def _why(error: BaseException) -> str:
    """The reason in one line: torch.save hides what the system said behind words of its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return " ".join(str(cause or error).split())


def load_state(folder: Path) -> TrainingState | None:
    """Read the state of a run, or None where there is none; BadCheckpoint for a damaged file."""
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise BadCheckpoint(
            f"{path} cannot be read: delete it, or start over with --resume never"
        ) from error
    if not isinstance(values, dict) or set(values) - _OPTIONAL != _KEYS:
        raise BadCheckpoint(f"{path} is not a checkpoint of this trainer; use --resume never")
    return TrainingState(**values)


def discard_state(folder: Path) -> None:
    """Remove the state of an earlier run, so that nothing resumes from it."""
    for name in (_FILE, _PRECISION):
        (folder / name).unlink(missing_ok=True)


def keep_precision(folder: Path, device: str, precision: str) -> None:
    """Note how "auto" was settled, for a start after a kill that left no state yet."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _PRECISION, {"device": device, "precision": precision})


def kept_precision(folder: Path, device: str) -> Literal["fp32", "bf16"] | None:
    """How "auto" was settled on this kind of device; None where nothing readable says so."""
    try:
        values = json.loads((folder / _PRECISION).read_bytes())
        known = values["device"] == device and values["precision"] in ("fp32", "bf16")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values["precision"] if known else None


def require_same_run(
    saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path, may_change: bool = False
) -> list[str]:
    """Refuse to continue a run under another configuration, model or corpus.

    Args:
        saved: Identity that the checkpoint was written with.
        now: Identity of this start.
        folder: Folder of the checkpoint, for the message.
        may_change: Whether values of the training may differ.

    Returns:
        What differs, in words; nothing unless `may_change`.
    """
    before, after = dict(flatten(saved)), dict(flatten(now))
    changed = {
        key: f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.endswith(_IGNORED)
    }
    refused = [
        words for key, words in changed.items() if not (may_change and key.startswith("training."))
    ]
    if refused:
        more = f" (and {len(refused) - 3} more)" if len(refused) > 3 else ""
        only_training = all(key.startswith("training.") for key in changed)
        change = ", --resume changed to continue with these values" if only_training else ""
        raise BadCheckpoint(
            f"the checkpoint in {folder} belongs to another run: {'; '.join(refused[:3])}{more}; "
            f"use another --output{change}, or --resume never to start over"
        )
    return list(changed.values())


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested tables as dotted names with their values."""
    items: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            items += flatten(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items
