"""Cost of training, computed from sizes: operations, GPU memory, hours by number of GPUs.

Operations are those of matrix products and attention, as torch's counter counts them; a test compares
both. A backward pass takes twice a forward pass, and a third time with gradient checkpointing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from unimo2.bench.training import CAPTION_TOKENS
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import Unimo2Model
from unimo2.training.config import LoopConfig, PretrainConfig
from unimo2.training.finetuning.config import (
    GLUE,
    TASKS,
    CaptionConfig,
    FinetuneConfig,
    ImageConfig,
    RetrievalConfig,
    default_config,
    load_finetune_recipe,
)
from unimo2.training.recipes import load_recipe

# Tokens of a text that fine-tuning sees, special ones included: means, for operations.
_TOKENS: Mapping[str, int] = {
    "vqa": 9,
    "snli_ve": 12,
    "mnli": 40,
    "stsb": 30,
    "sst2": 14,
    "cola": 12,
}
# Training samples of the official files.
SAMPLES: Mapping[str, int] = {
    **{"flickr": 145_000, "vqa": 443_757, "snli_ve": 529_527, "coco": 566_747},
    **{"imagenet": 1_268_356, "sst2": 67_349, "mnli": 392_702, "cola": 8_551, "stsb": 5_749},
}
# Values of a layer that wait for the backward pass, by row: of its width and of its inner width.
# `tests/unimo2/bench/test_scale.py` measures the sum.
_KEPT_WIDE, _KEPT_INNER = 10.5, 2.0
# What the backward pass of a layer takes beside that, as a share of it; with checkpointing together
# with what the layer computes again. Measured, as a process's peak.
_BACKWARD, _AGAIN = 1.0, 2.6
# Autocast keeps most of them in two bytes; norms take and give four.
_BYTES_FP32, _BYTES_BF16 = 4.0, 2.6
# Of a parameter: itself, its gradient and two moments; in bf16 also autocast's copy.
_PARAMETER_BYTES, _COPY_BYTES = 16, 2


@dataclass(frozen=True)
class Load:
    """Inputs that pass through the parts of the model in a step."""

    images: float = 0  # through the Visual Transformer
    texts: float = 0  # through the Text Transformer
    pooled: float = 0  # through fusion, of which only the pooled outputs are read
    whole: float = 0  # through fusion, all rows read
    tokens: int = 0  # of a text
    words: float = 0  # compared with the whole vocabulary

    def times(self, factor: float) -> Load:
        """The same for more or fewer samples."""
        images, texts = factor * self.images, factor * self.texts
        pooled, whole = factor * self.pooled, factor * self.whole
        return Load(images, texts, pooled, whole, self.tokens, factor * self.words)


def pretraining_loads(config: PretrainConfig) -> dict[str, tuple[int, Load]]:
    """By kind of batch: samples of a step, and what one of them loads. Contrast alone is left out."""
    tokens, hidden = CAPTION_TOKENS, config.mask_fraction
    masked = config.mlm_share if config.mlm_weight else 0.0
    group = config.match_group
    matched = config.match_share * ((group or 3) if config.itm_weight else 0)
    pair = Load(1, 1 + masked, matched, masked, tokens, masked * hidden * tokens)
    image = Load(images=2, pooled=2 if config.vcl_weight else 0)
    length = config.text_limit
    text = Load(texts=1, whole=1, tokens=length, words=hidden * length)
    sizes = {"pairs": config.batch_size, "images": config.image_batch, "texts": config.text_batch}
    loads = {"pairs": pair, "images": image, "texts": text}
    return {kind: (size, loads[kind]) for kind, size in sizes.items() if size}


def finetuning_load(task: str, config: FinetuneConfig, tokens: int | None = None) -> Load:
    """Load of a fine-tuning sample; `tokens` per text, by default the task's mean."""
    length = tokens or min(config.max_text_length, _TOKENS.get(task, CAPTION_TOKENS))
    if isinstance(config, RetrievalConfig):
        drawn = config.negatives
        own = 1 + drawn if config.negatives_from == "corpus" else 1
        return Load(own, own, 1 + 2 * drawn, 0, length)
    if isinstance(config, CaptionConfig):
        return Load(1 / config.captions_per_image, 1, 0, 1, length, length)
    if isinstance(config, ImageConfig):
        return Load(images=1, pooled=1)
    if task in GLUE:
        return Load(texts=1, pooled=1, tokens=length)
    return Load(1, 1, 1, 0, length)


