"""Of several launched processes one speaks."""

from pathlib import Path

import pytest

from evals.cli.train import say
from evals.training import choose_retrieval_weight
from unimo2.devices import launched_processes, launched_rank, own_cores
from unimo2.errors import UsageError


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
        monkeypatch.setenv("WORLD_SIZE", "2")
    say("a line")
    assert capsys.readouterr().out == ("a line\n" if said else "")
    choose_retrieval_weight(tmp_path, tmp_path, tmp_path / "train.json", "cpu")
    assert ("unchanged: no" in capsys.readouterr().err) == said


def test_a_rank_without_a_number_of_processes_is_not_a_launchers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Independent truth: other programs set RANK, too; a lone process must not fall silent."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for rank in ("3", "gold", ""):
        monkeypatch.setenv("RANK", rank)
        say("a line")
        assert capsys.readouterr().out == "a line\n" and launched_rank() == 0


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("WORLD_SIZE", "two", launched_processes),
        ("WORLD_SIZE", "0", launched_processes),
        ("WORLD_SIZE", "-1", launched_processes),
        ("RANK", "", None),  # as unset
        ("RANK", "1.0", launched_rank),
        ("RANK", "2", launched_rank),
        ("LOCAL_WORLD_SIZE", "0", own_cores),
        ("LOCAL_WORLD_SIZE", "\u00b2", own_cores),
    ],
)
def test_numbers_of_the_environment_that_are_none_are_named(
    name, value, read, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Independent truth: the variables of torchrun; the error itself is said by every process."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv(name, value)
    if read is None:
        assert launched_rank() == 0
        return
    with pytest.raises(UsageError, match=f"the environment has {name}={value}"):
        read()
    say("a line")
    assert capsys.readouterr().out == "a line\n"
