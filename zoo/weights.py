"""Files of weights: which ones a model folder has, their sha256, and whether any are missing."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from unimo2.errors import BadCheckpoint, MissingData

# In the order in which loaders look for them.
SINGLE_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
EXPECTED = "model.safetensors, a sharded one with its index, or pytorch_model.bin"


def weight_files(folder: Path) -> list[Path]:
    """Files that hold a model's weights.

    Args:
        folder: Model folder, or a single file of weights.

    Returns:
        One file, or the shards of an index, sorted.

    Raises:
        MissingData: No file of weights.
        BadCheckpoint: An index that cannot be read, or shards that are not there.
    """
    if folder.is_file():
        return [folder]
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            return [folder / name]
    for name in INDEX_FILES:
        if (folder / name).is_file():
            return _shards(folder / name)
    raise MissingData(f"no weights at {folder}: expected {EXPECTED}")


def weights_sha256(folder: Path) -> str:
    """The sha256 of a model's weights.

    Args:
        folder: As for `weight_files`.

    Returns:
        64 hexadecimal digits: of the file, or of "name sha256" lines of several files.

    Raises:
        MissingData: No file of weights.
        BadCheckpoint: As for `weight_files`.
    """
    files = weight_files(folder)
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{path.name} {file_sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of one file; read again only where its size or date has changed."""
    state = path.stat()
    return _digest(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _shards(index: Path) -> list[Path]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        paths = sorted({index.parent / Path(str(name)).name for name in names})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadCheckpoint(f"{index} is not an index of weights: expected 'weight_map'") from None
    absent = [path.name for path in paths if not path.is_file()]
    if absent or not paths:
        raise BadCheckpoint(
            f"{index.parent}: {len(absent)} of {len(paths)} files of weights are missing "
            f"({', '.join(absent[:3])}); copy the rest of the model into the folder"
        )
    return paths
