"""The state of an unfinished training run on disk: complete, and replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimo2.errors import BadCheckpoint, TrainingFailed
from unimo2.files import clear_unfinished, write_atomically

_FILE = "state.pt"
_KEYS = {"step", "seconds", "precision", "identity", "model", "optimizer", "samples", "best"}


@dataclass(frozen=True)
class Best:
    """The evaluation that has gone best so far.

    Attributes:
        step: optimiser steps done before it.
        name: which value decides, for example "accuracy"; higher is better.
        value: that value.
    """

    step: int
    name: str
    value: float


@dataclass(frozen=True)
class TrainingState:
    """Everything from which a run continues as if it had never stopped.

    The learning rate and all random numbers are functions of (seed, step), so `step` also holds
    the position in the data, the schedule and the state of every generator.

    Attributes:
        step: optimiser steps done.
        seconds: training time so far.
        precision: what "auto" was settled to, so that a resumed run computes alike.
        identity: configuration, model and data that the run belongs to.
        model: state dict of what is trained: the model within its losses.
        optimizer: state dict of the optimiser.
        samples: how many samples of each kind were trained on.
        best: the fields of the best evaluation so far (`Best`), whose weights are saved elsewhere.
    """

    step: int
    seconds: float
    precision: str
    identity: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    samples: Mapping[str, int]
    best: Mapping[str, Any] | None


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
            before = "the one before it is intact, and the same command goes on from there"
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
    """Read the state of a run, or None where there is none.

    Raises:
        BadCheckpoint: the file is damaged or was not written by `save_state`.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise BadCheckpoint(
            f"{path} cannot be read: delete it, or start over with --resume never"
        ) from error
    if not isinstance(values, dict) or set(values) != _KEYS:
        raise BadCheckpoint(f"{path} is no checkpoint of this trainer: use --resume never")
    return TrainingState(**values)


def discard_state(folder: Path) -> None:
    """Remove the state of an earlier run, so that nothing resumes from it."""
    (folder / _FILE).unlink(missing_ok=True)


def require_same_run(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue a run under another configuration, model or corpus.

    Raises:
        BadCheckpoint: naming the first values that differ.
    """
    before, after = dict(flatten(saved)), dict(flatten(now))
    changed = [
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if changed:
        more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
        raise BadCheckpoint(
            f"the checkpoint in {folder} belongs to another run: {'; '.join(changed[:3])}{more}; "
            "use another --output, or --resume never to start over"
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested tables as dotted names with their values."""
    items: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            items += flatten(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items
