"""What a vision tower gives of an image, kept on disk by content.

The name of a file is the sha256 of everything that its numbers depend on: the weights, the number
format, the kind of device, and the pixels as the processor gives them to the model. Another file name
or another run therefore finds the same features, and other weights, sizes or normalisation never do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_NAME = "states"


class FeatureStore:
    """Features of one model's vision tower below a folder that models may share."""

    def __init__(self, folder: Path, weights_sha256: str, dtype: str, device: str) -> None:
        """Open the store.

        Args:
            folder: Created when the first features are kept.
            weights_sha256: Of the model's weights.
            dtype: Of its computation.
            device: As torch spells it; results of a CPU and a GPU are kept apart.
        """
        self.folder = folder
        self._salt = f"{weights_sha256} {dtype} {device.partition(':')[0]} "
        self.hits = 0

    def through(self, pixels: Tensor, tower: Callable[[Tensor], Tensor]) -> Tensor:
        """Features of images, computed only for those that are not kept.

        Args:
            pixels: [images, 3, side, side], as the processor made them.
            tower: Computes the features of such images.

        Returns:
            [images, tokens, hidden], on the device that the tower gives them on.
        """
        paths = [self._path(image) for image in pixels]
        found = [_read(path) for path in paths]
        missing = [place for place, features in enumerate(found) if features is None]
        self.hits += len(found) - len(missing)
        device = pixels.device
        if missing:
            computed = tower(pixels[missing])
            device = computed.device
            for place, features in zip(missing, computed, strict=True):
                _write(paths[place], features.cpu())
                found[place] = features
        return torch.stack([features.to(device) for features in found if features is not None])

    def _path(self, image: Tensor) -> Path:
        content = image.detach().cpu().contiguous().numpy().tobytes()
        name = hashlib.sha256(self._salt.encode() + content).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"


def _read(path: Path) -> Tensor | None:
    """The features in a file; None if it is not there or damaged."""
    try:
        return load(path.read_bytes())[_NAME]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None


def _write(path: Path, features: Tensor) -> None:
    """Write whole or not at all: other processes may read and write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(save({_NAME: features.contiguous()}))
    os.replace(temporary, path)
