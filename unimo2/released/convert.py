"""The released UNIMO-2 checkpoint: its reader, its configuration, and conversion both ways.

The checkpoint is a folder with one LoDTensor file a parameter (`unimo2.released.lodtensor`), the file's name
being the parameter's. `convert` makes of it a folder that `Unimo2Model.from_pretrained` loads.
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.errors import BadCheckpoint, MissingData, Unimo2Error, UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import Unimo2Model
from unimo2.processing import Unimo2Processor
from unimo2.released.config import config_from_released
from unimo2.released.lodtensor import read_lodtensor, shown, write_lodtensor
from unimo2.released.names import (
    NEVER_USED,
    POSITIONS,
    TEXT_POSITION_TABLE,
    TOKEN_TYPES,
    NamePair,
    name_pairs,
    reads,
)

__all__ = [
    "ConversionReport",
    "config_from_released",
    "convert",
    "export_released",
    "parameter_path",
    "read_released",
    "released_files",
]

# The released code builds a position table for 224 pixels, whatever the image size it runs at, and
# interpolates it.
_RELEASED_GRID = 14


@dataclass(frozen=True)
class ConversionReport:
    """Report of `convert`: the fate of every parameter name."""

    out: Path  # the folder that was written
    config: Unimo2Config  # of the model in it
    loaded: tuple[str, ...]  # released parameters that the model holds now
    unused: tuple[str, ...]  # known ones that this configuration does not use
    missing: tuple[str, ...]  # not in the checkpoint, left at initial values (`allow_partial`)
    notes: tuple[str, ...]  # remarks for the user, a sentence each


def released_files(folder: Path) -> dict[str, Path]:
    """The parameter files of a released checkpoint, by parameter name, sorted.

    Args:
        folder: The unpacked checkpoint.

    Raises:
        MissingData: The folder does not exist.
        BadCheckpoint: It is empty, or holds something that is not a parameter file: a folder, or a
            name that leads out of it.
    """
    if not folder.is_dir():
        raise MissingData(f"{shown(folder)}: no folder with a released checkpoint; unpack it first")
    root = Path(os.path.realpath(folder))
    files: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):
        path = parameter_path(folder, name)
        if Path(os.path.realpath(path)).parent != root:
            raise BadCheckpoint(f"{shown(path)}: a link that leads out of the checkpoint's folder")
        if path.is_dir():
            raise BadCheckpoint(
                f"{shown(path)}: a folder; a released checkpoint is one folder of parameter files"
            )
        files[name] = path
    if not files:
        raise BadCheckpoint(
            f"{shown(folder)}: an empty folder; unpack the released checkpoint there"
        )
    return files


def parameter_path(folder: Path, name: str) -> Path:
    """Where the file of a parameter lies, for reading and for writing.

    Raises:
        BadCheckpoint: The name is a path, and could lead out of the folder.
    """
    if name in ("", ".", "..") or any(sign in name for sign in "/\\:\0"):
        raise BadCheckpoint(
            f"parameter name {name!r} in {shown(folder)}: a name must not be a path"
        )
    return folder / name


def read_released(folder: Path) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Read every parameter of a released checkpoint, by name, in its own shape and type.

    Raises:
        MissingData: The folder does not exist.
        BadCheckpoint: It is empty, a file is damaged, or a name leads out of it.
    """
    return {name: read_lodtensor(path) for name, path in released_files(Path(folder)).items()}


