"""The rows of a model's grounded dictionary for a reader (the paper's Figure 3)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimo2.errors import IncompatibleModel

if TYPE_CHECKING:
    from evals.inspection.dictionary_rows import DictionaryRow

ROWS = 48  # that are shown
_IMAGES = 200  # of the validation split that choose them
_SIDE = 72  # pixels of a patch with its surroundings
_OUTLINE = ("#ffffff", "#d00000")


def dictionary_rows(
    model: str, data_root: Path | None = None, limit: int = _IMAGES
) -> tuple[str, list[dict[str, Any]]]:
    """What the rows of a model's dictionary seem to represent.

    Args:
        model: A card's name or a model folder.
        data_root: Where Flickr30k lies; the embedded suite if None.
        limit: Images of its validation split to look with.

    Returns:
        A sentence, and the rows that are used most: row, images, texts, both (shares in percent),
        words, meaning, and patches as PNG files with an alternative text.

    Raises:
        IncompatibleModel: The model has no grounded dictionary.
        MissingData: The images are not there.
    """
    import zoo
    from evals.datasets.suites import resolve
    from evals.inspection.dictionary_rows import inspect
    from evals.suite_mini.patches import flickr_scenes
    from unimo2.formats.karpathy import read_karpathy
    from unimo2.formats.layout import Flickr30kFiles
    from zoo.families.unimo2 import Unimo2Scorer

    scorer = zoo.load(model)
    if not isinstance(scorer, Unimo2Scorer):
        raise IncompatibleModel(f"model '{model}' is not a pre-trained UNIMO-2")
    root = resolve(None, data_root).root
    files = Flickr30kFiles(root)
    images = read_karpathy(files.annotations, files.images, ["val"])[:limit]
    found = inspect(scorer, images, flickr_scenes(root))
    paths = {image.filename: image.path for image in images}
    side = scorer.base.config.image_size // scorer.base.config.patch_size
    used = sum(row.images + row.texts > 0 for row in found.rows)
    lead = (
        f"{used} of {len(found.rows)} rows of {model} are chosen by an image or a caption of "
        f"{len(images)} validation images; the {min(ROWS, len(found.rows))} used most are shown. "
        "'Images' and 'captions' are the share that chooses the row on its own, 'both' that of "
        "true pairs where both do."
    )
    return lead, [_line(row, paths, side) for row in found.rows[:ROWS]]


def _line(row: DictionaryRow, paths: dict[str, Path], side: int) -> dict[str, Any]:
    alike = sorted(row.purity.values(), key=lambda pair: -pair[1])[:3]
    return {
        "row": row.row,
        "images": f"{100 * row.images:.0f} %",
        "texts": f"{100 * row.texts:.0f} %",
        "both": f"{100 * row.both:.0f} %",
        "words": " ".join(row.words),
        "meaning": ", ".join(f"{value} ({100 * share:.0f} %)" for value, share in alike),
        "patches": [
            {"content": _patch(paths[name], number, side), "alt": f"patch {number} of {name}"}
            for name, number in row.patches
        ],
    }


def _patch(path: Path, number: int, side: int) -> bytes:
    """A patch, outlined, with what lies around it, as a PNG file."""
    from PIL import Image, ImageDraw

    row, column = divmod(number, side)
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = (length / side for length in picture.size)
    left, top = round((column - 1) * width), round((row - 1) * height)
    around = (left, top, left + round(3 * width), top + round(3 * height))
    shown = picture.crop(around).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    third = _SIDE // 3
    draw = ImageDraw.Draw(shown)
    for inset, colour in enumerate(_OUTLINE):
        corner, far = third - inset, 2 * third + inset
        draw.rectangle((corner, corner, far, far), outline=colour)
    out = io.BytesIO()
    shown.save(out, "PNG", optimize=True)
    return out.getvalue()
