"""Measuring speed: interleaved timings, ratios pair by pair, and the machine's own matmul rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# (rows, inputs, outputs) of a matrix product of [rows, inputs] with [inputs, outputs].
Shape = tuple[int, int, int]


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall seconds of one call, the device's queue emptied before and after."""
    _synchronize(device)
    start = time.perf_counter()
    call()
    _synchronize(device)
    return time.perf_counter() - start


def interleave(
    calls: Sequence[Callable[[], object]], device: torch.device, repeats: int = 7
) -> list[list[float]]:
    """Time several calls in turn, A B A B ..., after one warm-up of each: seconds of each call.

    Machines are shared and drift: figures of one round are compared with each other, not with
    those of another round.
    """
    for call in calls:
        call()
    rounds = [[seconds(call, device) for call in calls] for _ in range(repeats)]
    return [list(column) for column in zip(*rounds, strict=True)]


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over the rounds of slow / fast."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def products(
    shapes: Sequence[Shape], dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    """A call that does the matrix products of these shapes, and nothing else."""
    pairs: list[tuple[Tensor, Tensor]] = [
        (
            torch.randn(rows, inputs, dtype=dtype, device=device),
            # A linear layer's weight is [outputs, inputs] and is used transposed.
            torch.randn(outputs, inputs, dtype=dtype, device=device).t(),
        )
        for rows, inputs, outputs in shapes
    ]

    def call() -> None:
        for left, right in pairs:
            torch.mm(left, right)

    return call


def flops(shapes: Sequence[Shape]) -> float:
    """Floating point operations of matrix products, a multiplication and an addition each."""
    return float(sum(2 * rows * inputs * outputs for rows, inputs, outputs in shapes))


def operations(call: Callable[[], object]) -> float:
    """Floating point operations of a call: its matrix products and attention, by torch's counter."""
    # Fused attention kernels are not counted on every device; products always are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
