"""SPICE, where Java and the models of its parser are there; pycocoevalcap does not bring the models."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from evals.captions import Tokens
from evals.java import java_on_path, quiet
from evals.metrics import Floats
from unimo2.errors import BadData

MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
# Read by Java 9 and newer, which closes to SPICE what its serialisation (FST) and its cache (LMDB)
# look into.
_OPTIONS = "JDK_JAVA_OPTIONS"
_OPENED = (
    "java.lang",
    "java.math",
    "java.net",
    "java.nio",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
)


def why_no_spice() -> str | None:
    """Why SPICE cannot be measured; None if it can.

    Returns:
        The reason, with what to do.
    """
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        return "pycocoevalcap is not installed"
    folder = Path(spec.submodule_search_locations[0]) / "spice" / "lib"
    missing = [name for name in MODELS if not (folder / name).is_file()]
    if missing:
        return f"its parser's models are not there ({' and '.join(missing)} in {folder})"
    return None


def spice(truth: Tokens, given: Tokens) -> Floats:
    """SPICE of each image, by pycocoevalcap.

    Args:
        truth: The references.
        given: One caption an image, of the same images.

    Returns:
        `[images]` in the order of `truth`, 0 to 1; the score of a corpus is their mean.

    Raises:
        BadData: The program ended without a score, or with some that are no numbers.
    """
    from pycocoevalcap.spice.spice import Spice

    with java_on_path(), quiet(), opened_java():
        try:
            _, each = Spice().compute_score(truth, given)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise BadData(f"its program ended without a score ({error})") from None
    by_image = dict(zip(sorted(truth), (scores["All"]["f"] for scores in each), strict=True))
    found = np.array([by_image[image] for image in truth], dtype=np.float64)
    if not np.isfinite(found).all():
        raise BadData(f"its program gave no number for {np.sum(~np.isfinite(found)):,} images")
    return found


@contextmanager
def opened_java() -> Iterator[None]:
    """Let a newer Java allow what SPICE, written for Java 8, does; put the environment back after."""
    before = os.environ.get(_OPTIONS)
    flags = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED]
    os.environ[_OPTIONS] = " ".join([*([before] if before else []), *flags])
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OPTIONS]
        else:
            os.environ[_OPTIONS] = before
