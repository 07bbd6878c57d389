"""The contact sheet shows every picture, and every caption within its tile."""

import numpy as np
import pytest
from PIL import Image

from evals.datasets.contact_sheet import CaptionedPicture, contact_sheet


def picture(colour: tuple[int, int, int], size: tuple[int, int], captions: int) -> CaptionedPicture:
    return CaptionedPicture(
        Image.new("RGB", size, colour), "title", ("some words " * 12,) * captions
    )


@pytest.mark.parametrize("size", [(48, 48), (640, 480), (30, 500), (3000, 2)])
def test_every_picture_is_on_the_sheet(size: tuple[int, int]) -> None:
    """Each picture has a colour of its own, to be found again as a block of pixels."""
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]
    sheet = np.asarray(contact_sheet([picture(colour, size, 2) for colour in colours], columns=2))
    for colour in colours:
        assert (sheet == colour).all(axis=2).sum() >= min(250, size[0] * size[1])


def test_rows_are_as_high_as_their_captions() -> None:
    """More captions make a higher sheet of the same width; no ink touches the right margin."""
    small = contact_sheet([picture((0, 0, 0), (48, 48), 1)])
    large = contact_sheet([picture((0, 0, 0), (48, 48), 5)])
    assert large.width == small.width and large.height > small.height + 100
    assert (np.asarray(large)[:, -10:] == 255).all()
    assert (np.asarray(large)[-10:] == 255).all()
