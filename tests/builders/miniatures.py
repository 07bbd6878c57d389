"""What tests of the data catalogue share: small files, and the verdict on them."""

from pathlib import Path

from PIL import Image

from evals.datasets.entry import ImageCheck
from evals.datasets.registry import all_data_sets
from evals.datasets.verify import Verdict, verify


def picture(path: Path) -> None:
    """A small image that can be decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def write(path: Path, text: str) -> Path:
    """A text file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def check(root: Path, name: str, decodes: bool = True, suite=None) -> Verdict:
    """The verdict on one data set, with every image decoded."""
    return verify(all_data_sets()[name], root, ImageCheck(decodes), suite)


def here(found: Verdict) -> dict[tuple[str, str], int | None]:
    """What was counted."""
    return {(row.split, row.unit): row.here for row in found.rows if row.here is not None}
