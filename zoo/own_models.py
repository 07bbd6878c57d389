"""Models of the user's own code: a Python file, or a package's entry point, with `load(device, dtype)`.

The function returns any object with the members of a capability in `zoo.protocols`. What every
adapter says about itself (name, digest, settings ...) is filled in where the object does not say it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from unimo2.devices import find_device, find_dtype
from unimo2.errors import BadCheckpoint, IncompatibleModel, MissingData, Unimo2Error
from unimo2.formats.weights import file_sha256
from zoo import registry
from zoo.cards import Card
from zoo.protocols import CAPABILITIES, Model

_FUNCTION = "load"


def load(card: Card, device: str, dtype: str | None) -> Model:
    """Run the user's function.

    Args:
        card: With a source of kind "python" or "entry point".
        device: "auto", "cpu", "cuda" ...; the function is given what torch calls it.
        dtype: Name of the dtype; None for float32.

    Returns:
        What the function returned, with the members of `zoo.protocols.Model`.

    Raises:
        MissingData: The file is not there.
        BadCheckpoint: The code fails, or has no such function.
        IncompatibleModel: What it returned has the members of no capability.
    """
    chosen, precision = find_device(device), find_dtype(dtype or "float32")
    function, code = _function(card)
    try:
        model = function(str(chosen), str(precision).removeprefix("torch."))
    except Unimo2Error:
        raise
    except Exception as error:
        raise _failed(card.name, card.source.location, error) from error
    _complete(model, card, code, str(chosen), str(precision).removeprefix("torch."))
    if not any(isinstance(model, protocol) for protocol in CAPABILITIES.values()):
        raise IncompatibleModel(
            f"model '{card.name}': what {_FUNCTION}() returned has the members of no capability; "
            f"add those of one of {', '.join(CAPABILITIES)} (zoo/protocols.py)"
        )
    return model


def _function(card: Card) -> tuple[Callable[[str, str], Any], str]:
    """The user's function, and a digest of the file that it is in."""
    if card.source.kind == "python":
        place, _, name = card.source.location.partition(".py:")
        path = Path(place if place.endswith(".py") else f"{place}.py")
        if not path.is_file():
            raise MissingData(f"no Python file at {path}")
        name = name or _FUNCTION
        module = _run(path, card.name)
    else:
        point = registry.entry_points().get(card.source.location)
        if point is None or point.problem:
            reason = point.problem if point else "no installed package registers it"
            raise BadCheckpoint(f"model '{card.name}' cannot be loaded: {reason}")
        target, _, name = point.target.partition(":")
        module = registry.Family(card.name, target, {}).load()
        path = Path(str(module.__file__))
    function = getattr(module, name, None)
    if not callable(function):
        raise BadCheckpoint(f"{path} has no function {name}(device, dtype): add it")
    return function, file_sha256(path)


def _run(path: Path, name: str) -> Any:
    """The module of a file, which may import files beside it."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BadCheckpoint(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failed(name, path, error) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _failed(name: str, place: object, error: Exception) -> BadCheckpoint:
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    return BadCheckpoint(
        f"model '{name}' cannot be loaded: {place} raised {type(error).__name__}: {reason}"
    )


def _complete(model: Any, card: Card, code: str, device: str, dtype: str) -> None:
    """Set what the object does not say about itself."""
    said = {
        "name": card.name,
        "device": device,
        "dtype": dtype,
        "batch_size": 32,
        "settings": {"code": card.source.location.rpartition("/")[2], "code_sha256": code},
    }
    said = {name: value for name, value in said.items() if not hasattr(model, name)}
    if not hasattr(model, "weights_sha256"):
        said["weights_sha256"] = _digest(model, code)
    try:
        for name, value in said.items():
            setattr(model, name, value)
    except AttributeError:
        raise IncompatibleModel(
            f"model '{card.name}': its object accepts no attributes; set {', '.join(said)} itself"
        ) from None


def _digest(model: Any, code: str) -> str:
    """The sha256 of the code and of every torch module that the object holds."""
    torch = import_module("torch")
    digest = hashlib.sha256(code.encode())
    held = {"": model, **getattr(model, "__dict__", {})}
    for name, part in sorted(held.items()):
        if isinstance(part, torch.nn.Module):
            for key, tensor in sorted(part.state_dict().items()):
                if isinstance(tensor, torch.Tensor):
                    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
                    digest.update(f"{name}.{key} {list(tensor.shape)} ".encode())
                    digest.update(flat.numpy().tobytes())
    return digest.hexdigest()
