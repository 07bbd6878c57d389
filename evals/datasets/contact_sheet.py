"""A contact sheet: images in a grid, with captions below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

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
