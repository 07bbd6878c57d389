"""Speed of captioning: our beam search against transformers' own `generate`.

Both search with the same beams for captions of the same length, from the rows that describe an
image (the Visual Transformer is not timed). transformers decodes with decoders of our width, depth
(text and fusion layers together), heads, feed-forward width and vocabulary, in the two forms in
which it can be given an image: rows before the text (GPT-2) and cross-attention (RoBERTa).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForCausalLM,
)

from unimo2.bench.timing import interleave, ratio
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.generation import BeamSettings, CachedDecoder, beam_search
from unimo2.modeling.model import Unimo2Model

Search = Callable[[], list[list[int]]]
"""Captions all images once; the tokens of each image's best caption, without the start token."""


class Searcher(NamedTuple):
    """One way of captioning the same images."""

    name: str
    parameters: int  # of its decoder, word embeddings included
    search: Search


@dataclass(frozen=True)
class SearcherSpeed:
    """Figures of one way; seconds are medians over the rounds."""

    name: str
    parameters: int  # of its decoder
    captions_per_second: float
    slower: float  # its time / ours, the median of the rounds' ratios


@dataclass(frozen=True)
class CaptionSpeed:
    """Figures of one run, ours first."""

    dtype: str
    images: int
    beams: int
    tokens: int
    image_rows: int
    ways: tuple[SearcherSpeed, ...]


def measure(
    config: Unimo2Config,
    images: int,
    beams: int,
    tokens: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int = 3,
) -> CaptionSpeed:
    """Caption the same number of images each way, in turn, with random weights.

    No way may end before so many tokens.
    """
    searchers = make_searchers(config, images, beams, tokens, dtype, device)
    times = interleave([one.search for one in searchers], device, repeats)
    return CaptionSpeed(
        dtype=str(dtype).removeprefix("torch."),
        images=images,
        beams=beams,
        tokens=tokens,
        image_rows=image_rows(config),
        ways=tuple(
            SearcherSpeed(name, size, images / statistics.median(taken), ratio(taken, times[0]))
            for (name, size, _), taken in zip(searchers, times, strict=True)
        ),
    )


def image_rows(config: Unimo2Config) -> int:
    """Rows that describe an image to the text: class token, patches and grounded tokens."""
    grounded = 0 if config.grounding == "none" else config.grounded_tokens
    return config.patch_grid**2 + 1 + grounded


@torch.no_grad()
def make_searchers(
    config: Unimo2Config,
    images: int,
    beams: int,
    tokens: int,
    dtype: torch.dtype,
    device: torch.device,
) -> list[Searcher]:
    """The ways that are compared, ours first; arguments as for `measure`."""
    rows = torch.randn(images, image_rows(config), config.hidden_size).to(device, dtype)
    settings = GenerationConfig(
        num_beams=beams,
        do_sample=False,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        **_special_tokens(config, "bos", "eos", "pad"),
    )
    start = torch.full((images, 1), config.bos_token_id, device=device)
    return [
        _ours(config, images, BeamSettings(beams, tokens - 1, tokens), dtype, device),
        _with_prefix(config, rows, start, settings),
        _with_cross_attention(config, rows, start, settings),
    ]


def _ours(
    config: Unimo2Config,
    images: int,
    settings: BeamSettings,
    dtype: torch.dtype,
    device: torch.device,
) -> Searcher:
    model = Unimo2Model(config).train(False).to(device, dtype)
    patches = config.patch_grid**2 + 1
    vision = torch.randn(images, patches, config.hidden_size).to(device, dtype)
    start = torch.full((images,), config.bos_token_id, device=device)

    @torch.inference_mode()
    def search() -> list[list[int]]:
        decoder = CachedDecoder(model, vision)
        found = beam_search(decoder, start, config.eos_token_id, settings)
        best = [beams[0] for beams in found]
        return [[*one.tokens, config.eos_token_id][: settings.max_length] for one in best]

    size = _parameters(model.text, model.fusion, model.mlm)
    return Searcher("unimo2 beam search", size, search)


def _with_prefix(
    config: Unimo2Config, rows: Tensor, start: Tensor, settings: GenerationConfig
) -> Searcher:
    """GPT-2's layers over the rows of the image and then the text."""
    # Any: the type of `generate` does not fit the models that have it.
    model: Any = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=rows.shape[1] + settings.max_new_tokens + 1,
            n_embd=config.hidden_size,
            n_layer=config.text_layers + config.fusion_layers,
            n_head=config.num_attention_heads,
            n_inner=config.intermediate_size,
            **_special_tokens(config, "bos", "eos"),
        )
    )
    model.train(False).to(rows.device, rows.dtype)
    before = torch.cat([rows, model.get_input_embeddings()(start)], dim=1)

    def search() -> list[list[int]]:
        return model.generate(inputs_embeds=before, generation_config=settings).tolist()

    return Searcher("transformers generate, image before the text", _parameters(model), search)


def _with_cross_attention(
    config: Unimo2Config, rows: Tensor, start: Tensor, settings: GenerationConfig
) -> Searcher:
    """RoBERTa's layers over the text, each with cross-attention to the rows of the image."""
    model: Any = RobertaForCausalLM(
        RobertaConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=settings.max_new_tokens + config.pad_token_id + 2,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.text_layers + config.fusion_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            is_decoder=True,
            add_cross_attention=True,
            **_special_tokens(config, "bos", "eos", "pad"),
        )
    )
    model.train(False).to(rows.device, rows.dtype)

    def search() -> list[list[int]]:
        written = model.generate(
            start,
            encoder_hidden_states=rows,
            # Without one of this kind, generate gives a decoder-only model a cache that knows no
            # cross-attention.
            past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            generation_config=settings,
        )
        return written[:, 1:].tolist()

    return Searcher("transformers generate, cross-attention", _parameters(model), search)


def _special_tokens(config: Unimo2Config, *names: str) -> dict[str, Any]:
    """Ids of special tokens, as configurations of transformers take them."""
    return {f"{name}_token_id": getattr(config, f"{name}_token_id") for name in names}


def _parameters(*modules: nn.Module) -> int:
    return sum(one.numel() for one in nn.ModuleList(modules).parameters())
