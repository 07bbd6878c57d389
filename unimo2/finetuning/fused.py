"""Parts of the forward pass that fine-tuning needs in another order than the model's own."""

from __future__ import annotations

import torch
from torch import Tensor

from unimo2.dictionary_health import rows_chosen
from unimo2.distributed import balanced
from unimo2.modeling.model import Unimo2Model, Unimo2Output
from unimo2.training_log import COUNTS


def fuse_pooled(
    model: Unimo2Model,
    vision: Tensor | None,
    text: Tensor | None,
    mask: Tensor | None,
    with_grounding_loss: bool,
) -> tuple[Unimo2Output, Tensor | None, Tensor | None]:
    """Fuse tower outputs as far as the pooled outputs need it.

    Args:
        model: the model.
        vision: [b, p + 1, D] or None.
        text: [b, n, D] or None.
        mask: [b, n] or None.
        with_grounding_loss: whether equation 3 is computed.

    Returns:
        The output with pooled fields alone; the grounding loss where it was asked for and the
        model has a dictionary; and the dictionary rows that were chosen, int64 [b, K], or None.
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
    """What the log says about the dictionary.

    Args:
        model: the model.
        indices: rows that were chosen, int64; None where that is not known.

    Returns:
        How often each row was chosen, int64 [C], under the name from which the log computes its
        use, and the temperature of the choice; nothing without a dictionary.
    """
    if model.dictionary is None or indices is None:
        return {}
    news = {COUNTS: rows_chosen(indices, model.config.dictionary_size)}
    if not model.dictionary.nearest:
        news["grounding_temperature"] = model.dictionary.temperature.detach().squeeze()
    return news


@torch.no_grad()
def pair_rows(
    model: Unimo2Model, vision: Tensor, text: Tensor, mask: Tensor, images: Tensor, texts: Tensor
) -> Tensor | None:
    """Grounded tokens of many pairs from scores summed once for each image and each text.

    Args:
        model: the model.
        vision: [i, p + 1, D].
        text: [t, n, D].
        mask: [t, n].
        images: int64 [pairs], rows of vision.
        texts: int64 [pairs], rows of text.

    Returns:
        int64 [pairs, K]; None where the model chooses for itself (1-to-1 map, no dictionary).
    """
    dictionary = model.dictionary
    if dictionary is None or dictionary.nearest:
        return None
    counted = model.config.padding == "counted"
    image_scores = dictionary.scores(vision[:, 1:])  # [i, C]
    text_scores = dictionary.scores(text[:, 1:], None if counted else mask[:, 1:])  # [t, C]
    return dictionary.select(image_scores[images] + text_scores[texts])
