"""Fixtures shared by all test groups."""

import itertools
import os
from pathlib import Path

import pytest

from builders.display import Watching
from unimo2 import console
from unimo2.cli.app import LIBRARIES

# As the command line does, before anything imports these libraries: commands run in this process.
os.environ.update(LIBRARIES)

_NUMBERS = itertools.count()
REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples beside the checkout; absent in a user's clone."""
    if not REAL.is_dir():
        pytest.skip("no folder of real data samples beside this checkout (../shared/real)")
    return REAL


@pytest.fixture(autouse=True)
def indexes_of_their_own(tmp_path_factory, monkeypatch):
    """Lists of corpora are kept in a folder of the test's, not in the user's cache.

    It is made by those who write into it: few tests do, and `mktemp` looks at every folder there is.
    """
    folder = tmp_path_factory.getbasetemp() / "caches" / str(next(_NUMBERS))
    monkeypatch.setattr("unimo2.data.kept_index.cache_folder", lambda: folder)


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep lines of progress out of what commands print, however slow the machine is."""
    monkeypatch.setattr(console, "_FIRST_SECONDS", 3600.0)


@pytest.fixture
def no_meteor_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without METEOR's program: it reads its tables for seconds, and `test_coco.py` runs it."""
    from builders.official_java import count_equal_words

    monkeypatch.setattr("evals.metrics.captions._meteor", count_equal_words)


@pytest.fixture
def display(monkeypatch):
    """What every stage of the work told."""
    watching = Watching()
    monkeypatch.setattr(console, "_shown", [watching])
    return watching
