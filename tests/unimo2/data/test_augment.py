"""Views of images, against torchvision's functions and against geometry worked out by hand."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from unimo2.data.augment import Augmentation, augment, colours, geometry, hue_rotation

PLAIN = Augmentation(smallest_crop=1.0, aspect=1.0, rotation=0.0, colour_share=0.0, gray_share=0.0)


def pixels(count: int = 5, low: float = 0.35, high: float = 0.65) -> torch.Tensor:
    """Images of middle tones, which no change of colour drives out of [0, 1]."""
    noise = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return low + (high - low) * noise


def noise(count: int = 5, **columns: float) -> torch.Tensor:
    """Numbers of which all are a half, but some columns."""
    values = torch.full((count, 15), 0.5)
    for name, value in columns.items():
        values[:, int(name.removeprefix("c"))] = value
    return values


def test_a_view_without_any_change_is_the_image():
    """Truth: the image."""
    images = pixels()
    torch.testing.assert_close(augment(images, noise(), PLAIN), images)


def test_a_crop_shows_its_rectangle_in_full_size():
    """Truth: on a ramp, where the crop's own coordinates can be read off: half the width, at left."""
    ramp = (torch.arange(12) + 0.5) / 12
    images = torch.stack([ramp.expand(12, 12), ramp[:, None].expand(12, 12), ramp.expand(12, 12)])
    view = augment(
        images[None], noise(1, c0=0.0, c2=0.0, c3=1.0), replace(PLAIN, smallest_crop=0.25)
    )
    across, down = view[0, 0, 0], view[0, 1, :, 0]
    torch.testing.assert_close(across[1:], ramp[1:] / 2)
    torch.testing.assert_close(down[:-1], 0.5 + ramp[:-1] / 2)


def test_a_quarter_turn_is_rot90():
    """Truth: torch.rot90."""
    images = pixels()
    view = augment(images, noise(c4=1.0), replace(PLAIN, rotation=90.0))
    turned = [torch.rot90(images, k, dims=(2, 3)) for k in (1, -1)]
    assert any(torch.allclose(view, candidate, atol=1e-4) for candidate in turned)


@pytest.mark.parametrize(
    ("column", "function", "change"),
    [
        (5, tv.adjust_brightness, 0.6),
        (6, tv.adjust_contrast, 0.3),
        (7, tv.adjust_saturation, 0.2),
    ],
)
def test_colours_change_as_in_torchvision(column, function, change):
    """Truth: torchvision's own functions, one change at a time."""
    images = pixels()
    spec = replace(PLAIN, colour_share=1.0, colour=0.5)
    view = augment(images, noise(**{f"c{column}": change}), spec)
    factor = 1.0 + 0.8 * 0.5 * (2 * change - 1)
    torch.testing.assert_close(view, function(images, factor), atol=2e-4, rtol=0)


def test_gray_views_have_no_colours():
    """Truth: torchvision's rgb_to_grayscale."""
    images = pixels()
    view = augment(images, noise(c14=0.0), replace(PLAIN, gray_share=0.2))
    torch.testing.assert_close(view, tv.rgb_to_grayscale(images, 3), atol=2e-4, rtol=0)


def test_the_order_of_changes_is_the_samples_own():
    """Truth: contrast and brightness do not commute; torchvision's functions in either order."""
    images = pixels(2)
    spec = replace(PLAIN, colour_share=1.0, colour=0.5)
    values = noise(2, c5=0.9, c6=0.1)
    values[0, 9:13] = torch.tensor([0.1, 0.2, 0.3, 0.4])  # brightness first
    values[1, 9:13] = torch.tensor([0.9, 0.2, 0.3, 0.4])  # brightness last
    view = augment(images, values, spec)
    brighter, flatter = 1 + 0.4 * 0.8, 1 - 0.4 * 0.8
    first = tv.adjust_contrast(tv.adjust_brightness(images[:1], brighter), flatter)
    last = tv.adjust_brightness(tv.adjust_contrast(images[1:], flatter), brighter)
    torch.testing.assert_close(view, torch.cat([first, last]), atol=3e-4, rtol=0)


def test_hue_turns_colours_and_keeps_gray():
    """Truth: colorsys.rgb_to_yiq: a third of a turn keeps luma and the length of the chroma."""
    turn = hue_rotation(torch.tensor([1 / 3]))[0]
    colour = torch.tensor([0.6, 0.4, 0.5])
    torch.testing.assert_close(
        turn @ torch.full((3,), 0.4), torch.full((3,), 0.4), atol=1e-3, rtol=0
    )
    before, after = (colorsys.rgb_to_yiq(*c.tolist()) for c in (colour, turn @ colour))
    assert after[0] == pytest.approx(before[0], abs=2e-3)
    chroma = [(y[1] ** 2 + y[2] ** 2) ** 0.5 for y in (before, after)]
    assert chroma[1] == pytest.approx(chroma[0], rel=0.02)
    thrice = turn @ turn @ turn @ colour
    torch.testing.assert_close(thrice, colour, atol=1e-4, rtol=0)


def test_a_view_depends_on_its_own_numbers_alone():
    """Truth: views made together and one by one."""
    spec, images = Augmentation(), pixels(6)
    numbers = spec.draw(6, torch.Generator().manual_seed(3))
    together = augment(images, numbers, spec)
    for row in range(6):
        alone = augment(images[row : row + 1], numbers[row : row + 1], spec)
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)
    assert together.min() >= 0 and together.max() <= 1


def test_crops_have_the_areas_that_were_asked_for():
    """Truth: the determinant of the map is the share of the area; SimCLR's ranges."""
    spec = Augmentation(rotation=30.0)
    numbers = torch.rand(2000, 5, generator=torch.Generator().manual_seed(0))
    maps = geometry(numbers, spec)
    area = torch.linalg.det(maps[:, :, :2])
    assert 0.07 < area.min() < 0.1 and 0.9 < area.max() <= 1.0 + 1e-6
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert 25 < angle.abs().max() < 40


def test_shares_of_views_are_recoloured_and_grayed():
    """Truth: SimCLR's probabilities 0.8 and 0.2, by counting matrices."""
    spec = Augmentation()
    numbers = spec.draw(4000, torch.Generator().manual_seed(0))[:, 5:]
    matrix, _ = colours(torch.full((4000, 3), 0.5), numbers, spec)
    gray = (matrix[:, 0] - matrix[:, 1]).abs().amax(dim=1) < 1e-6
    plain = (matrix - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-6
    assert gray.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert plain.float().mean().item() == pytest.approx(0.2 * 0.8, abs=0.02)
