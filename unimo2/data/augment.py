"""Views of images for contrastive learning (paper, section 3.2; SimCLR, Chen et al., 2020).

Random crop, rotation and colour distortion, resized back to the original size. All images of a batch
go through one resampling and one product of colours; what is random about a view is decided by its
own row of numbers, whatever else is in its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_NUMBERS = 15  # random numbers a view needs
# Weights of red, green, blue in a gray level (ITU-R BT.601, as torchvision).
_LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation of views."""

    smallest_crop: float = 0.08  # share of the image's area that a crop has at least; SimCLR: 0.08
    # widest aspect ratio of a crop (and the narrowest is its inverse); SimCLR: 4 / 3
    aspect: float = 4 / 3
    rotation: float = 15.0  # largest angle, in degrees to both sides; the paper does not say
    # strength s of the colour distortion: brightness, contrast and saturation change by a factor up
    # to 0.8 s from 1, hue by up to 0.2 s turns; SimCLR: 1
    colour: float = 1.0
    colour_share: float = 0.8  # share of the views whose colours are distorted; SimCLR: 0.8
    gray_share: float = 0.2  # share of the views that lose their colours; SimCLR: 0.2

    def draw(self, views: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers in [0, 1) for `augment`, float32 [views, numbers]."""
        return torch.rand(views, _NUMBERS, generator=generator)


def augment(pixels: Tensor, noise: Tensor, spec: Augmentation) -> Tensor:
    """Make a view of each image: float32 [b, 3, S, S] in [0, 1] to the same.

    `noise` is float32 [b, numbers] from `spec.draw`, one row per view.
    """
    grid = F.affine_grid(geometry(noise[:, :5], spec), list(pixels.shape), align_corners=False)
    # A crop is never larger than the image, so that nothing is shrunk and no detail folds over.
    views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    matrix, offset = colours(views.mean(dim=(2, 3)), noise[:, 5:], spec)
    recoloured = torch.baddbmm(offset[:, :, None], matrix, views.flatten(2))
    return recoloured.clamp_(0.0, 1.0).view_as(views)


def geometry(noise: Tensor, spec: Augmentation) -> Tensor:
    """Crop of a view: [b, 5] to affine maps [b, 2, 3] from view to image, both in [-1, 1]."""
    area = spec.smallest_crop + (1.0 - spec.smallest_crop) * noise[:, 0]
    aspect = torch.exp(math.log(spec.aspect) * (2.0 * noise[:, 1] - 1.0))
    width = (area * aspect).sqrt().clamp_max(1.0)
    height = (area / aspect).sqrt().clamp_max(1.0)
    across = (1.0 - width) * (2.0 * noise[:, 2] - 1.0)
    down = (1.0 - height) * (2.0 * noise[:, 3] - 1.0)
    angle = math.radians(spec.rotation) * (2.0 * noise[:, 4] - 1.0)
    cosine, sine = angle.cos(), angle.sin()
    first = torch.stack([width * cosine, -height * sine, across], dim=1)
    second = torch.stack([width * sine, height * cosine, down], dim=1)
    return torch.stack([first, second], dim=1)


def colours(means: Tensor, noise: Tensor, spec: Augmentation) -> tuple[Tensor, Tensor]:
    """How a view's colours change, as one affine map: all the changes are.

    Brightness, contrast, saturation and hue come in an order of their own for each view. Values
    are cut to [0, 1] once at the end and not after each change; hue turns about the gray axis.

    From the mean red, green and blue of each image [b, 3] and noise [b, 10] to matrices [b, 3, 3]
    and offsets [b, 3].
    """
    count = len(noise)
    luma = torch.tensor(_LUMA)
    identity = torch.eye(3).expand(count, 3, 3)
    to_gray = luma.expand(3, 3)
    factors = 1.0 + 0.8 * spec.colour * (2.0 * noise[:, :3] - 1.0)
    brightness, contrast, saturation = (f[:, None, None] for f in factors.unbind(dim=1))
    steps = torch.stack(
        [
            brightness * identity,
            contrast * identity,
            saturation * identity + (1.0 - saturation) * to_gray,
            hue_rotation(0.2 * spec.colour * (2.0 * noise[:, 3] - 1.0)),
        ],
        dim=1,
    )  # [b, 4, 3, 3]
    order = noise[:, 4:8].argsort(dim=1)
    matrix, offset = identity, torch.zeros(count, 3)
    everyone = torch.arange(count)
    for chosen in order.unbind(dim=1):
        step = steps[everyone, chosen]
        # Contrast draws towards the mean gray of what the image is by now.
        now = torch.einsum("bij,bj->bi", matrix, means) + offset
        gray = (1.0 - factors[:, 1]) * (now @ luma) * (chosen == 1)
        matrix = step @ matrix
        offset = torch.einsum("bij,bj->bi", step, offset) + gray[:, None]
    distorted = (noise[:, 8] < spec.colour_share)[:, None]
    matrix = torch.where(distorted[:, :, None], matrix, identity)
    offset = torch.where(distorted, offset, torch.zeros(()))
    grayed = (noise[:, 9] < spec.gray_share)[:, None]
    matrix = torch.where(grayed[:, :, None], to_gray @ matrix, matrix)
    return matrix, torch.where(grayed, (offset @ luma)[:, None], offset)


def hue_rotation(turns: Tensor) -> Tensor:
    """Turn colours about the gray axis, keeping their luma: [b] turns to [b, 3, 3] matrices."""
    to_yiq = torch.tensor([_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    cosine, sine = torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
    zero, one = torch.zeros_like(turns), torch.ones_like(turns)
    turned = torch.stack(
        [one, zero, zero, zero, cosine, -sine, zero, sine, cosine], dim=1
    ).unflatten(1, (3, 3))
    return torch.linalg.inv(to_yiq) @ turned @ to_yiq
