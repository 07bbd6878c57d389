"""Random texts, and a way to hide spans of them, for the tests of masking and of the losses."""

from __future__ import annotations

import torch

from unimo2.data.masking import MaskedText, MaskingSpec, mask_spans

BOS, PAD, EOS, UNK, MASK, VOCAB = 0, 1, 2, 3, 99, 100
SPEC = MaskingSpec(
    mask_id=MASK, special_ids=(BOS, PAD, EOS, UNK, MASK), vocab_size=VOCAB, max_length=64
)


def texts(rows: int, shortest: int = 1, longest: int = 62, seed: int = 0) -> torch.Tensor:
    """Random texts `<s> ... </s> <pad> ...` of different lengths, int64 [rows, 64]."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((rows, 64), PAD)
    for row in range(rows):
        length = int(torch.randint(shortest, longest + 1, (1,), generator=generator))
        ids[row, 0] = BOS
        ids[row, 1 : 1 + length] = torch.randint(4, 99, (length,), generator=generator)
        ids[row, 1 + length] = EOS
    return ids


def masked(ids: torch.Tensor, spec: MaskingSpec = SPEC, seed: int = 1) -> MaskedText:
    """Mask texts with noise of a seed."""
    noise = spec.draw(len(ids), torch.Generator().manual_seed(seed))
    return mask_spans(ids, noise, spec)
