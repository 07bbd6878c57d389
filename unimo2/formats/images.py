"""Pictures from disk as RGB, whatever web collections hold: gray, CMYK, palette, 16 bit, rotated."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from unimo2.errors import BadData, MissingData
from unimo2.formats.shards import ImageSource, TarMember

_SIXTEEN_BIT_STEP = 257  # 65535 / 255: a 16-bit gray level per 8-bit one
_DEEP_GRAY_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def load_image(path: str | ImageSource) -> Image.Image:
    """Read one picture as it is meant to be seen.

    Args:
        path: file, on its own or inside a shard, in any format that Pillow decodes (whatever its
            name ends with); of several frames the first is taken.

    Returns:
        Image of mode "RGB", fully decoded (the file is closed), turned upright; its `info["file"]` is
        the file's name, by which features that were extracted beforehand are found.

    Raises:
        MissingData: there is no such file.
        BadData: the file cannot be decoded, or is cut off before its end.
    """
    if isinstance(path, TarMember):
        source: io.BytesIO | Path = io.BytesIO(path.read())
    else:
        source = path = Path(path)
        if not path.is_file():
            raise MissingData(f"image not found: {path}")
    try:
        with Image.open(source) as image:
            image.load()
            upright = to_rgb(image)
            upright.info["file"] = path.name
            return upright
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadData(
            f"image cannot be decoded: {path} ({reason}); replace the file or leave it out"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a decoded picture upright and into 8-bit RGB.

    Args:
        image: any mode. A camera's EXIF rotation is applied; 16-bit gray keeps its proportions
            (Pillow alone would clip it to white); an alpha channel is dropped, as the usual
            `convert("RGB")` of training code does.

    Returns:
        Image of mode "RGB"; the same object if there was nothing to do.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "RGB":
        return upright
    if upright.mode in _DEEP_GRAY_MODES:
        levels = np.asarray(upright).astype(np.int64)
        eight_bit = np.clip(levels, 0, 65535) // _SIXTEEN_BIT_STEP
        return Image.fromarray(eight_bit.astype(np.uint8)).convert("RGB")
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


# Pictures of a call: a file that several items share is read once, and stays one object.


def loaded(paths: Sequence[Path]) -> list[Image.Image]:
    """Read the images of some items.

    Args:
        paths: `[items]`, with repetitions.

    Returns:
        `[items]` in RGB; the same object for the same path.

    Raises:
        MissingData: A file is not there.
        BadData: An image that cannot be decoded.
    """
    images = {path: load_image(path) for path in dict.fromkeys(paths)}
    return [images[path] for path in paths]
