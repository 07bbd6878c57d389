"""Java for caption metrics, with and without the system's own."""

import shutil
import stat
from pathlib import Path

import pytest

from evals.metrics import java
from evals.metrics.captions import tokenise
from unimo2.errors import BadData, MissingData


def test_the_ptb_tokenizer_runs_without_a_system_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: PTB rules by hand: lower case, clitics split, punctuation dropped."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("java") is None
    found = tokenise({1: ["A dog's ball, rolling."], 2: ["Two men; one hat!"]})
    assert found == {1: ["a dog 's ball rolling"], 2: ["two men one hat"]}


def _program(folder: Path, text: str) -> Path:
    path = folder / "java"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_a_system_java_that_runs_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: a program named java that ends well."""
    path = _program(tmp_path, "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.find_java() == path


def test_a_system_java_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: a program named java that fails, as the stub of some systems does."""
    _program(tmp_path, "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.find_java().parent != tmp_path


def test_no_java_at_all_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Truth: neither a system Java nor the packaged one starts."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "_runs", lambda program: False)
    with pytest.raises(MissingData, match="no working Java"):
        java.find_java()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("echo oh dear >&2; exit 3", "ended with status 3 without an answer: oh dear"),
        ("sleep 30", "was stopped after 1 seconds"),
    ],
)
def test_a_program_that_fails_or_hangs_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, says: str
) -> None:
    """Truth: programs of a shell that fail, with their last word, and that never end."""
    path = _program(tmp_path, f"#!/bin/sh\nexec 0<&-\n{program}\n")
    monkeypatch.setattr(java, "find_java", lambda: path)
    monkeypatch.setattr(java, "LIMIT", 1.0)
    with pytest.raises(BadData, match=f"a test's program {says}"):
        java.run("a test", [], tmp_path)