def convert(
    folder: Path,
    out: Path,
    config: Unimo2Config | None = None,
    allow_partial: bool = False,
    seed: int = 0,
    processor: Unimo2Processor | None = None,
) -> ConversionReport:
    """Write a released checkpoint as a folder that `Unimo2Model.from_pretrained` loads.

    The folder appears complete or not at all.

    Args:
        folder: The unpacked released checkpoint.
        out: The folder to write; it must not exist, or be empty.
        config: What the model is to be; the released base model when None.
        allow_partial: Whether parameters may be missing; they get initial values.
        seed: Seed for those initial values.
        processor: Written beside the weights, so that they can be evaluated and fine-tuned; from
            `released_processor`.

    Returns:
        What became of every name.

    Raises:
        MissingData: The checkpoint does not exist.
        BadCheckpoint: A parameter is unknown, missing, mis-shaped, or its file damaged.
        UsageError: `out` holds something already, or lies inside the checkpoint.
        Unimo2Error: The folder could not be written.
    """
    folder, out = Path(folder), Path(out)
    _refuse_target(folder, out)
    files = released_files(folder)
    config, notes = _with_stored_positions(config or Unimo2Config.released(), files)
    pairs = {pair.released: pair for pair in name_pairs(config)}
    missing = _check_names(folder, files, config, pairs, allow_partial)
    state = _initial_state(config, seed)
    filled: set[str] = set()
    for name, path in files.items():
        array = read_lodtensor(path)
        if name in pairs:
            _fill(state[pairs[name].target], pairs[name], array, path)
            filled.add(pairs[name].target)
    with torch.device("meta"):
        own = Unimo2Model(config).state_dict().keys()
    # What the switches leave out stays in the file where the checkpoint has it: a model loaded with
    # other switches (`from_pretrained(out, grounding="none")`) finds its weights.
    kept = {name: value for name, value in state.items() if name in own or name in filled}
    read = tuple(name for name in files if name in pairs and reads(config, pairs[name]))
    with _new_folder(out) as temporary:
        config.architectures = [Unimo2Model.__name__]
        config.save_pretrained(temporary)
        save_file(kept, temporary / "model.safetensors", metadata={"format": "pt"})
        # safetensors creates the file for its owner alone.
        shutil.copymode(temporary / "config.json", temporary / "model.safetensors")
        if processor is not None:
            processor.save_pretrained(temporary)
    unused = tuple(name for name in files if name not in read)
    return ConversionReport(out, config, read, unused, missing, notes)


def export_released(model: Unimo2Model, folder: Path) -> tuple[str, ...]:
    """Write a model as a released checkpoint, the way back of `convert`.

    The release knows no token types: the one vector that RoBERTa adds to every token goes into the
    position table, which gives the same sums.

    Args:
        model: Weights in any precision; written in float32.
        folder: The folder to write; it must not exist, or be empty. It appears complete or not at
            all.

    Returns:
        The names written.

    Raises:
        UsageError: `folder` holds something already, or the model has weights that the release has
            no name for.
    """
    folder = Path(folder)
    _refuse_target(None, folder)
    state = {name: value.detach().float().cpu() for name, value in model.state_dict().items()}
    state[TEXT_POSITION_TABLE] = state[TEXT_POSITION_TABLE] + state.pop(TOKEN_TYPES)
    pairs = [pair for pair in name_pairs(cast(Unimo2Config, model.config)) if pair.target in state]
    nameless = sorted(set(state) - {pair.target for pair in pairs})
    if nameless:
        raise UsageError(f"the release has no name for {_some(nameless)}: it cannot be exported")
    with _new_folder(folder) as temporary:
        temporary.mkdir()
        for pair in pairs:
            part = state[pair.target][pair.rows(len(state[pair.target]))]
            array = (part.t() if pair.transposed else part).contiguous().numpy()
            write_lodtensor(parameter_path(temporary, pair.released), array)
    return tuple(pair.released for pair in pairs)


def _refuse_target(source: Path | None, out: Path) -> None:
    """Refuse to write where something is, or into what is being read."""
    if source is not None and source.is_dir():
        target = Path(os.path.realpath(out))
        if Path(os.path.realpath(source)) in (target, *target.parents):
            raise UsageError(f"{shown(out)} is inside the checkpoint's folder: choose another")
    if out.is_symlink() or out.exists():
        if not out.is_dir():
            raise UsageError(f"{shown(out)} exists and is not a folder: choose another path")
        if any(out.iterdir()):
            raise UsageError(f"{shown(out)} is not empty: choose another folder, or empty it first")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A name beside `out` to write to, that becomes `out` when all went well, and else vanishes."""
    temporary = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if out.is_dir() and not out.is_symlink():
            out.rmdir()
        temporary.rename(out)
    except (OSError, SafetensorError) as error:
        raise Unimo2Error(f"{shown(out)} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_names(
    folder: Path,
    files: Mapping[str, Path],
    config: Unimo2Config,
    pairs: Mapping[str, NamePair],
    allow_partial: bool,
) -> tuple[str, ...]:
    """Refuse unknown names and, unless allowed, missing ones; return the missing."""
    unknown = [name for name in files if name not in pairs and name not in NEVER_USED]
    missing = [name for name, p in pairs.items() if reads(config, p) and name not in files]
    problems = []
    if unknown:
        problems.append(f"unknown for a model of these numbers of layers: {_some(unknown)}")
    if missing and not allow_partial:
        problems.append(
            f"missing: {_some(missing)} (another size needs --config; --allow-partial keeps "
            "initial values there)"
        )
    if len(missing) == sum(reads(config, pair) for pair in pairs.values()):
        problems.append("no parameter of this model is there")
    if problems:
        raise BadCheckpoint(f"{shown(folder)}: {'; '.join(problems)}")
    return tuple(missing)


def _some(names: list[str]) -> str:
    """The first few names, and how many there are."""
    first = ", ".join(name if name.isprintable() else ascii(name) for name in names[:4])
    return first if len(names) <= 4 else f"{first}, ... ({len(names)} in all)"


def _with_stored_positions(
    config: Unimo2Config, files: Mapping[str, Path]
) -> tuple[Unimo2Config, tuple[str, ...]]:
    """Let the configuration's image size be the one that the stored positions belong to."""
    stored = _RELEASED_GRID
    if POSITIONS in files:
        shape = read_lodtensor(files[POSITIONS]).shape
        if len(shape) == 3:
            stored = math.isqrt(shape[1] - 1)
            if stored * stored != shape[1] - 1:
                stored = 0
    if stored != _RELEASED_GRID or config.patch_grid == stored:
        # Any other size has to be what the configuration says; `_fill` compares the shapes.
        return config, ()
    wanted, kept = config.image_size, stored * config.patch_size
    fields = {**config.to_dict(), "image_size": kept}
    note = (
        f"positions are stored for {kept} pixels and interpolated: the model's image_size is {kept}, "
        f"images of {wanted} pixels can be given as they are"
    )
    return Unimo2Config.from_dict(fields), (note,)


