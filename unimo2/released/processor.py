"""The processor of converted weights: RoBERTa's tokenizer, images and pairs as the released code has them."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unimo2.errors import MissingData, UsageError
from unimo2.modeling.configuration import Unimo2Config
from unimo2.processing import Unimo2Processor

# The released configurations of every task, zero-shot retrieval too, say image_size 384.
RELEASED_IMAGE_SIZE = 384


def released_processor(
    source: str | Path, config: Unimo2Config, image_size: int = RELEASED_IMAGE_SIZE
) -> Unimo2Processor:
    """The processor that is written beside converted weights.

    Args:
        source: Folder or hub id of the tokenizer: RoBERTa's, whose ids 0 to 50264 are the release's.
        config: Configuration of the converted model.
        image_size: Side of the square that images are resized to, in pixels; positions are
            interpolated to it.

    Raises:
        MissingData: The tokenizer does not exist.
        UsageError: It has another vocabulary or other special tokens than the model, or the size is
            no multiple of the patches'.
    """
    if image_size < 1 or image_size % config.patch_size:
        raise UsageError(
            f"--image-size {image_size}: expected a multiple of the patch size {config.patch_size}"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingData(f"no tokenizer at '{source}': {reason}") from None
    if len(tokenizer) != config.vocab_size:
        raise UsageError(
            f"the tokenizer at '{source}': expected {config.vocab_size:,} entries, as the weights "
            f"have, got {len(tokenizer):,}; give the one that the weights were trained with "
            "(RoBERTa's for the release)"
        )
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        expected, found = getattr(config, name), getattr(tokenizer, name)
        if found != expected:
            raise UsageError(
                f"the tokenizer at '{source}': expected {name} {expected}, got {found}; give RoBERTa's"
            )
    longest = config.max_position_embeddings - config.pad_token_id - 1
    return Unimo2Processor(
        tokenizer, image_size=image_size, max_text_length=longest, pair_separators=1
    )
