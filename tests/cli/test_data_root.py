"""Where the data is, from the command line or the environment."""

from pathlib import Path

import pytest

from unimo2.cli.options import VARIABLE, find_data_root


@pytest.mark.parametrize(
    ("given", "suite", "environment", "expected"),
    [
        (Path("here"), None, "there", Path("here")),
        (Path("here"), "mini", "there", Path("here")),
        (None, None, "there", Path("there")),
        (None, "paper", "there", Path("there")),
        (None, "mini", "there", None),
        (None, None, "", None),
        (None, None, None, None),
    ],
)
def test_the_command_line_comes_first_and_real_data_is_not_mini(
    given, suite, environment, expected, monkeypatch
):
    """Against every combination by hand; the environment's data is real, so not the mini suite."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if environment is not None:
        monkeypatch.setenv(VARIABLE, environment)
    assert find_data_root(given, suite) == expected
