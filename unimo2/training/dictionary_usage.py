"""Whether the dictionary is in use: a collapse is said aloud, and rows out of use can start anew."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unimo2.modeling.grounding import GroundedDictionary
from unimo2.modeling.model import Unimo2Model, Unimo2Output
from unimo2.training.distributed import balanced, of_main
from unimo2.training.logging import COUNTS


def collapse_warning(
    values: Mapping[str, float | int | None], floor: float, size: int, chosen: int
) -> str | None:
    """One line where a dictionary collapses to a few rows, else None.

    Args:
        values: A line of the log.
        floor: Share of the rows in use below which it is said.
        size: C, rows of the dictionary.
        chosen: K, rows of one input.
    """
    used = values.get("dictionary_used")
    if used is None or used >= floor:
        return None
    return (
        f"the dictionary collapses: {round(used * size)} of its {size} rows are in use "
        f"({100 * used:.0f} %, one input alone chooses {chosen}); "
        "training.restart_unused gives the others another start"
    )


def rows_chosen(indices: Tensor, size: int) -> Tensor:
    """How often each of the `size` rows was chosen, int64 [C]; indices in any shape."""
    return torch.bincount(indices.reshape(-1), minlength=size)


class RowUse(nn.Module):
    """Counts since when each row is out of use, and starts such rows anew (ours).

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
        vectors = torch.cat([vision[:, 1:].flatten(0, 1).float(), text[:, 1:][real].float()])
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(vectors), (len(rows),), generator=generator)
        # Every process has other vectors at hand: those of the first one are taken by all.
        chosen = of_main(vectors[drawn.to(vectors.device)].to(dictionary.embedding).contiguous())
        dictionary.embedding[rows] = chosen
        self.idle[rows] = 0


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
