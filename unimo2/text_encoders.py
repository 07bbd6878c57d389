"""Text encoders of transformers: how long a text may be, whatever the kind of encoder."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the longest text that a model takes, special ones included.

    Args:
        model: An encoder; a table of positions with a row for padding (RoBERTa) counts from there.
        tokenizer: Its own.

    Returns:
        The smaller of what the tokenizer says and what the model has positions for.
    """
    limit = int(min(tokenizer.model_max_length, 2**31))
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = min(limit, module.num_embeddings - unused)
    return limit
