"""The reference vectors in tests/reference/A, as files of the released checkpoint's own form."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unimo2 import Unimo2Config
from unimo2.released.config import config_from_released

REFERENCE = Path(__file__).parents[1] / "reference" / "A"


@pytest.fixture(scope="session")
def released_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released checkpoint folder, byte by byte as the authors' code wrote it; not to be changed."""
    folder = tmp_path_factory.mktemp("released")
    with np.load(REFERENCE / "params.npz") as params:
        for name in params.files:
            (folder / name).write_bytes(params[name].tobytes())
    return folder


@pytest.fixture
def released_fields() -> dict[str, Any]:
    """The released code's configuration fields of that checkpoint."""
    return json.loads((REFERENCE / "config.json").read_text())["config"]


@pytest.fixture
def checkpoint(released_folder: Path, tmp_path: Path) -> Path:
    """A copy of the released checkpoint that a test may damage."""
    return Path(shutil.copytree(released_folder, tmp_path / "checkpoint"))


@pytest.fixture
def released_config(released_fields: dict[str, Any]) -> Unimo2Config:
    """That checkpoint's configuration in our words, with its dictionary."""
    return Unimo2Config.released(**config_from_released(released_fields))
