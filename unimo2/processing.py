"""Images and sentences to tensors: one processor, saved with the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from transformers import (
    AutoProcessor,
    BatchEncoding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.processing_utils import ProcessorMixin

from unimo2.errors import BadCheckpoint, UsageError
from unimo2.formats.images import to_rgb
from unimo2.modeling.configuration import Unimo2Config

DEFAULT_MEAN = (0.5, 0.5, 0.5)
DEFAULT_STD = (0.5, 0.5, 0.5)

# RoBERTa's special tokens; these four have the ids 0 to 3, and <mask> has the last one.
_FIRST_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_MASK = "<mask>"
_SMALLEST_VOCABULARY = len(_FIRST_SPECIALS) + 256 + 1

PLAIN_SENTENCES = Path(__file__).with_name("plain_english.txt").read_text("utf-8").splitlines()
"""A little general English, written for this project: the mini tokenizer learns from it the pieces of
everyday captions and questions, beyond the words of the drawn scenes."""

# What `_as_list` says of one and of several.
_IMAGES = (
    "a PIL image",
    "a list of them, not {}; unimo2.formats.images.load_image reads one from a file",
)
_TEXTS = ("a string", "a list of strings, not {}")
Item = TypeVar("Item")


class Unimo2Processor(ProcessorMixin):
    """What stands between files and the model: an image processor and a tokenizer.

    `save_pretrained` writes `processor_config.json` and the tokenizer's files beside the weights;
    `from_pretrained` of that folder, or of a hub id, restores all of it.
    """

    tokenizer: PreTrainedTokenizerBase

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        image_size: int = 224,
        image_mean: Sequence[float] = DEFAULT_MEAN,
        image_std: Sequence[float] = DEFAULT_STD,
        max_text_length: int = 512,
        pair_separators: int = 2,
    ) -> None:
        """Put the two together.

        Args:
            tokenizer: with RoBERTa's special tokens, as `train_tokenizer` makes it.
            image_size: width and height of the model's input in pixels; pictures are resized to
                this square, whatever their shape.
            image_mean: subtracted from the red, green and blue of pictures scaled to [0, 1].
            image_std: what they are then divided by.
            max_text_length: tokens, <s> and </s> included, beyond which texts are cut.
            pair_separators: </s> between the two sentences of a pair: 2 as RoBERTa has them, or 1 as
                the released code, which converted weights are given.

        Raises:
            UsageError: a size that is not positive, not three means and standard deviations, or
                other separators.
        """
        super().__init__(tokenizer)
        if image_size < 1 or max_text_length < 2:
            raise UsageError(
                f"image_size {image_size} and max_text_length {max_text_length}: "
                "needs at least 1 pixel and 2 tokens"
            )
        if len(image_mean) != 3 or len(image_std) != 3 or not all(value > 0 for value in image_std):
            raise UsageError(
                f"image_mean {list(image_mean)} and image_std {list(image_std)}: "
                "needs three numbers each, the latter above 0"
            )
        self.image_size = image_size
        self.image_mean = list(map(float, image_mean))
        self.image_std = list(map(float, image_std))
        self.max_text_length = max_text_length
        if pair_separators not in (1, 2):
            raise UsageError(
                f"pair_separators {pair_separators}: expected 2 (RoBERTa's) or 1 (the released code's)"
            )
        self.pair_separators = pair_separators
        if pair_separators == 1:
            _separate_once(tokenizer)

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image] | None = None,
        text: str | Sequence[str] | None = None,
        padding: bool | str = True,
        truncation: bool = True,
        max_length: int | None = None,
    ) -> BatchEncoding:
        """Make a batch of pictures, of texts, or of both.

        Args:
            images: one PIL image of any mode and size, or several.
            text: one text, or several. Their number need not be that of the images.
            padding: True pads to the longest text of the batch, "max_length" to `max_length`.
            truncation: whether texts of more than `max_length` tokens are cut (keeping </s>).
            max_length: in tokens; `max_text_length` if None.

        Returns:
            What the model's forward takes: pixel_values [images, 3, size, size] float32, and
            input_ids and attention_mask [texts, tokens] int64; only those that were given.

        Raises:
            UsageError: nothing was given, or something that is neither picture nor text.
        """
        if images is None and text is None:
            raise UsageError("the processor needs images, text, or both")
        batch: dict[str, Tensor] = {}
        if images is not None:
            batch["pixel_values"] = self.pixel_values(images)
        if text is not None:
            limit = self.max_text_length if max_length is None else max_length
            needs_limit = truncation or padding == "max_length"
            encoded = self.tokenizer(
                _as_list(text, str, "text", *_TEXTS),
                padding=padding,
                truncation=truncation,
                max_length=limit if needs_limit else None,
                return_tensors="pt",
            )
            batch["input_ids"] = encoded["input_ids"]
            batch["attention_mask"] = encoded["attention_mask"]
        return BatchEncoding(batch)

    def pixel_values(self, images: Image.Image | Sequence[Image.Image]) -> Tensor:
        """Pictures alone, as `__call__` makes them: [images, 3, size, size] float32."""
        size = (self.image_size, self.image_size)
        squares = [
            np.asarray(to_rgb(image).resize(size))
            for image in _as_list(images, Image.Image, "images", *_IMAGES)
        ]
        stacked = torch.from_numpy(np.stack(squares))  # [b, size, size, 3] uint8
        pixels = stacked.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255.0)
        mean = torch.tensor(self.image_mean).view(3, 1, 1)
        std = torch.tensor(self.image_std).view(3, 1, 1)
        return pixels.sub_(mean).div_(std)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors in a full batch."""
        return ["pixel_values", "input_ids", "attention_mask"]


