"""Writing trained models and documents, all or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import nn
from transformers import PreTrainedModel

from unimo2.errors import TrainingFailed
from unimo2.files import write_atomically, write_text


def save_model(model: PreTrainedModel, processor: Any, folder: Path, dtype: str) -> None:
    """Write weights (safetensors) and processor, all or nothing; for `TrainingTask.save`.

    Args:
        model: its weights and configuration.
        processor: a processor or tokenizer, saved beside them; None for none.
        folder: is replaced as a whole.
        dtype: of floating-point weights on disk: "float32", "float16" or "bfloat16".

    Raises:
        TrainingFailed: the folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    weights = {
        name: value.to(getattr(torch, dtype)) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    try:
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial, state_dict=weights)
        if processor is not None:
            processor.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    # safetensors has an error of its own for a full disk, and tokenizers the bare base class.
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingFailed(f"the model cannot be written to {folder}: {error}") from error


def save_tensors(module: nn.Module, path: Path) -> None:
    """Write a module's weights as one safetensors file, all or nothing.

    Raises:
        TrainingFailed: the file cannot be written.
    """
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    try:
        write_atomically(path, lambda stream: stream.write(to_bytes(weights)))
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"weights cannot be written to {path}: {error}") from error


def copy_folder(source: Path, target: Path) -> None:
    """Copy a model folder, replacing the target as a whole.

    Raises:
        TrainingFailed: the target cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingFailed(f"the model cannot be copied to {target}: {error}") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values as a JSON file, all or nothing."""
    write_text(path, json.dumps(values, indent=2) + "\n")
