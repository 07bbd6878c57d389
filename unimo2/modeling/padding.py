"""Round shapes: kernels are prepared for every new shape (on CPUs milliseconds each).

With lengths and numbers of rows rounded up, there are few shapes, and kernels have soon met them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100  # the label that cross entropy leaves out, as everywhere in PyTorch


_ROUND_LENGTH = 4  # tokens
_ROUND_ROWS = 64  # of the token head


def round_length(longest: int, limit: int) -> int:
    """The width of a batch of texts.

    Args:
        longest: tokens of the longest text.
        limit: tokens beyond which nothing is filled up for the sake of a round length.

    Returns:
        At least `longest`.
    """
    return max(longest, min(-(-longest // _ROUND_LENGTH) * _ROUND_LENGTH, limit))


def pad(tokens: Sequence[Tensor], pad_id: int, limit: int) -> tuple[Tensor, Tensor]:
    """Texts side by side.

    Args:
        tokens: int64 [n] each.
        pad_id: what shorter ones are filled up with.
        limit: as of `round_length`.

    Returns:
        int64 [b, N], and int64 [b, N] with 1 at real tokens.
    """
    lengths = torch.tensor([len(ids) for ids in tokens])
    width = round_length(int(lengths.max()) if len(tokens) else 0, limit)
    ids = torch.full((len(tokens), width), pad_id)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = text
    return ids, (torch.arange(width) < lengths[:, None]).long()


def selected_rows(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that are to be predicted, filled up to a round number of rows.

    Args:
        hidden: [R, N, H].
        labels: int64 [R, N], -100 where nothing is to be predicted.

    Returns:
        [rows, H] and int64 [rows], -100 in the rows that only fill up.
    """
    places = (labels != IGNORED).reshape(-1).nonzero().squeeze(1)
    missing = -len(places) % _ROUND_ROWS
    filled = functional.pad(places, (0, missing))
    wanted = functional.pad(labels.reshape(-1)[places], (0, missing), value=IGNORED)
    return hidden.flatten(0, 1)[filled], wanted
