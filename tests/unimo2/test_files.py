"""Writing files whole or not at all."""

from pathlib import Path

import pytest

from unimo2.files import clear_unfinished, write_atomically, write_text


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
