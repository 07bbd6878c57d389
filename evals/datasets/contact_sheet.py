"""A few images of a data set with their annotations, on a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from evals.datasets.entry import Sample
from evals.datasets.registry import all_data_sets, select
from unimo2.errors import UsageError
from unimo2.formats.parsing import Skips


@dataclass(frozen=True)
class ChosenSamples:
    """Samples chosen from a split."""

    data_set: str  # its name
    split: str  # which
    samples: tuple[Sample, ...]  # evenly spread over the split, in its order
    total: int  # how many images the split has
    skipped: tuple[str, ...]  # what cannot be shown, one line a reason


def shown_data_sets() -> list[str]:
    """Names of the data sets that have images to show."""
    return sorted(entry.name for entry in all_data_sets().values() if entry.samples is not None)


def choose(name: str, root: Path, split: str | None, count: int) -> ChosenSamples:
    """Choose samples of a split.

    Args:
        name: Name of a data set or its benchmark, spelled with "-" or "_".
        root: The data root.
        split: None for the first that the data set has.
        count: How many images, 1 or more; all if there are fewer.

    Raises:
        UsageError: An unknown data set or split, or a data set without images.
    """
    (data_set,) = select([name])
    samples = data_set.samples
    if samples is None:
        known = ", ".join(shown_data_sets())
        raise UsageError(f"{data_set.name} has no images to show; these have: {known}")
    split = samples.splits[0] if split is None else split
    if split not in samples.splits:
        known = ", ".join(samples.splits)
        raise UsageError(f"unknown split {split!r}; those of {data_set.name} are {known}")
    skips = Skips()
    chosen, total = spread(samples.read(root, split, skips), count)
    return ChosenSamples(data_set.name, split, tuple(chosen), total, tuple(skips.lines()))


def spread(items: Iterable[Sample], count: int) -> tuple[list[Sample], int]:
    """Choose evenly from a stream of unknown length, holding only a few items in memory.

    Returns:
        The chosen items (`count` of them, or all) in their order, and how many there were.
    """
    kept: list[Sample] = []
    step, total = 1, 0
    for total, item in enumerate(items, start=1):
        if (total - 1) % step == 0:
            kept.append(item)
        if len(kept) > 8 * count:  # every step-th item is held: hold every second one of these
            kept, step = kept[::2], 2 * step
    chosen = min(count, len(kept))
    return [kept[place * len(kept) // chosen] for place in range(chosen)], total


_TILE = 288
_MARGIN = 14
_FONT_SIZE = 13
_LINE = 17
_INK, _PALE_INK, _SHEET = (20, 20, 20), (120, 120, 120), (255, 255, 255)
_PIXEL_ART = 96
"""Pictures up to this size are enlarged pixel by pixel, so that one sees what the model sees."""

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class CaptionedPicture:
    """One tile of the sheet."""

    image: Image.Image
    title: str
    captions: tuple[str, ...]


def contact_sheet(pictures: Sequence[CaptionedPicture], columns: int = 4) -> Image.Image:
    """Lay out RGB images of any size, one or more, in rows of `columns` tiles.

    Rows are as high as their longest captions need.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    texts = [[_lines(picture, font) for picture in row] for row in rows]
    heights = [_TILE + _LINE * max(len(lines) for lines in row) + 2 * _MARGIN for row in texts]
    width = min(columns, len(pictures)) * (_TILE + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + _MARGIN), _SHEET)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for row, row_texts, height in zip(rows, texts, heights, strict=True):
        for column, (picture, lines) in enumerate(zip(row, row_texts, strict=True)):
            left = _MARGIN + column * (_TILE + _MARGIN)
            tile = _fitted(picture.image)
            sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
            for number, (line, ink) in enumerate(lines):
                position = (left, top + _TILE + _MARGIN // 2 + number * _LINE)
                draw.text(position, line, fill=ink, font=font)
        top += height
    return sheet


def _fitted(image: Image.Image) -> Image.Image:
    """The image scaled to fit its tile."""
    longest = max(image.size)
    if longest <= _PIXEL_ART:
        factor = _TILE // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    scale = _TILE / longest
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _lines(picture: CaptionedPicture, font: Font) -> list[tuple[str, tuple[int, int, int]]]:
    """The title and the captions, broken to the width of a tile, each with its colour."""
    lines = [(picture.title, _PALE_INK)]
    for number, caption in enumerate(picture.captions, start=1):
        words = f"{number}. {caption}".split()
        lines += [(line, _INK) for line in _broken(words, font)]
    return lines


def _broken(words: Iterable[str], font: Font) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if line and font.getlength(longer) > _TILE:
            lines.append(line)
            longer = "    " + word
        line = longer
    return [*lines, line]