def forward_operations(load: Load, model: Unimo2Config) -> float:
    """Operations of one forward pass."""
    width, inner = model.hidden_size, model.intermediate_size
    seen = model.patch_grid**2 + 1
    row = 2 * (4 * width**2 + 2 * width * inner)  # of a layer: projections and feed-forward

    def layers(count: int, rows: float, looked_at: float) -> float:
        return count * (rows * row + 4 * width * looked_at)

    patches = 2 * (seen - 1) * 3 * model.patch_size**2 * width
    vision = patches + layers(model.vision_layers, seen, seen**2)
    text = layers(model.text_layers, load.tokens, load.tokens**2)
    m, n = (seen if load.images else 0), (load.tokens if load.texts else 0)
    k = model.grounded_tokens if model.grounding != "none" else 0
    total = m + k + n
    looked_at = m * (m + k) + k * total + n * (k + n)  # equations 4 to 6
    if model.attention == "dense" or not m or not n:
        looked_at = total**2
    ends = bool(m) + bool(n)
    last = ends * row + 4 * model.num_attention_heads * width * (
        (m + k) * bool(m) + (k + n) * bool(n)
    )
    pooled = layers(model.fusion_layers - 1, total, looked_at) + last
    whole = layers(model.fusion_layers, total, looked_at)
    words = 2 * width**2 + 2 * width * model.vocab_size
    return (
        load.images * vision
        + load.texts * text
        + load.pooled * pooled
        + load.whole * whole
        + load.words * words
    )


def step_operations(load: Load, model: Unimo2Config, checkpointing: bool = False) -> float:
    """Operations of a training step: forward, backward, and forward again with checkpointing."""
    return (4 if checkpointing else 3) * forward_operations(load, model)


@dataclass(frozen=True)
class Memory:
    """Peak memory of a GPU, in bytes."""

    parameters: float  # weights, gradients, moments
    kept: float  # what layers keep for the backward pass
    words: float  # scores of the whole vocabulary

    @property
    def total(self) -> float:
        """All of it."""
        return self.parameters + self.kept + self.words

    def line(self) -> str:
        """As a run says it before its first step."""
        parts = (self.total, self.parameters, self.total - self.parameters)
        whole, held, rest = (f"{part / 1e9:.1f}" for part in parts)
        return (
            f"memory of a process: about {whole} GB ({held} weights, gradients and moments, {rest} what "
            "a step keeps)"
        )


def memory(
    loads: Sequence[Load],
    model: Unimo2Config,
    parameters: int,
    config: LoopConfig,
    processes: int = 1,
    device: str = "cuda",
) -> Memory:
    """Estimate the memory of one process.

    Args:
        loads: Of a whole step, over all processes; kinds that are computed one after the other but
            kept until the backward pass.
        model: Its sizes.
        parameters: Their number.
        config: Says precision, checkpointing and parts of a batch.
        processes: Among which the loads are divided.
        device: On a CPU attention keeps its weights, which fused kernels do not.
    """
    half = config.precision == "bf16" or (config.precision == "auto" and device == "cuda")
    value = _BYTES_BF16 if half else _BYTES_FP32
    share = 1.0 / (processes * config.accumulate)
    kept = sum(
        _kept(load.times(share), model, value, config.gradient_checkpointing, device)
        for load in loads
    )
    words = sum(load.words for load in loads) * share * model.vocab_size * (2 * 4 + value)
    held = parameters * (_PARAMETER_BYTES + (_COPY_BYTES if half else 0))
    return Memory(held, kept, words)


