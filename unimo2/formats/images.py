"""Images from disk as RGB, from any format on the web: gray, CMYK, palette, 16 bit, rotated."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from unimo2.errors import BadData, MissingData
from unimo2.formats.parsing import refuse_pointer
from unimo2.formats.shards import ImageSource, TarMember

_SIXTEEN_BIT_STEP = 257  # 65535 / 255: a 16-bit gray level per 8-bit one
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation."""
_DEEP_GRAY_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def load_image(path: str | ImageSource) -> Image.Image:
    """Read one image, decoded, upright and in RGB.

    Args:
        path: File, on its own or inside a shard, in any format that Pillow decodes (whatever its
            name ends with); of several frames the first is taken.

    Returns:
        Image of mode "RGB", fully decoded (the file is closed), turned upright; its `info["file"]` is
        the file's name, by which features that were extracted beforehand are found.

    Raises:
        MissingData: The file does not exist.
        BadData: The file cannot be decoded, or is cut off before its end.
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
            rgb = to_rgb(image)
            rgb = rgb.copy() if rgb is image else rgb
            rgb.info["file"] = path.name
            return rgb
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        refuse_pointer(content, f"image {path}")
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadData(
            f"image cannot be decoded: {path} ({reason}); replace the file or leave it out"
        ) from error


def check_image(path: Path) -> None:
    """Open an image far enough to know that `load_image` will read it; raises as it does.

    JPEG is decoded at an eighth of its size and of PNG only the checksums are read: several times as
    fast as decoding, and either meets the end of a file that was cut off.
    """
    if not path.is_file():  # a pipe would be waited for
        load_image(path)
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()
            else:
                image.draft("L", (image.width // 8, image.height // 8))  # does nothing to others
                image.load()
    except MemoryError:
        raise
    except Exception:
        load_image(path)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a decoded picture upright and into 8-bit RGB; the same object if there is nothing to do.

    A camera's EXIF rotation is applied; 16-bit gray keeps its proportions (Pillow alone would clip it
    to white); an alpha channel is dropped, as the usual `convert("RGB")` of training code does.
    """
    upright = _upright(image)
    if upright.mode == "RGB":
        return upright
    if upright.mode in _DEEP_GRAY_MODES:
        levels = np.asarray(upright).astype(np.int64)
        eight_bit = np.clip(levels, 0, 65535) // _SIXTEEN_BIT_STEP
        return Image.fromarray(eight_bit.astype(np.uint8)).convert("RGB")
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """The image rotated by its metadata's orientation, the only entry that is read.

    `ImageOps.exif_transpose` rewrites the other metadata, which fails where it is damaged
    though the pixels are.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata that cannot be read turns nothing
        turn = None
    if turn is None:
        return image
    upright = image.transpose(turn)
    # Without the orientation, which would turn it once more.
    upright.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    return upright


def loaded(paths: Sequence[Path]) -> list[Image.Image]:
    """`load_image` of `[items]` with repetitions: a path is read once, and stays one object."""
    images = {path: load_image(path) for path in dict.fromkeys(paths)}
    return [images[path] for path in paths]
