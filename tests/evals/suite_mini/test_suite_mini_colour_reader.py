"""The reader of colours alone: the floor of image classification in the mini suite."""

import itertools

import numpy as np

from examples.embedded_levels.colours import colour_counts, colour_reader_accuracy


def test_colours_are_counted() -> None:
    """Against counting pixel by pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    counts = dict.fromkeys(itertools.product(range(4), repeat=3), 0)
    for red, green, blue in pixels.reshape(-1, 3).tolist():
        counts[red // 64, green // 64, blue // 64] += 1
    assert colour_counts(pixels) == tuple(counts.values())


def test_colour_reader_sees_colours_and_nothing_else() -> None:
    """All right where colours differ; chance where the same pixels stand in another order."""
    pictures, shuffled = [], []
    for index in range(40):
        pixels = np.full((6, 6, 3), 10, dtype=np.uint8)
        pixels[: 2 + index % 3, :, index % 2] = 250
        pictures.append(colour_counts(pixels))
        gray = pixels.max(axis=2, keepdims=True).repeat(3, axis=2)
        shuffled.append(colour_counts(gray if index % 2 else gray[::-1]))
    names = ["red" if index % 2 == 0 else "green" for index in range(40)]
    assert colour_reader_accuracy(pictures[:20], names[:20], pictures[20:], names[20:]) == 100
    balanced = colour_reader_accuracy(shuffled[:24], names[:24], shuffled[24:36], names[24:36])
    assert balanced == 50
    assert colour_reader_accuracy(pictures[:1], ["red"], pictures[20:], names[20:]) == 50
