"""Damaged checkpoints and occupied places: one clear error, and nothing half written."""

import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unimo2 import Unimo2Config
from unimo2.errors import BadCheckpoint, MissingData, Unimo2Error, UsageError
from unimo2.released import convert as released
from unimo2.released.convert import convert, parameter_path, read_released
from unimo2.released.lodtensor import read_lodtensor, write_lodtensor

PROJECTIONS = [
    f"grounded.cmcl_pooled_fc_{side}.{kind}_0" for side in ("image", "text") for kind in "bw"
]


def assert_refused(folder: Path, config: Unimo2Config, *words: str, **options: Any) -> None:
    """Conversion says the words in one line and leaves nothing behind."""
    place = folder.parent / "place"
    place.mkdir(exist_ok=True)
    with pytest.raises(BadCheckpoint) as caught:
        convert(folder, place / "out", config, **options)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["vq_emb", "vit.encoder_layer_0_multi_head_att_key_fc.w_0", "text.word_embedding"]
)
def test_missing_parameter_is_refused(
    checkpoint: Path, released_config: Unimo2Config, name: str
) -> None:
    """Truth: the one file that was removed."""
    (checkpoint / name).unlink()
    assert_refused(checkpoint, released_config, "missing", name, "--allow-partial")


def test_a_folder_without_any_parameter_is_no_partial_checkpoint(
    tmp_path: Path, released_config: Unimo2Config
) -> None:
    """Truth: nothing can be converted from a head that the model does not have."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_lodtensor(folder / "cls_out_w", np.zeros((48, 2), np.float32))
    assert_refused(folder, released_config, "no parameter", allow_partial=True)


@pytest.mark.parametrize("name", ["vq_embedding", "vit.encoder_layer_2_ffn_fc_0.b_0", ".DS_Store"])
def test_unknown_name_is_refused(
    checkpoint: Path, released_config: Unimo2Config, name: str
) -> None:
    """Truth: a name that was made up; a third layer for a model of two."""
    shutil.copy(checkpoint / "vq_emb", checkpoint / name)
    assert_refused(checkpoint, released_config, "unknown", name)
    assert_refused(checkpoint, released_config, "unknown", name, allow_partial=True)


def damage_shape(path: Path) -> None:
    write_lodtensor(path, read_lodtensor(path)[:-1])


def damage_transpose(path: Path) -> None:
    write_lodtensor(path, read_lodtensor(path).T)


def damage_type(path: Path) -> None:
    write_lodtensor(path, read_lodtensor(path).astype(np.int64))


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_dimension(path: Path) -> None:
    """Claim 2**62 rows, as a varint of nine bytes."""
    content = path.read_bytes()
    message = b"\x08\x05\x10" + b"\x80" * 8 + b"\x40" + b"\x10\x30"
    path.write_bytes(content[:16] + len(message).to_bytes(4, "little") + message + content[26:])


def damage_code(path: Path) -> None:
    content = bytearray(path.read_bytes())
    assert content[20:22] == b"\x08\x05"
    content[21] = 20
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (damage_shape, "shape"),
        (damage_transpose, "shape"),
        (damage_type, "int64"),
        (damage_end, "truncated"),
        (damage_dimension, "oversized"),
        (damage_code, "type code 20"),
    ],
)
def test_damaged_file_is_refused_and_nothing_is_written(
    checkpoint: Path, released_config: Unimo2Config, damage: Callable[[Path], None], word: str
) -> None:
    """Truth: the damage done to one file; the report names the file, and memory stays small."""
    damage(checkpoint / "vq_emb")
    tracemalloc.start()
    assert_refused(checkpoint, released_config, word, "vq_emb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


def test_damaged_file_that_the_configuration_does_not_use_is_refused_too(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: a checkpoint with a truncated file is a damaged checkpoint."""
    damage_end(checkpoint / PROJECTIONS[0])
    assert_refused(checkpoint, released_config, "truncated", PROJECTIONS[0])


def test_position_table_that_is_no_square_is_refused(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: 195 patches are no square grid."""
    damaged = np.zeros((1, 196, 48), np.float32)
    write_lodtensor(checkpoint / "vit.position_embeddings", damaged)
    assert_refused(checkpoint, released_config, "vit.position_embeddings", "shape")


@pytest.mark.parametrize("name", ["", ".", "..", "../evil", "/etc/passwd", "a/b", "a\\b", "c:x"])
def test_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    """Truth: a parameter is one file in the folder; such a name would lie elsewhere."""
    with pytest.raises(BadCheckpoint, match="must not be a path"):
        parameter_path(tmp_path, name)


def test_file_name_with_a_path_in_it_is_refused(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: a backslash is legal in a file name here and a path elsewhere."""
    shutil.copy(checkpoint / "vq_emb", checkpoint / "..\\vq_emb")
    assert_refused(checkpoint, released_config, "must not be a path")


def test_sub_folder_is_refused(checkpoint: Path, released_config: Unimo2Config) -> None:
    """Truth: the release has no folders."""
    (checkpoint / "vit").mkdir()
    assert_refused(checkpoint, released_config, "vit", "folder")


def test_link_out_of_the_folder_is_refused_and_one_inside_is_not(
    checkpoint: Path, released_config: Unimo2Config
) -> None:
    """Truth: where the links lead."""
    outside = checkpoint.parent / "vq_emb"
    shutil.move(checkpoint / "vq_emb", outside)
    (checkpoint / "vq_emb").symlink_to(outside)
    assert_refused(checkpoint, released_config, "vq_emb", "link")
    (checkpoint / "vq_emb").unlink()
    (checkpoint / "cls_out_w").symlink_to(checkpoint / "cmcl_temperature")
    shutil.move(outside, checkpoint / "vq_emb")
    assert "cls_out_w" in convert(checkpoint, checkpoint.parent / "out", released_config).unused


def test_empty_and_absent_folders_are_refused(tmp_path: Path) -> None:
    """Truth: there is nothing in them."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadCheckpoint, match="empty folder"):
        read_released(tmp_path / "empty")
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent", "file"):
        with pytest.raises(MissingData):
            read_released(tmp_path / name)


def test_output_folder_is_never_overwritten(
    released_folder: Path, released_config: Unimo2Config, checkpoint: Path
) -> None:
    """Truth: what was there before is still there."""
    out = checkpoint.parent / "out"
    out.mkdir()
    convert(released_folder, out, released_config)  # an empty folder is fine
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (checkpoint.parent / "file").write_text("mine")
    for target in (out, checkpoint.parent / "file", checkpoint, checkpoint / "out"):
        with pytest.raises(UsageError):
            convert(checkpoint, target, released_config)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert (checkpoint.parent / "file").read_text() == "mine"
    assert sorted(os.listdir(checkpoint)) == sorted(os.listdir(released_folder))


def test_failing_write_leaves_nothing_behind(
    released_folder: Path,
    released_config: Unimo2Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Truth: the folder's listing after a full disk."""

    def full_disk(state: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(released, "save_file", full_disk)
    with pytest.raises(Unimo2Error, match="No space left"):
        convert(released_folder, tmp_path / "out", released_config)
    assert list(tmp_path.iterdir()) == []
