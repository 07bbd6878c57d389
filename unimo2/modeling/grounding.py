"""The grounded dictionary: equations 1 to 3 of the paper, and the 1-to-1 map it is compared with.

Shapes: b batch, n tokens (patches and text tokens together), C dictionary rows, K chosen rows,
D width. All of it is computed in float32, whatever the precision around it: the sums over tokens
decide which rows are chosen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.token_statistics import IMAGE, TEXT, TokenStatistics

# Range to which the released code clips the temperature of equation 1.
_TEMPERATURE_RANGE = (1.0, 10000.0)


class Grounding(NamedTuple):
    """Output of the dictionary for a batch of inputs."""

    indices: Tensor  # [b, K] chosen rows, best first; [b, n] for the 1-to-1 map
    tokens: Tensor  # [b, K, D] those rows
    mask: Tensor | None  # [b, K] 0 where a grounded token belongs to padding (1-to-1 map only)
    loss: Tensor | None  # scalar, equation 3
    # The part of it that is a mean over the tokens that count; None where there is no such mean.
    token_loss: Tensor | None = None


class GroundedDictionary(nn.Module):
    """C embeddings shared by images and texts (paper, section 3.1)."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        self.chosen = config.grounded_tokens
        self.beta = config.beta
        self.reduction = config.loss_reduction
        self.nearest = config.grounding == "nearest"
        self.initial_temperature = config.grounding_temperature
        self.threshold = config.grounding_threshold
        rows, width = config.dictionary_size, config.hidden_size
        standard = config.grounding_scores == "standard" and not self.nearest
        self.statistics = TokenStatistics(rows, width) if standard else None
        self.embedding = nn.Parameter(torch.empty(config.dictionary_size, config.hidden_size))
        self.temperature = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw rows from U(-1/C, 1/C) and set the temperature back, as the released code does."""
        bound = 1.0 / self.embedding.shape[0]
        nn.init.uniform_(self.embedding, -bound, bound)
        nn.init.constant_(self.temperature, self.initial_temperature)

    def forward(
        self, tokens: Tensor, mask: Tensor | None, with_loss: bool = True, patches: int = 0
    ) -> Grounding:
        """Ground a batch of inputs.

        Args:
            tokens: [b, n, D] tower outputs without class and first token, patches first.
            mask: [b, n], 0 for tokens that do not count, or None when all do.
            with_loss: Whether equation 3 is computed.
            patches: Number of tokens that are patches.

        Returns:
            The chosen rows, best first, and the loss.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.float()
            if self.nearest:
                return self._nearest(tokens, mask, with_loss)
            if self.statistics is not None:
                if self.training and with_loss:
                    self._note(tokens, mask, patches)
                parts = (tokens[:, :patches], IMAGE), (tokens[:, patches:], TEXT)
                tokens = torch.cat([self.view(part, kind) for part, kind in parts], dim=1)
            similarity = self.similarity(tokens, mask)
            indices = self.select(self._accumulated(similarity, mask, patches))
            rows = self.embedding.float()[indices]  # [b, K, D]
            if not with_loss:
                return Grounding(indices, rows, None, None)
            loss, token_loss = self._loss(tokens, mask, similarity, indices, rows)
            return Grounding(indices, rows, None, loss, self._if_mean(token_loss))

    def similarity(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Equation 1: sigmoid(temperature * token . row), 0 for tokens that do not count.

        Args:
            tokens: [b, n, D], as `view` gives them.
            mask: [b, n] or None.

        Returns:
            [b, n, C] in float32.
        """
        temperature = self.temperature.float().clamp(*_TEMPERATURE_RANGE)
        similarity = tokens @ self.embedding.float().t()
        similarity = torch.sigmoid(temperature * (similarity - self.threshold))
        return similarity if mask is None else similarity * mask[:, :, None].to(similarity.dtype)

    def view(self, tokens: Tensor, kind: int) -> Tensor:
        """Tokens as the dictionary sees them: as they are, or in standard units, [b, n, D]."""
        return tokens if self.statistics is None else self.statistics.view(tokens, kind)

    def scores(self, tokens: Tensor, mask: Tensor | None = None, kind: int = IMAGE) -> Tensor:
        """Equation 2 for one modality: the similarities summed over its tokens, [b, C].

        An image's scores and a text's scores add up to the pair's, so that retrieval computes each
        once.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            similarity = self.similarity(self.view(tokens.float(), kind), mask)
            return self._accumulated(similarity, mask, tokens.shape[1] * (kind == IMAGE))

    def _accumulated(self, similarity: Tensor, mask: Tensor | None, patches: int) -> Tensor:
        """Sums over tokens, [b, n, C] to [b, C], in standard units where those are used."""
        if self.statistics is None:
            return similarity.sum(dim=1)
        scores = similarity.new_zeros(len(similarity), similarity.shape[2])
        for kind, part in _kinds(similarity.shape[1], patches):
            counts = _counts(similarity[:, part], None if mask is None else mask[:, part])
            sums = similarity[:, part].sum(dim=1)
            scores = scores + self.statistics.standard(sums, counts, kind)
        return scores

    @torch.no_grad()
    def _note(self, tokens: Tensor, mask: Tensor | None, patches: int) -> None:
        assert self.statistics is not None
        if mask is None:
            mask = tokens.new_ones(tokens.shape[:2])
        for kind, part in _kinds(tokens.shape[1], patches):
            real = mask[:, part]
            self.statistics.note_tokens(tokens[:, part], real, kind)
            similarity = self.similarity(self.view(tokens[:, part], kind), real)
            counts = _counts(similarity, real)
            self.statistics.note_sums(similarity.sum(dim=1), counts, kind)

    def select(self, scores: Tensor) -> Tensor:
        """The K rows with the largest accumulated scores, [b, C] to [b, K], best first."""
        return scores.topk(self.chosen, dim=-1).indices

    def rows(self, indices: Tensor) -> Tensor:
        """The dictionary's rows of these indices, [b, K] to [b, K, D]."""
        return self.embedding[indices]

    def _loss(
        self, tokens: Tensor, mask: Tensor | None, similarity: Tensor, indices: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Equation 3 over the chosen rows, and its first term.

        Dictionary towards tokens, and tokens towards dictionary.
        """
        chosen = similarity.gather(2, indices[:, None].expand(-1, similarity.shape[1], -1))
        # chosen: [b, n, K]. A token that does not count has only zeros: 0 / tiny stays 0.
        tiny = torch.finfo(chosen.dtype).tiny
        shares = chosen / chosen.sum(dim=2, keepdim=True).clamp_min(tiny)
        towards_tokens = tokens.detach() - shares @ rows  # [b, n, D]
        weights = chosen / chosen.sum(dim=1, keepdim=True).clamp_min(tiny)
        towards_rows = rows.detach() - weights.transpose(1, 2) @ tokens  # [b, K, D]
        first = self._reduce(towards_tokens, mask)
        return first + self.beta * self._reduce(towards_rows, None), first

    def _if_mean(self, loss: Tensor) -> Tensor | None:
        return loss if self.reduction == "mean" else None

    def _nearest(self, tokens: Tensor, mask: Tensor | None, with_loss: bool) -> Grounding:
        """The 1-to-1 map: each token's nearest row by squared distance (van den Oord, 2017)."""
        table = self.embedding.float()
        distances = (
            tokens.square().sum(dim=2, keepdim=True)
            - 2.0 * (tokens @ table.t())
            + table.square().sum(dim=1)
        )
        indices = distances.argmin(dim=2)  # [b, n]
        rows = table[indices]
        if not with_loss:
            return Grounding(indices, rows, mask, None)
        loss = self._reduce(rows - tokens.detach(), mask)
        loss = loss + self.beta * self._reduce(rows.detach() - tokens, mask)
        return Grounding(indices, rows, mask, loss, self._if_mean(loss))

    def _reduce(self, difference: Tensor, mask: Tensor | None) -> Tensor:
        """Squared error, [b, m, D] to a scalar: mean of the elements that count, or sum a sample."""
        squares = difference.square()
        if mask is not None:
            squares = squares * mask[:, :, None].to(squares.dtype)
        if self.reduction == "sum":
            return squares.sum() / len(squares)
        # In standard units tokens have length 1, and not one that grows with the dimensions.
        elements = 1 if self.statistics is not None else squares.shape[2]
        tokens = squares[..., 0].numel() if mask is None else mask.sum().clamp_min(1)
        return squares.sum() / (tokens * elements)


def _kinds(tokens: int, patches: int) -> list[tuple[int, slice]]:
    """The kinds of tokens that there are, and where: patches come first."""
    parts = [(IMAGE, slice(0, patches)), (TEXT, slice(patches, tokens))]
    return [(kind, part) for kind, part in parts if part.stop > part.start]


def _counts(similarity: Tensor, mask: Tensor | None) -> Tensor:
    """Number of tokens that are not padding, [b]."""
    if mask is None:
        return similarity.new_full((len(similarity),), similarity.shape[1])
    return mask.sum(dim=1).to(similarity.dtype)
