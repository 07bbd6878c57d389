"""Dictionary usage: warn of a collapse, and reinitialise rows that are out of use."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unimo2.modeling.grounding import GroundedDictionary
from unimo2.modeling.model import Unimo2Model, Unimo2Output
from unimo2.modeling.token_statistics import IMAGE, TEXT
from unimo2.training.distributed import balanced, of_main
from unimo2.training.logging import COUNTS


def collapse_warning(
    values: Mapping[str, float | int | None], floor: float, size: int, chosen: int
) -> str | None:
    """One line where a dictionary collapses to a few rows, else None.

    Args:
        values: A line of the log.
        floor: Share of the rows in use below which a warning is given.
        size: C, rows of the dictionary.
        chosen: K, rows of one input.
    """
    used = values.get("dictionary_used")
    if used is None or used >= floor:
        return None
    return (
        f"the dictionary is collapsing: {round(used * size)} of its {size} rows are in use "
        f"({100 * used:.0f} %, one input alone chooses {chosen}); "
        "training.restart_unused reinitialises the others"
    )


def rows_chosen(indices: Tensor, size: int) -> Tensor:
    """Number of times each of the `size` rows was chosen, int64 [C]; indices in any shape."""
    return torch.bincount(indices.reshape(-1), minlength=size)


class RowUse(nn.Module):
    """Counts how long each row has been out of use, and reinitialises such rows (ours).

    A row that is never among the chosen gets no gradient and would stay where it is for ever. After
    `patience` batches it becomes one of the vectors that the towers give for the batch at hand.
    """

    idle: Tensor

    def __init__(self, rows: int, patience: int) -> None:
        super().__init__()
        self.patience = patience
        # A buffer, so that it is part of the checkpoint.
        self.register_buffer("idle", torch.zeros(rows, dtype=torch.long))

    @torch.no_grad()
    def note(self, counts: Tensor) -> None:
        """Take in how often each row was chosen in a batch, int64 [C] over all processes."""
        self.idle.add_(1).masked_fill_(counts > 0, 0)

    @torch.no_grad()
    def restart(
        self, dictionary: GroundedDictionary, vision: Tensor, text: Tensor, mask: Tensor, seed: int
    ) -> None:
        """Move rows that are out of use to vectors of a batch, drawn by `seed`.

        Nothing must have been computed with the dictionary in this step. `vision` is [b, m + 1, D],
        `text` [b, n, D] and `mask` [b, n].
        """
        rows = (self.idle >= self.patience).nonzero().squeeze(1)
        if not len(rows):
            return
        real = mask[:, 1:].bool()
        patches, words = _views(dictionary, vision, text)
        vectors = torch.cat([patches.flatten(0, 1), words[real]])
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(vectors), (len(rows),), generator=generator)
        # Every process has other vectors at hand: those of the first one are taken by all.
        chosen = of_main(vectors[drawn.to(vectors.device)].to(dictionary.embedding).contiguous())
        dictionary.embedding[rows] = chosen
        self.idle[rows] = 0


def _views(dictionary: GroundedDictionary, vision: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Patches and words of tower outputs as the dictionary sees them."""
    return dictionary.view(vision[:, 1:].float(), IMAGE), dictionary.view(text[:, 1:].float(), TEXT)


# Candidates among which the next row is the one that is least like all before.
_CANDIDATES = 256


@torch.no_grad()
def start_from_tokens(
    dictionary: GroundedDictionary, vision: Tensor, text: Tensor, mask: Tensor, seed: int
) -> None:
    """Begin a dictionary in standard units: rows from patches and words that differ most (ours).

    Its statistics are still empty; arguments as of `RowUse.restart`.
    """
    assert dictionary.statistics is not None
    real, generator = mask[:, 1:], torch.Generator().manual_seed(seed)
    patches = vision[:, 1:].float()
    dictionary.statistics.note_tokens(patches, real.new_ones(patches.shape[:2]), IMAGE)
    dictionary.statistics.note_tokens(text[:, 1:].float(), real, TEXT)
    seen, words = _views(dictionary, vision, text)
    half = len(dictionary.embedding) // 2
    rows = [
        _spread_out(seen.flatten(0, 1), half, generator),
        _spread_out(words[real.bool()], len(dictionary.embedding) - half, generator),
    ]
    dictionary.embedding.copy_(of_main(torch.cat(rows).to(dictionary.embedding).contiguous()))


def _spread_out(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Some of many vectors of length 1, farthest first among a few, [m, D] to [count, D]."""
    chosen = [vectors[0]]
    nearest = vectors @ vectors[0]  # cosine with the nearest one chosen
    for _ in range(count - 1):
        few = torch.randint(len(vectors), (_CANDIDATES,), generator=generator).to(vectors.device)
        best = few[nearest[few].argmin()]
        chosen.append(vectors[best])
        nearest = torch.maximum(nearest, vectors @ vectors[best])
    return torch.stack(chosen)


def fuse_pooled(
    model: Unimo2Model,
    vision: Tensor | None,
    text: Tensor | None,
    mask: Tensor | None,
    with_grounding_loss: bool,
) -> tuple[Unimo2Output, Tensor | None, Tensor | None]:
    """Fuse tower outputs as far as the pooled outputs need it.

    Returns:
        The output with pooled fields alone; equation 3 where it was asked for and the model has a
        dictionary; and the dictionary rows that were chosen, int64 [b, K], or None.
    """
    if model.dictionary is None or (model.dictionary.nearest and not with_grounding_loss):
        return model.fuse(vision, text, mask, pooled_only=True), None, None
    # No gradient goes through the choice of rows: without the loss nothing needs to be kept of it.
    with torch.set_grad_enabled(with_grounding_loss and torch.is_grad_enabled()):
        grounding = model.ground(vision, text, mask, with_loss=with_grounding_loss)
    chosen = None if model.dictionary.nearest else grounding.indices
    out = model.fuse(vision, text, mask, pooled_only=True, grounded_indices=chosen)
    loss = grounding.loss
    if loss is not None and text is not None:
        tokens = text.new_tensor(text[:, 1:, 0].numel()) if mask is None else mask[:, 1:].sum()
        patches = 0 if vision is None else vision[:, 1:, 0].numel()
        loss = balanced(grounding, tokens + patches)
    return out, loss, grounding.indices


@torch.no_grad()
def dictionary_news(model: Unimo2Model, indices: Tensor | None) -> dict[str, Tensor]:
    """What the log says about the dictionary: nothing where there is none, or no row is known.

    How often each row was chosen, int64 [C], under the name from which the log computes its use,
    and the temperature of the choice.
    """
    if model.dictionary is None or indices is None:
        return {}
    news = {COUNTS: rows_chosen(indices, model.config.dictionary_size)}
    if not model.dictionary.nearest:
        news["grounding_temperature"] = model.dictionary.temperature.detach().squeeze()
    return news
