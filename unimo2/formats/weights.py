"""Weights files of a model folder: choice, sha256 and integrity checks.

A folder is looked at before any library reads it: errors about damaged files name the file, and a
configuration whose sizes the weights cannot have is refused before anything of that size is allocated.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from unimo2.console import stage
from unimo2.errors import BadCheckpoint, BadData, MissingData
from unimo2.formats.parsing import refuse_pointer

# In the order in which loaders look for them.
SINGLE_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
EXPECTED = "model.safetensors, a sharded one with its index, or pytorch_model.bin"
# Files that libraries read beside the weights; other files are ignored.
_TOOLS = re.compile(
    r"(open_clip_)?config\.json|(pre|image_)?processor_config\.json|preprocessor_config\.json"
    r"|tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|modules\.json"
    r"|vocab\.(json|txt)|merges\.txt|.*\.index\.json|.*\.(model|spm)"
)
# Sizes in configurations that tensors have as a dimension, and those that matrices have twice.
_SIZES = re.compile(r".*(hidden|intermediate|embed|vocab|ffn|classes|labels).*|d_model|d_ff|.*_dim")
_WIDTHS = re.compile(r"hidden_size|d_model|n_embd|embed_dim")
_NOT_SIZES = re.compile(r".*(position|layers|heads|dropout|token|image|patch).*")
_LAYERS = re.compile(r".*layers?")
_LAYERS_PER_TENSOR = 10  # layers may share their weights
_NUMBERS_PER_BYTE = 2  # of weights in four bits
_FAULTS = (OSError, ValueError, RecursionError, zipfile.BadZipFile)


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
    with path.open("rb") as stream, stage(f"hashing {path.name}", "MiB", size >> 20) as advance:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            advance(stream.tell() >> 20)
    return digest.hexdigest()


def _shards(index: Path) -> list[Path]:
    try:
        names = read_json(index)["weight_map"].values()
        paths = sorted({index.parent / Path(str(name)).name for name in names})
    except (KeyError, TypeError, AttributeError):
        raise BadCheckpoint(f"{index} is not a weights index: expected 'weight_map'") from None
    absent = [path.name for path in paths if not path.is_file()]
    if absent or not paths:
        raise BadCheckpoint(
            f"{index.parent}: {len(absent)} of {len(paths)} files of weights are missing "
            f"({', '.join(absent[:3])}); copy the rest of the model into the folder"
        )
    return paths


def refuse_damaged(folder: Path, weights: Path | None = None) -> None:
    """Look at a model folder's files before anything is loaded, without reading the weights.

    Args:
        folder: Holds configuration, tokenizer and whatever else.
        weights: As for `weight_files`; None for those of the folder.

    Raises:
        MissingData: No file of weights.
        BadCheckpoint: A file that is empty, cut off, a pointer or not what its name says; sizes in
            config.json that these weights cannot have.
    """
    for path in sorted(folder.iterdir()):
        if _TOOLS.fullmatch(path.name) and path.is_file():
            if path.suffix == ".json":
                read_json(path)
            else:
                _content(path)
    files = weight_files(folder if weights is None else weights)
    tensors = sum(_tensors(path) for path in files)
    config = folder / "config.json"
    if config.is_file():
        _refuse_sizes(config, tensors, sum(path.stat().st_size for path in files))


def read_json(path: Path) -> Any:
    """The content of a JSON file of a model folder.

    Raises:
        BadCheckpoint: It is damaged.
    """
    text = _content(path)
    try:
        return json.loads(text)
    except _FAULTS as error:
        raise _damaged(path, f"not JSON ({error})") from None


def _content(path: Path) -> bytes:
    """A small file's bytes; BadCheckpoint where there are none, or where it is not text."""
    content = path.read_bytes()
    _refuse_pointer(content, path)
    try:
        if path.suffix in (".json", ".txt"):
            content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 ({error})") from None
    return content


def _tensors(path: Path) -> int:
    """How many tensors a file of weights has, from its header; BadCheckpoint where it is damaged."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:
        start = stream.read(256)
    _refuse_pointer(start, path)
    try:
        if path.suffix == ".safetensors":
            # Opening compares the header with the length of the file.
            with safe_open(path, framework="np") as tensors:
                return len(tensors.keys())
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return len(archive.namelist())
    except (SafetensorError, *_FAULTS) as error:
        raise _damaged(path, f"not a complete weights file ({error})") from None
    if not start.startswith(b"\x80"):
        raise _damaged(path, "not a weights file written by torch")
    return path.stat().st_size


def _refuse_pointer(content: bytes, path: Path) -> None:
    try:
        refuse_pointer(content, "the file")
    except BadData as error:
        raise _damaged(path, str(error)) from None
    if not content.strip():
        raise _damaged(path, "the file is empty")


def _refuse_sizes(path: Path, tensors: int, size: int) -> None:
    """Raise BadCheckpoint for a number in a configuration that is beyond the weights."""
    numbers = _NUMBERS_PER_BYTE * size
    for name, value in _numbers(read_json(path)):
        most = numbers if _SIZES.fullmatch(name) and not _NOT_SIZES.fullmatch(name) else value
        most = int(numbers**0.5) if _WIDTHS.fullmatch(name) else most
        most = _LAYERS_PER_TENSOR * tensors if _LAYERS.fullmatch(name) else most
        if value > most:
            raise _damaged(
                path, f"{name} = {value:,}, which weights of {size:,} bytes in {tensors:,} tensors "
                "cannot have",
            )  # fmt: skip


def _numbers(config: object) -> Iterator[tuple[str, int]]:
    """Whole numbers of a configuration by their names, those of its parts too."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if type(value) is int:
                yield str(name), value
            yield from _numbers(value)


def _damaged(path: Path, what: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{path}: {what}; it is damaged, or a pointer whose content was not fetched: fetch the file "
        "again ('git lfs pull' in a clone)"
    )
