"""Fold the matching head of a trained model, so that logit[1] holds only what training decided.

    python examples/fold_matching_head.py zoo/checkpoints/mini folded

Cross entropy over the two matching logits trains their difference. What both have in common stays as
it started, yet retrieval's score reads logit[1] alone, and that common part differs by caption. The
folded head is w1 <- (w1 - w0) / 2 and w0 <- -w1, its bias likewise: the probabilities of "match" are
those of before, and logit[1] is half of the difference. The weight of the contrastive score belongs to
the old logits and must be chosen again (`evals.retrieval.weight.choose_weight`).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

HEAD = ("itm_head.weight", "itm_head.bias")


def fold(rows: Tensor) -> Tensor:
    """Fold one parameter of the head.

    Args:
        rows: [2, ...], row 0 for "no match" and row 1 for "match".

    Returns:
        [2, ...] in the same dtype, row 0 the negative of row 1.
    """
    half = (rows[1].float() - rows[0].float()) / 2
    return torch.stack([-half, half]).to(rows.dtype)


def fold_folder(source: Path, target: Path) -> None:
    """Write a copy of a model's folder with its matching head folded.

    Args:
        source: Folder with `model.safetensors` and its configuration.
        target: Folder to write, which must not exist yet.

    Raises:
        FileExistsError: There is something at `target`.
        KeyError: The weights have no matching head.
    """
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    weights = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    folded = {name: fold(weights[name]) for name in HEAD}
    save_file(weights | folded, path, metadata=metadata)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="folder of the model")
    parser.add_argument("target", type=Path, help="folder to write")
    arguments = parser.parse_args()
    fold_folder(arguments.source, arguments.target)
