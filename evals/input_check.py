"""All images of a run are opened before its first batch, so that a bad one costs no work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unimo2.errors import BadData, Unimo2Error
from unimo2.formats.images import check_image
from unimo2.progress import tracked


def check(paths: Sequence[Path]) -> None:
    """Open the images, on all processors: Pillow decodes outside the interpreter's lock.

    Args:
        paths: Files, with repetitions.

    Raises:
        BadData: Some cannot be read; the first is named.
    """
    distinct = list(dict.fromkeys(paths))
    faults = []
    pool = ThreadPoolExecutor()
    try:
        opened = pool.map(_fault, distinct)
        for fault in tracked(opened, "opening images", "images", len(distinct)):
            faults += [fault] if fault else []
    finally:
        pool.shutdown(cancel_futures=True)  # also of an interrupted run
    if len(faults) == 1:
        raise BadData(faults[0])
    if faults:
        raise BadData(
            f"{len(faults):,} of {len(distinct):,} images cannot be read; the first: {faults[0]}"
        )


def _fault(path: Path) -> str:
    """Why an image cannot be read; "" if it can."""
    try:
        check_image(path)
    except Unimo2Error as error:
        return str(error)
    return ""
