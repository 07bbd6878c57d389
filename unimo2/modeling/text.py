"""The Text Transformer: RoBERTa of transformers, bidirectional or causal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, RobertaConfig, RobertaModel

from unimo2.errors import UsageError
from unimo2.modeling.attention import ATTENTION_NAME, key_bias, released_bias
from unimo2.modeling.configuration import Unimo2Config


class TextTransformer(nn.Module):
    """Tokens of a text to their representations (paper, section 3; RoBERTa, post-norm)."""

    def __init__(self, config: Unimo2Config) -> None:
        super().__init__()
        self.padding = config.padding
        self.longest = config.max_position_embeddings - config.pad_token_id - 1
        self.roberta = RobertaModel(roberta_config(config), add_pooling_layer=False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        causal: bool = False,
        cache: DynamicCache | None = None,
        context: int = 0,
    ) -> Tensor:
        """Encode texts.

        Args:
            input_ids: [b, n] token ids.
            attention_mask: [b, n], 1 for real tokens and 0 for padding; all real when None. With a
                cache it covers the cached tokens too, [b, cached + n].
            position_ids: [b, n]; counted from pad_token_id + 1 as RoBERTa does when None.
            causal: Whether a token sees earlier tokens only (captioning).
            cache: Keys and values of the tokens before; extended in place.
            context: With `causal`, how many tokens at the beginning are a text of their own that all
                others see (object tags of captioning); `position_ids` then count both texts.

        Returns:
            [b, n, hidden].

        Raises:
            UsageError: A text longer than the position table.
        """
        length = max(context, input_ids.shape[1] - context)
        if length > self.longest:
            raise UsageError(
                f"a text of {length} tokens is longer than the {self.longest} that this "
                "model has positions for: truncate it"
            )
        hidden = self.roberta.embeddings(input_ids=input_ids, position_ids=position_ids)
        bias = self._bias(input_ids.shape[1], attention_mask, causal, hidden, cache, context)
        # By position: the cache's name changed between versions of transformers, its place did not.
        return self.roberta.encoder(
            hidden, bias, None, None, cache, cache is not None
        ).last_hidden_state

    def _bias(
        self,
        queries: int,
        attention_mask: Tensor | None,
        causal: bool,
        hidden: Tensor,
        cache: DynamicCache | None,
        context: int,
    ) -> Tensor | None:
        """Additive mask of the self-attention, or None where every token sees every token."""
        if attention_mask is None and not causal:
            return None
        cached = 0 if cache is None else cache.get_seq_length()
        if attention_mask is None:
            attention_mask = hidden.new_ones(hidden.shape[0], cached + queries)
        if causal:
            counted = self.padding == "counted"
            attention_mask = causal_mask(attention_mask, queries, counted, context)
        if self.padding == "counted":
            return released_bias(attention_mask)
        return key_bias(attention_mask, torch.float32)


def causal_mask(
    attention_mask: Tensor, queries: int, counted: bool = False, context: int = 0
) -> Tensor:
    """Which keys each of the last `queries` tokens sees: itself and earlier real tokens.

    Args:
        attention_mask: [b, k], 1 for real tokens and 0 for padding.
        queries: q, number of tokens at the end of the k that ask.
        counted: Whether rows of padded queries are 0 throughout, as in the released code.
        context: Number of leading tokens that all tokens attend to, those included.

    Returns:
        [b, q, k] of ones and zeros.
    """
    keys = attention_mask.shape[1]
    earlier = torch.ones(queries, keys, dtype=attention_mask.dtype, device=attention_mask.device)
    earlier = earlier.tril(keys - queries)
    earlier[:, :context] = 1
    mask = earlier * attention_mask[:, None, :]
    if counted:
        return mask * attention_mask[:, -queries:, None]
    if context:
        # Where a text has no context at all, its padding would see nothing, and a softmax over
        # nothing is NaN: such rows attend to themselves, and no row attends to them.
        own = torch.ones_like(earlier).tril(keys - queries).triu(keys - queries)
        mask = mask.maximum(own)
    return mask


def roberta_config(config: Unimo2Config) -> RobertaConfig:
    """The transformers configuration of the text tower."""
    fields: dict[str, Any] = dict(  # checked by transformers itself
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.text_layers,
        num_attention_heads=config.text_attention_heads or config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        hidden_dropout_prob=config.hidden_dropout,
        attention_probs_dropout_prob=config.hidden_dropout,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=1,
        layer_norm_eps=config.layer_norm_eps,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        initializer_range=config.initializer_range,
        attn_implementation=ATTENTION_NAME,
    )
    return RobertaConfig(**fields)
