"""Tokenised texts in one flat table, padded batch by batch without a loop over texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.modeling.padding import round_length


class TokenTable:
    """The token ids of many texts.

    Attributes:
        lengths: int64 [texts].
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[tuple[str, ...]],
        max_length: int,
    ) -> None:
        """Tokenise texts.

        Args:
            tokenizer: gives the ids, with its special tokens.
            texts: one sentence each, or a pair, which is encoded as `tokenizer(first, second)`.
            max_length: tokens kept of a text; of a pair, the longer sentence is cut first.
        """
        columns = [list(column) for column in zip(*texts, strict=True)]
        # What some encoders tell the two sentences of a pair apart by (BERT; not RoBERTa).
        self.has_types = "token_type_ids" in tokenizer.model_input_names
        encoded = tokenizer(
            *columns, truncation=True, max_length=max_length, return_token_type_ids=self.has_types
        )
        self.lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
        self._starts = self.lengths.cumsum(dim=0) - self.lengths
        self._ids = _flat(encoded["input_ids"])
        self._types = _flat(encoded["token_type_ids"]) if self.has_types else None
        self._longest = int(self.lengths.max())
        self._padding = int(tokenizer.pad_token_id or 0)

    def pad(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some texts as a batch.

        Args:
            rows: int64 [b], which.

        Returns:
            Token ids int64 [b, n] padded on the right, and int64 [b, n], 1 at real tokens.
        """
        places, mask = self._places(rows)
        return self._ids[places].long().masked_fill_(~mask, self._padding), mask.long()

    def types(self, rows: Tensor) -> Tensor | None:
        """Which sentence of a pair each token belongs to, int64 [b, n]; None for one kind only."""
        if self._types is None:
            return None
        places, mask = self._places(rows)
        return self._types[places].long().masked_fill_(~mask, 0)

    def digest(self) -> str:
        """sha256 of all ids and lengths."""
        content = hashlib.sha256(self._ids.numpy().tobytes())
        content.update(self.lengths.numpy().tobytes())
        return content.hexdigest()

    def _places(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the flat table, [b, n], and which of them are real."""
        lengths = self.lengths[rows][:, None]
        columns = torch.arange(round_length(int(lengths.max()), self._longest))
        return self._starts[rows][:, None] + columns.clamp(max=lengths - 1), columns < lengths


def _flat(rows: Sequence[Sequence[int]]) -> Tensor:
    total = sum(len(row) for row in rows)
    numbers = np.fromiter((number for row in rows for number in row), dtype=np.int32, count=total)
    return torch.from_numpy(numbers)
