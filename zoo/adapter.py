"""What adapters of any family need: evaluation without gradients, texts without padding, class names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

import torch
from torch import nn
from transformers import PretrainedConfig


class _HasModel(Protocol):
    @property
    def model(self) -> nn.Module: ...


Owner = TypeVar("Owner", bound=_HasModel)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def evaluated(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Make a method of an adapter run without gradients and dropout, also in the midst of training.

    Args:
        method: Of an object whose `model` is the module.

    Returns:
        The method; the model is put back into training mode if it was in it.
    """

    @wraps(method)
    def wrapped(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        training = self.model.training
        if training:
            self.model.eval()
        try:
            with torch.inference_mode():
                return method(self, *args, **kwargs)
        finally:
            if training:
                self.model.train()

    return wrapped


def equal_lengths(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Cut texts into batches that need no padding.

    Args:
        rows: Token ids of each text.
        batch_size: Texts of a batch at most.

    Yields:
        Places in `rows` of texts of one length, shortest first, in their order.
    """
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(len(row), []).append(place)
    for _, same in sorted(places.items()):
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def class_names(config: PretrainedConfig) -> tuple[str, ...]:
    """Names of a head's columns, as its configuration has them."""
    names = cast(Mapping[int, str], config.id2label)
    return tuple(names[number] for number in sorted(names))
