"""Token statistics of the dictionary: the mean token and each row's mean score, by kind (ours).

Equation 2 adds similarities over all tokens of an input, and takes the rows with the largest sums. Most
patches of a picture show its background, all tokens of a modality have much in common, and a saturated
sigmoid says yes to most of them: the same rows win whatever there is to see. In standard units a row is
chosen where an input has more of it than inputs usually have.

Shapes: b batch, n tokens, C dictionary rows, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unimo2.devices import total

# The kinds of tokens.
IMAGE, TEXT = 0, 1
# Share of a new batch in the running means, once there were many.
_MOMENTUM = 0.01
_TINY = 1e-4


class TokenStatistics(nn.Module):
    """Running means over training batches; part of the checkpoint."""

    mean: Tensor  # [2, D] of the tokens
    usual: Tensor  # [2, C] similarity of a token with a row
    spread: Tensor  # [2, C] root mean square of a sum's distance from the usual, a root token
    batches: Tensor  # int64 [2], that were taken in

    def __init__(self, rows: int, width: int) -> None:
        """Begin with nothing known: tokens and scores stay as they are but for their length."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, width))
        self.register_buffer("usual", torch.zeros(2, rows))
        self.register_buffer("spread", torch.ones(2, rows))
        self.register_buffer("batches", torch.zeros(2, dtype=torch.long))

    def view(self, tokens: Tensor, kind: int) -> Tensor:
        """Tokens without what all of their kind have in common, of length 1, [b, n, D]."""
        return F.normalize(tokens - self.mean[kind], dim=-1)

    def standard(self, sums: Tensor, counts: Tensor, kind: int) -> Tensor:
        """Sums of similarities in standard units.

        Args:
            sums: [b, C] over tokens of a kind.
            counts: [b], how many tokens that were.
            kind: `IMAGE` or `TEXT`.
        """
        return (sums - counts[:, None] * self.usual[kind]) / self.spread[kind]

    @torch.no_grad()
    def note_tokens(self, tokens: Tensor, mask: Tensor, kind: int) -> None:
        """Take in a training batch's tokens, [b, n, D] and [b, n], of all processes."""
        weights = mask.to(tokens.dtype)
        mean = total((tokens * weights[:, :, None]).sum(dim=(0, 1))) / total(weights.sum())
        self.mean[kind].lerp_(mean, self._share(kind))

    @torch.no_grad()
    def note_sums(self, sums: Tensor, counts: Tensor, kind: int) -> None:
        """Take in a training batch's sums, [b, C] and [b]; once for each `note_tokens`, after it."""
        share, items = self._share(kind), total(torch.ones_like(counts).sum())
        usual = total(sums.sum(dim=0)) / total(counts.sum())
        distance = (sums - counts[:, None] * usual).square() / counts[:, None].clamp_min(1)
        spread = (total(distance.sum(dim=0)) / items).sqrt() + _TINY
        self.usual[kind].lerp_(usual, share)
        self.spread[kind].lerp_(spread, share)
        self.batches[kind] += 1

    def _share(self, kind: int) -> float:
        return max(_MOMENTUM, 1.0 / (1 + int(self.batches[kind])))
