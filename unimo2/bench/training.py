"""Speed of training per kind of batch, and its share of the machine's matmul rate."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from unimo2.bench.timing import flops, interleave, operations, products, ratio
from unimo2.data.batches import ImageBatch, MixedBatch, PairBatch, TextBatch
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.heads import Unimo2ForPreTraining
from unimo2.training.config import PretrainConfig
from unimo2.training.objectives import JointObjective
from unimo2.training.optimization import build_optimizer

# Tokens of a caption in the timed batches: about what captions of COCO and of the suite have.
CAPTION_TOKENS = 24
_FIRST_WORD = 4  # ids below are special tokens


@dataclass(frozen=True)
class TrainSpeed:
    """Figures of one kind of batch; seconds are medians over rounds."""

    kind: str  # "pairs", "images" (two views each) or "texts"
    dtype: str  # "float32", or "bfloat16" for autocast
    samples: int  # in one step
    step_ms: float  # milliseconds of a step: forward, backward, clipping, update
    samples_per_second: float  # samples / step
    tflop: float  # 10^12 operations of a step's matrix products and attention, forward and backward
    rate: float  # 10^12 operations a second that it reaches
    matmul_rate: float  # the same of plain matrix products of the model's own shapes
    share: float  # rate / matmul_rate, the median of the rounds' ratios


def measure(
    config: PretrainConfig,
    model_config: Unimo2Config,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int = 5,
) -> list[TrainSpeed]:
    """Time a training step of pairs, images and texts, and plain matrix products, in turn.

    Kinds whose batch size is 0 are left out; bfloat16 is autocast, as the trainer does it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        step = _Step(config, model_config, dtype, device)
        batches = random_batches(config, model_config, device)
    width, inner = model_config.hidden_size, model_config.intermediate_size
    rows = config.batch_size * (model_config.patch_grid**2 + 1)
    shapes = [(rows, width, inner), (rows, inner, width), (rows, width, 3 * width)] * 4
    costs = {kind: operations(partial(step.gradients, batch)) for kind, batch in batches.items()}
    calls = [partial(step, batch) for batch in batches.values()]
    times = interleave([*calls, products(shapes, dtype, device)], device, repeats)
    matmul, matmul_rate = times[-1], flops(shapes) / statistics.median(times[-1])
    figures = []
    for (kind, batch), taken in zip(batches.items(), times, strict=False):
        seconds, samples = statistics.median(taken), sum(batch.counts.values())
        figures.append(
            TrainSpeed(
                kind=kind,
                dtype=str(dtype).removeprefix("torch."),
                samples=samples,
                step_ms=1e3 * seconds,
                samples_per_second=samples / seconds,
                tflop=costs[kind] / 1e12,
                rate=costs[kind] / seconds / 1e12,
                matmul_rate=matmul_rate / 1e12,
                share=costs[kind] / flops(shapes) * ratio(matmul, taken),
            )
        )
    return figures


class _Step:
    """A whole step: forward, backward, clipping, update."""

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Unimo2Config,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        whole = Unimo2ForPreTraining(model_config)
        self.objective = JointObjective(whole, config, bool(config.image_batch))
        self.objective.to(device).train()
        if config.gradient_checkpointing:
            self.objective.pairs.model.gradient_checkpointing_enable()
        self.optimizer = build_optimizer(self.objective, config)
        self.dtype, self.device, self.clip_norm = dtype, device, config.clip_norm

    def gradients(self, batch: MixedBatch) -> None:
        """Forward and backward."""
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype) if half else nullcontext():
            loss: Tensor = self.objective(batch)["loss"]
        loss.backward()

    def __call__(self, batch: MixedBatch) -> None:
        self.optimizer.zero_grad()
        self.gradients(batch)
        torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.clip_norm)
        self.optimizer.step()


def random_batches(
    config: PretrainConfig, model_config: Unimo2Config, device: torch.device
) -> dict[str, MixedBatch]:
    """One batch of each kind, with random pixels and words."""
    side, words = model_config.image_size, model_config.vocab_size
    count = config.batch_size
    makers: dict[str, Callable[[], MixedBatch]] = {
        "pairs": lambda: MixedBatch(pairs=_pairs(config, side, words)),
        "images": lambda: MixedBatch(
            images=ImageBatch(torch.randn(2 * config.image_batch, 3, side, side))
        ),
        "texts": lambda: MixedBatch(
            texts=TextBatch(*_texts(config.text_batch, config.text_limit, words, config))
        ),
    }
    sizes = {"pairs": count, "images": config.image_batch, "texts": config.text_batch}
    return {kind: make().to(device) for kind, make in makers.items() if sizes[kind]}


def _pairs(config: PretrainConfig, side: int, words: int) -> PairBatch:
    count = config.batch_size
    tokens = min(CAPTION_TOKENS, config.max_text_length)
    ids, mask, labels = _texts(count, tokens, words, config)
    hidden = round(count * config.mlm_share)
    return PairBatch(
        pixel_values=torch.randn(count, 3, side, side),
        input_ids=ids,
        attention_mask=mask,
        masked_ids=ids[:hidden],
        labels=labels[:hidden],
        image_index=torch.arange(count),
        negative_noise=torch.rand(count, max(2, config.match_group - 1)),
        position=torch.arange(count),
    )


def _texts(
    count: int, tokens: int, words: int, config: PretrainConfig
) -> tuple[Tensor, Tensor, Tensor]:
    ids = torch.randint(_FIRST_WORD, words, (count, tokens))
    wanted = torch.rand(count, tokens) < config.mask_fraction
    return ids, torch.ones_like(ids), torch.where(wanted, ids, -100)