def _kept(load: Load, model: Unimo2Config, value: float, again: bool, device: str) -> float:
    """Bytes that the layers of a part keep until its backward pass."""
    width, inner = model.hidden_size, model.intermediate_size
    seen = model.patch_grid**2 + 1
    m, n = (seen if load.images else 0), (load.tokens if load.texts else 0)
    total = m + model.grounded_tokens + n
    parts = (
        (load.images, model.vision_layers, seen),
        (load.texts, model.text_layers, load.tokens),
        (load.pooled, model.fusion_layers - 1, total),
        (load.whole, model.fusion_layers, total),
    )
    kept = largest = 0.0
    for count, layers, rows in parts:
        of_layer = count * rows * (_KEPT_WIDE * width + _KEPT_INNER * inner) * value
        if device == "cpu":  # weights of attention, before and after their dropout, and its mask
            of_layer += count * model.num_attention_heads * rows**2 * (2 * value + 1)
        kept += layers * (count * rows * width * 4.0 if again else of_layer)
        largest = max(largest, of_layer)
    return kept + largest * (_AGAIN if again else _BACKWARD)


@dataclass(frozen=True)
class Row:
    """Cost of one training."""

    name: str
    samples: float  # over the whole run
    gigaflop: float  # of a sample, a step's backward pass included
    exaflop: float  # of the run
    hours: Mapping[int, float | None]  # by number of cards; None where a batch has fewer samples
    memory: float  # GB of a process, on eight cards


def table(cards: Sequence[int], peak: float, share: float) -> list[Row]:
    """What the paper's recipes take.

    Args:
        cards: Numbers of cards.
        peak: Peak of a card, in 10^12 operations a second.
        share: Share of the peak that training reaches.
    """

    def row(
        name: str,
        works: Sequence[tuple[float, Load]],
        steps: float,
        model: Unimo2Config,
        config: LoopConfig,
    ) -> Row:
        samples = sum(count for count, _ in works)
        of_step = sum(
            count * step_operations(load, model, config.gradient_checkpointing)
            for count, load in works
        )
        total = steps * of_step
        seconds = {n: total / (n * peak * 1e12 * share) for n in cards}
        loads = [load.times(count) for count, load in works]
        held = memory(loads, model, parameters(model), config, processes=_MEMORY_CARDS)
        return Row(
            name=name,
            samples=steps * samples,
            gigaflop=of_step / samples / 1e9,
            exaflop=total / 1e18,
            hours={n: s / 3600 if n <= samples else None for n, s in seconds.items()},
            memory=held.total / 1e9,
        )

    recipe = load_recipe("base")
    training, base = recipe.training, Unimo2Config.base()
    loads = pretraining_loads(training)
    first = training.mixed_from
    rows = [
        row("pre-training, pairs", [loads["pairs"]], first, base, training),
        row("pre-training, all", list(loads.values()), training.steps - first, base, training),
    ]
    for task in TASKS:
        config = load_finetune_recipe(task.replace("_", "-"), default_config(task)).training
        model = Unimo2Config.base(image_size=config.image_size or base.image_size)
        load = finetuning_load(task, config)
        steps = SAMPLES[task] * config.epochs / config.batch_size
        rows.append(row(task, [(config.batch_size, load)], steps, model, config))
    return rows


def markdown(rows: Sequence[Row]) -> list[str]:
    """The lines of a table."""
    numbers = list(rows[0].hours)
    heads = ["recipe", "samples", "GFLOP a sample", "EFLOP"]
    heads += [f"hours, {n} card{'s' if n > 1 else ''}" for n in numbers]
    heads.append(f"GB a card of {_MEMORY_CARDS}")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        hours = ["-" if (h := row.hours[n]) is None else f"{h:,.1f}" for n in numbers]
        cells = [row.name, f"{row.samples / 1e6:,.2f} M", f"{row.gigaflop:,.0f}"]
        cells += [f"{row.exaflop:,.2f}", *hours, f"{row.memory:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


_MEMORY_CARDS = 8  # that the memory of a process is stated for


def parameters(model: Unimo2Config) -> int:
    """Number of parameters of the model."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Unimo2Model(model).parameters())


def of_pretraining(
    config: PretrainConfig, model: Unimo2Config, processes: int, device: str
) -> Memory:
    """Peak memory of a pre-training process."""
    loads = [load.times(size) for size, load in pretraining_loads(config).values()]
    return memory(loads, model, parameters(model), config, processes, device)


def of_finetuning(
    task: str, config: FinetuneConfig, model: Unimo2Config, processes: int, device: str
) -> Memory:
    """Peak memory of a fine-tuning process, with texts of maximum length."""
    load = finetuning_load(task, config, config.max_text_length).times(config.batch_size)
    return memory([load], model, parameters(model), config, processes, device)
