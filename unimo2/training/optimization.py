"""Optimiser, learning-rate schedule and precision of training."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import nn

from unimo2.training.config import LoopConfig

# Parameters that a decay towards zero would only harm: learned positions, the dictionary (its size
# is held by the commitment loss), temperatures. Biases and norms are known by their dimension.
_NO_DECAY = ("pos_embed", "cls_token", "position_embedding", "dictionary.")

# Autocast adds casts around every product; below this gain of the bare product it does not pay.
_WORTHWHILE_GAIN = 1.5


def learning_rate_at(step: int, config: LoopConfig) -> float:
    """Learning rate of a step: linear warm-up, then linear decay (paper, section 4.1) or drops.

    A function of the optimiser step (from 0) alone: there is no schedule to save and resume, and
    none that counts anything else under several processes. Linear decay would be 0 at the step
    after the last.
    """
    warmup = round(config.steps * config.warmup_ratio)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "linear":
        left, whole = max(0, config.steps - step), max(1, config.steps - warmup)
        return config.learning_rate * left / whole
    return config.learning_rate * 0.1 ** sum(step >= drop for drop in config.drop_at)


def parameter_groups(model: nn.Module, config: LoopConfig) -> list[dict[str, object]]:
    """Split the parameters into those with weight decay, those without, and the temperatures.

    "share" is the group's part of the scheduled learning rate: Adam moves a number by about the
    learning rate, however small its gradient, and a temperature of 0.07 does not survive steps of
    0.001.
    """
    decayed, spared, temperatures = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if "temperature" in name or "logit_scale" in name:
            temperatures.append(parameter)
        elif parameter.ndim < 2 or any(part in name for part in _NO_DECAY):
            spared.append(parameter)
        else:
            decayed.append(parameter)
    slow = min(1.0, config.temperature_learning_rate / config.learning_rate)
    return [
        {"params": decayed, "weight_decay": config.weight_decay, "share": 1.0},
        {"params": spared, "weight_decay": 0.0, "share": 1.0},
        {"params": temperatures, "weight_decay": 0.0, "share": slow},
    ]


def build_optimizer(model: nn.Module, config: LoopConfig) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay, all parameters of a group updated in one kernel."""
    return torch.optim.AdamW(
        parameter_groups(model, config),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )


def choose_precision(
    wanted: Literal["auto", "fp32", "bf16"], device: torch.device, rows: int, hidden_size: int
) -> Literal["fp32", "bf16"]:
    """Settle "auto": bf16 where the device has it and a matrix product is clearly faster in it.

    The product has `rows` tokens of a batch; its outer size is four times the inner `hidden_size`,
    as in a feed-forward layer.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, hidden_size, generator=generator)
    right = torch.randn(hidden_size, 4 * hidden_size, generator=generator)
    single = _fastest_product(left, right)
    half = _fastest_product(left.bfloat16(), right.bfloat16())
    return "bf16" if single > _WORTHWHILE_GAIN * half else "fp32"


def _fastest_product(left: torch.Tensor, right: torch.Tensor, repeats: int = 15) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return min(seconds)
