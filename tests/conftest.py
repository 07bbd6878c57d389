"""Fixtures shared by all test groups."""

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples beside the checkout; absent in a user's clone."""
    if not REAL.is_dir():
        pytest.skip("no folder of real data samples beside this checkout (../shared/real)")
    return REAL


@pytest.fixture(autouse=True)
def indexes_of_their_own(tmp_path_factory, monkeypatch):
    """Lists of corpora are kept in a folder of the test's, not in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("unimo2.data.kept_index.cache_folder", lambda: folder)