def _initial_state(config: Unimo2Config, seed: int) -> dict[str, Tensor]:
    """Initial weights in float32 of the model and of every part that its switches leave out.

    The token types, that the release has not, are zeros.
    """
    fields: dict[str, Any] = {**config.to_dict(), "contrastive_projection": True}
    if config.grounding == "none":
        fields["grounding"] = "nearest"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Unimo2Model(Unimo2Config.from_dict(fields))
    state = {name: value.detach().float() for name, value in model.state_dict().items()}
    state[TOKEN_TYPES].zero_()
    return state


def _fill(
    target: Tensor, pair: NamePair, array: np.ndarray[Any, np.dtype[Any]], path: Path
) -> None:
    """Copy one released parameter to its place."""
    expected = pair.released_shape(tuple(target.shape))
    if array.shape != expected:
        raise BadCheckpoint(
            f"{shown(path)}: shape {list(array.shape)}, the configuration needs {list(expected)}"
        )
    if array.dtype.kind != "f":
        raise BadCheckpoint(f"{shown(path)}: holds {array.dtype.name}, a weight is a real number")
    values = torch.from_numpy(array.astype(np.float32, copy=False))
    target[pair.rows(len(target))] = values.t() if pair.transposed else values


# The released configurations of every task, zero-shot retrieval too, say image_size 384.
RELEASED_IMAGE_SIZE = 384


def released_processor(
    source: str | Path, config: Unimo2Config, image_size: int = RELEASED_IMAGE_SIZE
) -> Unimo2Processor:
    """The processor that is written beside converted weights.

    Args:
        source: Folder or hub id of the tokenizer: RoBERTa's, whose ids 0 to 50264 are the release's.
        config: Configuration of the converted model.
        image_size: Side of the square that images are resized to, in pixels; positions are
            interpolated to it.

    Raises:
        MissingData: The tokenizer does not exist.
        UsageError: It has another vocabulary or other special tokens than the model, or the size is
            no multiple of the patches'.
    """
    if image_size < 1 or image_size % config.patch_size:
        raise UsageError(
            f"--image-size {image_size}: expected a multiple of the patch size {config.patch_size}"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(f"no tokenizer at '{source}': {reason}") from None
    if len(tokenizer) != config.vocab_size:
        raise UsageError(
            f"the tokenizer at '{source}': expected {config.vocab_size:,} entries, as the weights "
            f"have, got {len(tokenizer):,}; give the one that the weights were trained with "
            "(RoBERTa's for the release)"
        )
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        expected, found = getattr(config, name), getattr(tokenizer, name)
        if found != expected:
            raise UsageError(
                f"the tokenizer at '{source}': expected {name} {expected}, got {found}; give RoBERTa's"
            )
    longest = config.max_position_embeddings - config.pad_token_id - 1
    return Unimo2Processor(
        tokenizer, image_size=image_size, max_text_length=longest, pair_separators=1
    )
