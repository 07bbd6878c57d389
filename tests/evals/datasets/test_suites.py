"""Suites: a data root says what it is, and anything unclear is one clear error."""

import json
from pathlib import Path

import pytest

from evals.datasets import suites
from unimo2.errors import BadData, MissingData, UsageError


def _write(root: Path, **content: object) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "suite.json").write_text(json.dumps(content))
    return root


def test_a_root_without_a_description_is_real_data(tmp_path: Path) -> None:
    """Truth: an empty folder."""
    assert suites.resolve(None, tmp_path) == suites.Suite("paper", tmp_path, None)
    assert suites.resolve("paper", tmp_path).name == "paper"


def test_a_generated_suite_says_its_own_name(tmp_path: Path) -> None:
    """Truth: the description that was written."""
    root = _write(tmp_path, suite="mini", fingerprint="abc", counts={})
    assert suites.resolve(None, root) == suites.Suite("mini", root, "abc")


def test_a_root_of_the_other_suite_is_refused(tmp_path: Path) -> None:
    """Truth: the root is the other one."""
    with pytest.raises(UsageError, match="holds the suite 'paper', not 'mini'"):
        suites.resolve("mini", tmp_path)
    _write(tmp_path, suite="mini", fingerprint="abc")
    with pytest.raises(UsageError, match="holds the suite 'mini', not 'paper'"):
        suites.resolve("paper", tmp_path)


def test_the_embedded_suite_lies_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: nothing there tells how to make it; one that is there is found without a root."""
    from evals import suite_mini

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingData, match="unimo2 data make-mini"):
        suites.resolve()
    root = _write(suite_mini.default_root(), suite="mini", fingerprint="abc")
    assert tmp_path in root.parents
    assert suites.resolve() == suites.resolve("mini") == suites.Suite("mini", root, "abc")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"suite": "huge", "fingerprint": "a"}', '{"suite": "mini"}']
)
def test_a_broken_description_is_named(tmp_path: Path, text: str) -> None:
    """Truth: each text is wrong by construction."""
    (tmp_path / "suite.json").write_text(text)
    with pytest.raises(BadData, match=r"suite\.json"):
        suites.resolve(None, tmp_path)


def test_missing_roots_and_unknown_names_are_explained(tmp_path: Path) -> None:
    """Truth: neither exists."""
    with pytest.raises(MissingData, match="nowhere"):
        suites.resolve(None, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="known are mini, paper"):
        suites.resolve("maxi")
    with pytest.raises(UsageError, match="--data-root or UNIMO2_DATA"):
        suites.resolve("paper")
