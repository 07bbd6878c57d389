from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of situations from public bug reports beside the checkout."""
    if not CASES.is_dir():
        pytest.skip("no folder of situations beside this checkout (../shared/cases)")
    return CASES
