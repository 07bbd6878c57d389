"""Of several launched processes one speaks."""

from pathlib import Path

import pytest

from evals.cli.train import say
from evals.training import choose_retrieval_weight


@pytest.mark.parametrize(("rank", "said"), [(None, True), ("0", True), ("1", False)])
def test_only_the_first_process_speaks_and_chooses_the_weight(
    rank: str | None,
    said: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Independent truth: RANK, as torchrun and accelerate set it; what is on the screen."""
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    say("a line")
    assert capsys.readouterr().out == ("a line\n" if said else "")
    choose_retrieval_weight(tmp_path, tmp_path, tmp_path / "train.json", "cpu")
    assert ("unchanged: no" in capsys.readouterr().err) == said
