"""What a training step costs: its operations, counted, and its seconds on this machine."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from unimo2.data.batches import PairBatch
from unimo2.modeling.configuration import Unimo2Config
from unimo2.modeling.model import Unimo2Model
from unimo2.training.config import PretrainConfig
from unimo2.training.objectives import PairObjective

# Operations are counted on a small batch: they grow with it in proportion.
_PAIRS, _TOKENS = 4, 16
_LONG_SECONDS = 10.0  # a whole batch that would take longer is not timed, but a small one


def pair_flops(config: Unimo2Config) -> float:
    """Floating point operations of training on one pair, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        _step(config, _PAIRS)
    return float(counter.get_total_flops()) / _PAIRS


def pair_seconds(config: Unimo2Config, batch_size: int) -> float:
    """Seconds of training on one pair in float32 on this machine's processor, once warm."""
    small = _fastest(config, _PAIRS, repeats=3) / _PAIRS
    if small * batch_size > _LONG_SECONDS:
        return small
    return _fastest(config, batch_size, repeats=2) / batch_size


def _fastest(config: Unimo2Config, pairs: int, repeats: int) -> float:
    """Seconds of the fastest of several steps: what other processes do only makes one slower."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        _step(config, pairs)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _step(config: Unimo2Config, pairs: int) -> None:
    """Forward and backward of all losses on random pairs; the caller's generators are restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Unimo2Model(config)
        objective = PairObjective(model, PretrainConfig())
        size = config.image_size
        ids = torch.randint(4, config.vocab_size, (pairs, _TOKENS))
        batch = PairBatch(
            pixel_values=torch.rand(pairs, 3, size, size),
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            masked_ids=ids[: pairs // 2],
            labels=ids[: pairs // 2],
            image_index=torch.arange(pairs),
            negative_noise=torch.rand(pairs, 2),
            position=torch.arange(pairs),
        )
        objective(batch)["loss"].backward()
