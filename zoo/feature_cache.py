"""Feature cache: a tower's outputs for images and texts, kept on disk by content.

The name of a file is the sha256 of everything that its numbers depend on: the weights, the number
format, the kind of device, which tower, and what it is given: the pixels as the processor makes them,
or the token ids of a text without padding. Another file name or another run therefore finds the same
features, and other weights, sizes, normalisation or tokenizers never do.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

IMAGES, TEXTS = "images", "texts"
_STATES, _DIGEST = "states", "sha256"

logger = logging.getLogger(__name__)


class FeatureStore:
    """Features of one model's towers below a folder that models may share."""

    def __init__(self, folder: Path, weights_sha256: str, dtype: str, device: str) -> None:
        """Open the store.

        Args:
            folder: Created when the first features are kept.
            weights_sha256: sha256 of the model's weights.
            dtype: Dtype of its computation.
            device: As torch spells it; results of a CPU and a GPU are kept apart.
        """
        self.folder = folder
        self._salt = f"{weights_sha256} {dtype} {device.partition(':')[0]}"
        self.hits = 0

    def through(self, kind: str, given: Tensor, tower: Callable[[Tensor], Tensor]) -> Tensor:
        """Features of some items, computed only for those that are not kept.

        Args:
            kind: Which tower: `IMAGES` or `TEXTS`.
            given: [items, ...], what it is given of each: pixels, or the token ids of texts of one
                length.
            tower: Computes the features of such items.

        Returns:
            [items, rows, hidden], on the device that the tower gives them on.
        """
        paths = [self._path(kind, item) for item in given]
        found = [_read(path) for path in paths]
        missing = [place for place, features in enumerate(found) if features is None]
        self.hits += len(found) - len(missing)
        device = given.device
        if missing:
            # All at once if none is kept, so that a first run makes the calls that it would anyway.
            computed = tower(given if len(missing) == len(found) else given[missing])
            device = computed.device
            for place, features in zip(missing, computed, strict=True):
                _write(paths[place], features.cpu())
                found[place] = features
        return torch.stack([features.to(device) for features in found if features is not None])

    def _path(self, kind: str, item: Tensor) -> Path:
        salt = f"{self._salt} {kind} {list(item.shape)} ".encode()
        name = hashlib.sha256(salt + _content(item)).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"


def _content(tensor: Tensor) -> bytes:
    """The bytes of a tensor's numbers, in any format."""
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _digest(features: Tensor) -> Tensor:
    """The sha256 of features with their shape and format, [32]."""
    content = f"{list(features.shape)} {features.dtype} ".encode() + _content(features)
    return torch.tensor(list(hashlib.sha256(content).digest()), dtype=torch.uint8)


def _read(path: Path) -> Tensor | None:
    """The features in a file; None if it is missing, or damaged, with a notice."""
    try:
        content = load(path.read_bytes())
        features = content[_STATES]
        if torch.equal(content[_DIGEST], _digest(features)):
            return features
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, ValueError, OSError):
        pass
    logger.warning("kept features %s are damaged: they are computed again", path)
    return None


def _write(path: Path, features: Tensor) -> None:
    """Write whole or not at all: other processes may read and write the same file.

    Nothing waits for the disk, which for thousands of small files takes longer than a tower; what a
    crash of the machine leaves half is found by its digest.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(save({_STATES: features.contiguous(), _DIGEST: _digest(features)}))
    os.replace(temporary, path)
