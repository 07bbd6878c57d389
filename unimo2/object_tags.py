"""Names of detected objects as a text that captions are written with (released code, COCO).

The released run gives the caption's words a second text to look at. Its tokens see each other and
the image, every word of the caption sees them, and they see no word of the caption. Positions of
both texts are counted from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from unimo2.padding import pad

# Tokens of an image's tags (released code).
LONGEST = 100


@dataclass(frozen=True)
class TagTokens:
    """Object tags of a batch of images; g may be more than any of them has.

    Attributes:
        input_ids: int64 [b, g], padded on the right.
        attention_mask: int64 [b, g], 1 at real tokens; a row without any is an image without tags.
    """

    input_ids: Tensor
    attention_mask: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], pad_id: int, longest: int) -> TagTokens | None:
        """Put images together.

        Args:
            rows: Token ids of each image's tags, none for an image without tags.
            pad_id: What shorter ones are filled up with.
            longest: Tokens that the model has positions for.

        Returns:
            The batch; None where no image has tags.
        """
        if not any(rows):
            return None
        tokens = [torch.tensor(list(row), dtype=torch.int64) for row in rows]
        return cls(*pad(tokens, pad_id, longest))

    def to(self, device: torch.device) -> TagTokens:
        """The same on another device."""
        return TagTokens(self.input_ids.to(device), self.attention_mask.to(device))

    def positions(self, first: int) -> Tensor:
        """Position ids [b, g], the first token's being `first`."""
        columns = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        return (columns + first).expand(self.input_ids.shape)


def tag_tokens(
    tokenizer: PreTrainedTokenizerBase, tags: Sequence[Sequence[str]], positions: int
) -> list[list[int]]:
    """Tags as token ids: "<s>dog frisbee</s>", in their order.

    Args:
        tokenizer: The model's.
        tags: Of each image.
        positions: Tokens that the model has positions for; of more, and of more than the released
            code's 100, the last ones are left out.

    Returns:
        Token ids of each image, start and end token included; none for an image without tags.
    """
    texts = [" ".join(names) for names in tags]
    if not any(texts):
        return [[] for _ in texts]
    encoded = tokenizer(texts, truncation=True, max_length=min(LONGEST, positions))
    rows = cast(list[list[int]], encoded["input_ids"])
    return [row if text else [] for row, text in zip(rows, texts, strict=True)]
