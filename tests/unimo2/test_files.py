"""Writing files whole or not at all, and locks of folders."""

import errno
from pathlib import Path

import pytest

from unimo2.files import clear_unfinished, is_locked, locked, write_atomically, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """Truth: the content before, and the folder's listing."""
    path = tmp_path / "a.txt"
    write_atomically(path, lambda stream: stream.write(b"old"))

    def fails(stream) -> None:  # noqa: ANN001
        stream.write(b"ne")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_atomically(path, fails)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_with_its_own_line_ends(tmp_path: Path) -> None:
    """Truth: the bytes."""
    write_text(tmp_path / "a.txt", "café\n")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xc3\xa9\n"


def test_what_a_kill_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    """Truth: the folder's listing."""
    for name in (".state.pt.1.partial", ".state.pt.22.partial", ".other.pt.1.partial", "state.pt"):
        (tmp_path / name).touch()
    clear_unfinished(tmp_path / "state.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.pt.1.partial", "state.pt"]


def test_a_lock_is_held_once_and_dropped(tmp_path: Path) -> None:
    """Truth: who asked first has it, without waiting; afterwards nobody."""
    with locked(tmp_path / "run") as mine, locked(tmp_path / "run", wait=False) as again:
        assert mine and not again and is_locked(tmp_path / "run")
    assert not is_locked(tmp_path / "run")


def test_a_file_system_without_locks_stops_only_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: the error of such a file system, raised by a stand-in."""

    def flock(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path, wait=False) as mine:
        assert not mine
    with pytest.raises(OSError, match="No locks"), locked(tmp_path):
        pass
