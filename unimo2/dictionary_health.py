"""Whether the dictionary is in use: a collapse is said aloud, and rows out of use can start anew."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unimo2.distributed import of_main
from unimo2.modeling.grounding import GroundedDictionary


def collapse_warning(
    values: Mapping[str, float | int | None], floor: float, size: int, chosen: int
) -> str | None:
    """What to say where a dictionary collapses to a few rows.

    Args:
        values: a line of the log.
        floor: share of the rows in use below which it is said.
        size: C, rows of the dictionary.
        chosen: K, rows of one input.

    Returns:
        One line, or None where all is well or there is no dictionary.
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
    """How often each row was chosen, int64 [C].

    Args:
        indices: int64, chosen rows in any shape.
        size: C, rows of the dictionary.
    """
    return torch.bincount(indices.reshape(-1), minlength=size)


class RowUse(nn.Module):
    """Counts since when each row is out of use, and starts such rows anew (ours).

    A row that is never among the chosen gets no gradient and would stay where it is for ever. After
    `patience` batches it becomes one of the vectors that the towers give for the batch at hand.
    """

    idle: Tensor

    def __init__(self, rows: int, patience: int) -> None:
        """Begin with all rows in use.

        Args:
            rows: C, rows of the dictionary.
            patience: batches without use after which a row starts anew.
        """
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
        """Move rows that are out of use to vectors of a batch.

        Args:
            dictionary: whose rows they are; nothing must have been computed with it in this step.
            vision: [b, m + 1, D] tower outputs of images.
            text: [b, n, D] tower outputs of texts.
            mask: [b, n], 1 at real tokens.
            seed: of the choice among the vectors.
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
