"""Java for pycocoevalcap, with and without the system's own."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from evals.metrics import captions as caption_metrics
from unimo2.errors import MissingData


def test_the_ptb_tokenizer_runs_without_a_system_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: PTB rules by hand: lower case, clitics split, punctuation dropped."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("java") is None
    captions = {1: [{"caption": "A dog's ball, rolling."}], 2: [{"caption": "Two men; one hat!"}]}
    with caption_metrics.java_on_path() as program:
        assert Path(shutil.which("java")) == program
        found = PTBTokenizer().tokenize(captions)
    assert found == {1: ["a dog 's ball rolling"], 2: ["two men one hat"]}
    assert os.environ["PATH"] == str(tmp_path)


def _program(folder: Path, text: str) -> Path:
    path = folder / "java"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_a_system_java_that_runs_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth: a program named java that ends well."""
    path = _program(tmp_path, "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with caption_metrics.java_on_path() as program:
        assert program == path
        assert os.environ["PATH"] == str(tmp_path)


def test_a_system_java_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: a program named java that fails, as the stub of some systems does."""
    _program(tmp_path, "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with caption_metrics.java_on_path() as program:
        assert program.parent != tmp_path
        assert os.environ["PATH"].endswith(os.pathsep + str(tmp_path))


def test_no_java_at_all_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Truth: neither a system Java nor the packaged one starts."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(caption_metrics, "_runs", lambda program: False)
    with pytest.raises(MissingData, match="no working Java"), caption_metrics.java_on_path():
        pass
