"""Token ids of texts: computed once and held in memory, or on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.data.tables import RepeatedStrings, Strings
from unimo2.modeling.padding import pad


class TokenTable:
    """The token ids of many texts, in one piece of memory."""

    def __init__(
        self,
        ids: Iterable[Sequence[int]],
        padding: int = 0,
        types: Iterable[Sequence[int]] | None = None,
    ) -> None:
        """Take token ids of each text, and perhaps which sentence of a pair each belongs to."""
        rows = list(ids)
        self.lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        self.longest = int(self.lengths.max()) if rows else 0
        self._starts = self.lengths.cumsum(dim=0) - self.lengths
        self._ids = _flat(rows)
        self._types = None if types is None else _flat(types)
        self._padding = padding

    @classmethod
    def encode(
        cls, tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]], max_length: int
    ) -> TokenTable:
        """Tokenise texts: one sentence each, or a pair, whose longer sentence is cut first."""
        if not texts:
            return cls([])
        columns = [list(column) for column in zip(*texts, strict=True)]
        # What some encoders tell the two sentences of a pair apart by (BERT; not RoBERTa).
        typed = "token_type_ids" in tokenizer.model_input_names
        encoded = tokenizer(
            *columns, truncation=True, max_length=max_length, return_token_type_ids=typed
        )
        types = encoded["token_type_ids"] if typed else None
        return cls(encoded["input_ids"], int(tokenizer.pad_token_id or 0), types)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def fingerprint(self) -> str:
        """sha256 over all ids, as checkpoints of pre-training have it."""
        return hashlib.sha256(self._ids.long().numpy().data).hexdigest()

    def digest(self) -> str:
        """sha256 of all ids and lengths, as checkpoints of fine-tuning have it."""
        content = hashlib.sha256(self._ids.numpy().tobytes())
        content.update(self.lengths.numpy().tobytes())
        return content.hexdigest()

    def tokens(self, rows: Tensor) -> list[Tensor]:
        """Token ids of some texts, int64 [n] each."""
        return self._cut(self._ids, rows)

    def pad(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some texts as a batch: int64 [b, n] padded on the right, and [b, n], 1 at real tokens."""
        return pad(self.tokens(rows), self._padding, self.longest)

    def types(self, rows: Tensor) -> Tensor | None:
        """Sentence of the pair that each token belongs to, int64 [b, n]; None for a single kind."""
        if self._types is None:
            return None
        return pad(self._cut(self._types, rows), 0, self.longest)[0]

    def _cut(self, table: Tensor, rows: Tensor) -> list[Tensor]:
        starts, lengths = self._starts[rows].tolist(), self.lengths[rows].tolist()
        places = zip(starts, lengths, strict=True)
        return [table[start : start + length].long() for start, length in places]

    def facts(self) -> dict[str, object]:
        """Number of texts as blocks, and of tokens in all of them, special ones not counted."""
        return {"blocks": len(self), "tokens": int(self.lengths.sum()) - 2 * len(self)}


def _flat(rows: Iterable[Sequence[int]]) -> Tensor:
    return torch.from_numpy(np.fromiter(chain.from_iterable(rows), dtype=np.int32))


class LazyTokenTable:
    """Texts in little memory, tokenised when they are due; lengths are in bytes."""

    def __init__(
        self,
        texts: Strings | RepeatedStrings,
        lengths: Tensor,
        fingerprint: str,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        """Take texts with what is known of them; `max_length` as for `TokenTable.encode`."""
        self._texts, self._tokenizer = texts, tokenizer
        self.lengths, self.fingerprint, self.longest = lengths, fingerprint, max_length

    def tokens(self, rows: Tensor) -> list[Tensor]:
        """Token ids of some texts, int64 [n] each."""
        texts = [self._texts[number] for number in rows.tolist()]
        encoded = self._tokenizer(texts, truncation=True, max_length=self.longest)
        return [torch.tensor(ids) for ids in encoded["input_ids"]]