def load_processor(folder: Path) -> Unimo2Processor:
    """The processor that lies beside a model's weights.

    Raises:
        BadCheckpoint: there is none, or its tokenizer is another model's, as the sizes show.
    """
    if not (folder / "processor_config.json").is_file():
        raise BadCheckpoint(
            f"{folder}: expected processor_config.json and a tokenizer beside the weights, got none; "
            "convert released weights with 'unimo2 zoo convert --tokenizer', or save a "
            "Unimo2Processor there"
        )
    loaded: Unimo2Processor = Unimo2Processor.from_pretrained(folder)
    words = max(loaded.tokenizer.get_vocab().values()) + 1
    rows = Unimo2Config.from_pretrained(folder).vocab_size
    if words != rows:
        raise BadCheckpoint(
            f"{folder}: the tokenizer has {words:,} tokens where the model has embeddings for {rows:,}: "
            "it is another model's; put the model's own beside config.json"
        )
    return loaded


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE from texts and a little general English.

    All 256 bytes are in the alphabet, so any text in any script becomes tokens, never <unk>, and
    decodes to itself.

    Args:
        texts: what the tokenizer is mainly for.
        vocab_size: entries, specials included, at least 261; fewer if the texts are too few.

    Returns:
        A tokenizer with RoBERTa's special tokens and ids: <s> 0, <pad> 1, </s> 2, <unk> 3, <mask>
        last; a text becomes <s> ... </s>, a pair of texts <s> ... </s></s> ... </s>.

    Raises:
        UsageError: the vocabulary is too small for the bytes and special tokens.
    """
    if vocab_size < _SMALLEST_VOCABULARY:
        raise UsageError(
            f"a byte-level vocabulary needs {_SMALLEST_VOCABULARY} entries or more, not {vocab_size}"
        )
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # one is left for <mask>
        special_tokens=list(_FIRST_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(chain(texts, PLAIN_SENTENCES), trainer)
    core.add_special_tokens([AddedToken(_MASK, lstrip=True, special=True)])
    core.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=AddedToken(_MASK, lstrip=True, special=True),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def as_clip_reads(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer of `train_tokenizer` lower texts' case and end them with CLIP's own token.

    Changed in place: the vocabulary gets one more entry, the last. transformers' CLIP cannot find an
    end whose id is 2, which in old configurations meant another token.
    """
    tokenizer.add_special_tokens({"eos_token": "<|endoftext|>"})
    core: Any = getattr(tokenizer, "backend_tokenizer", None)
    core.normalizer = normalizers.Lowercase()
    core.post_processor = processors.TemplateProcessing(
        single=f"{tokenizer.bos_token} $A {tokenizer.eos_token}",
        special_tokens=[
            (tokenizer.bos_token, tokenizer.bos_token_id),
            (tokenizer.eos_token, tokenizer.eos_token_id),
        ],
    )


def _separate_once(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer join pairs as <s> a </s> b </s>, for every caller.

    Raises:
        UsageError: it is none of the `tokenizers` package, or lacks <s> or </s>.
    """
    core = getattr(tokenizer, "backend_tokenizer", None)
    first, last = tokenizer.bos_token, tokenizer.eos_token
    if core is None or first is None or last is None:
        raise UsageError(
            f"pair_separators 1: expected a fast tokenizer with <s> and </s>, got "
            f"{type(tokenizer).__name__}; give RoBERTa's"
        )
    core.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{first} $A {last}",
                pair=f"{first} $A {last} $B {last}",
                special_tokens=[(t, tokenizer.convert_tokens_to_ids(t)) for t in (first, last)],
            ),
        ]
    )


# With this, `AutoProcessor.from_pretrained` knows the model's folder, too.
AutoProcessor.register(Unimo2Config, Unimo2Processor, exist_ok=True)


def _as_list(value: Any, kind: type[Item], name: str, of_one: str, of_many: str) -> list[Item]:
    """One or several as a list, or UsageError for what is something else."""
    several = [value] if isinstance(value, kind) else value
    if not isinstance(several, (list, tuple)) or not several:
        found = "an empty list" if value in ([], ()) else type(value).__name__
        raise UsageError(f"{name} must be {of_one} or {of_many.format(found)}")
    for index, item in enumerate(several):
        if not isinstance(item, kind):
            raise UsageError(f"{name}[{index}] must be {of_one}, not {type(item).__name__}")
    return list(several)


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
