"""The size that a model's images are resized to, where it is not the model's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import zoo
from evals.benchmark import Request, option
from evals.distributed import ProcessGroup, own_device
from unimo2.errors import IncompatibleModel, UsageError
from zoo.cards import Card
from zoo.protocols import Model, Resizable


def image_size_option() -> Any:
    """The field `image_size` of a benchmark's options."""
    return option(
        None,
        "Resize images to N x N pixels, a multiple of the patch size; the model's own by default.",
        metavar="N",
        range=(1, 8192),
        variant="image-size-{:g}",
    )


@dataclass(frozen=True)
class ImageOptions:
    """Of a benchmark with images.

    Attributes:
        image_size: Side of the square that images are resized to; None for the model's own.
    """

    image_size: int | None = image_size_option()


def load(card: Card, request: Request, share: ProcessGroup, dtype: str | None) -> Model:
    """Load the model of a card for images of the size that was asked for.

    Args:
        card: Card of the model.
        request: Gives device and size.
        share: Share of this process, on its own GPU.
        dtype: As of `zoo.load`.

    Raises:
        UsageError: Or one of its kinds, as `zoo.load` and `resize`.
    """
    device = own_device(request.device, share)
    model = zoo.load_card(card, device, dtype, request.trust_remote_code)
    resize(model, getattr(request.options, "image_size", None))
    return model


def resize(model: Model, side: int | None) -> None:
    """Let a model take images of another size.

    Args:
        model: Just loaded; it keeps the size.
        side: Side of the square in pixels; None for the model's own.

    Raises:
        UsageError: A size that its patches do not fill.
        IncompatibleModel: The model takes images of one size only, or none.
    """
    if side is None:
        return
    if not isinstance(model, Resizable):
        raise IncompatibleModel(
            f"model '{model.name}' has a fixed image size: leave --image-size out"
        )
    patch = model.patch_size
    if side < patch or side % patch:
        raise UsageError(
            f"--image-size {side}: expected a multiple of the patch size {patch} of model "
            f"'{model.name}'; use {max(1, round(side / patch)) * patch}"
        )
    model.resize_images(side)


def in_protocol(model: Model, capability: str) -> dict[str, Any]:
    """What a record's "protocol" says of the size: nothing where it is that of the positions.

    Args:
        model: As it measures.
        capability: Capability that the benchmark needs; texts have no size.
    """
    if capability == "text_classifier" or not isinstance(model, Resizable):
        return {}
    return {} if model.image_size == model.own_image_size else {"image_size": model.image_size}
