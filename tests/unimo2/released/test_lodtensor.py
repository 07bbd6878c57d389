"""LoDTensor files: bytes written by hand here, from the format's description, are the truth."""

import os
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from unimo2.errors import BadCheckpoint
from unimo2.released.lodtensor import lodtensor_bytes, read_lodtensor, write_lodtensor

CODES = {"int32": 2, "int64": 3, "float16": 4, "float32": 5, "float64": 6}


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def description(code: int | None, dims: list[int]) -> bytes:
    head = b"" if code is None else b"\x08" + varint(code)
    return head + b"".join(b"\x10" + varint(size % 2**64) for size in dims)


def file_bytes(
    message: bytes,
    data: bytes,
    levels: list[bytes] | None = None,
    lod_version: int = 0,
    tensor_version: int = 0,
    length: int | None = None,
) -> bytes:
    levels = levels or []
    lod = b"".join(struct.pack("<Q", len(level)) + level for level in levels)
    head = struct.pack("<IQ", lod_version, len(levels)) + lod + struct.pack("<I", tensor_version)
    return head + struct.pack("<i", len(message) if length is None else length) + message + data


def read(tmp_path: Path, content: bytes) -> np.ndarray:
    path = tmp_path / "weight"
    path.write_bytes(content)
    return read_lodtensor(path)


def refused(tmp_path: Path, content: bytes) -> str:
    """What the error says after the file's name, having checked that it is one line."""
    with pytest.raises(BadCheckpoint) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "\n" not in message
    before, path, said = message.partition(str(tmp_path / "weight"))
    assert path  # pytest names the folder after the test, so words in it prove nothing
    return before + said


@pytest.mark.parametrize("name", CODES)
def test_reads_every_type_from_hand_written_bytes(tmp_path: Path, name: str) -> None:
    """Truth: struct.pack of the values behind a description written by hand."""
    values = np.array([[1, -2, 3], [4, 5, -6]], dtype=name)
    data = b"".join(values[i, j].tobytes() for i in range(2) for j in range(3))
    array = read(tmp_path, file_bytes(description(CODES[name], [2, 3]), data))
    assert array.dtype == np.dtype(name)
    np.testing.assert_array_equal(array, values)


def test_float32_layout_is_the_documented_one(tmp_path: Path) -> None:
    """Truth: a file typed byte by byte."""
    content = bytes.fromhex(
        "00000000 0000000000000000 00000000 06000000 0805 1002 1001 0000803f 000000c0"
    )
    np.testing.assert_array_equal(read(tmp_path, content), np.array([[1.0], [-2.0]], np.float32))


def test_packed_dimensions_equal_repeated_ones(tmp_path: Path) -> None:
    """Truth: protobuf's two encodings of a repeated number, mixed in one message as it allows."""
    data = np.arange(12, dtype="<f4").tobytes()
    packed = b"\x08\x05\x12\x03" + bytes([2, 3, 2])
    mixed = b"\x10\x02\x12\x02" + bytes([3, 2]) + b"\x08\x05"
    want = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    for message in (packed, mixed, description(5, [2, 3, 2])):
        np.testing.assert_array_equal(read(tmp_path, file_bytes(message, data)), want)


def test_scalar_without_dimensions(tmp_path: Path) -> None:
    """Truth: a tensor of no dimension holds one value."""
    array = read(tmp_path, file_bytes(description(5, []), struct.pack("<f", 2.5)))
    assert array.shape == () and array == 2.5


def test_lod_levels_are_passed_over(tmp_path: Path) -> None:
    """Truth: the same tensor without levels."""
    message, data = description(5, [2]), struct.pack("<2f", 1, 2)
    array = read(tmp_path, file_bytes(message, data, levels=[b"12345678" * 3, b""]))
    np.testing.assert_array_equal(array, read(tmp_path, file_bytes(message, data)))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 5, 1, 2), ()])
@pytest.mark.parametrize("name", CODES)
def test_writer_writes_what_the_format_says(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    """Truth: the bytes built by this test's own encoder, also for transposed and big-endian input."""
    values = np.arange(int(np.prod(shape, dtype=int)), dtype=name).reshape(shape)
    want = file_bytes(description(CODES[name], list(shape)), values.tobytes())
    assert lodtensor_bytes(values) == want
    assert lodtensor_bytes(values.copy(order="F")) == want
    assert lodtensor_bytes(values.astype(values.dtype.newbyteorder(">"))) == want
    write_lodtensor(tmp_path / "weight", values)
    np.testing.assert_array_equal(read_lodtensor(tmp_path / "weight"), values)


def test_writer_refuses_what_the_format_cannot_hold() -> None:
    """Truth: the list of types in the format's description."""
    for array in (np.zeros(2, np.uint8), np.zeros((0, 2), np.float32), np.zeros((1,) * 10)):
        with pytest.raises(BadCheckpoint):
            lodtensor_bytes(array)


def test_truncated_at_every_byte_is_refused(tmp_path: Path) -> None:
    """Truth: no proper prefix of a file is a file, with and without a LoD level."""
    for levels in ([], [b"12345678"]):
        whole = file_bytes(description(5, [2, 20]), bytes(160), levels=levels)
        for end in range(len(whole)):
            refused(tmp_path, whole[:end])
        assert read(tmp_path, whole).shape == (2, 20)


def test_bytes_after_the_data_are_refused(tmp_path: Path) -> None:
    """Truth: the description says where the file ends."""
    whole = file_bytes(description(5, [2]), bytes(8))
    assert "1 bytes too many" in refused(tmp_path, whole + b"\0")
    assert "4 bytes too many" in refused(tmp_path, whole + bytes(4))


@pytest.mark.parametrize(
    "dims",
    [
        [2**62],
        [2**63 - 1],
        [2**32, 2**32],  # 2**64 elements: 0 in 64 bits
        [2**31, 2**31, 4],  # 2**66 bytes: 0 in 64 bits
        [2**61, 8],
        [3, 1000],
    ],
)
def test_oversized_dimensions_are_refused_without_memory(tmp_path: Path, dims: list[int]) -> None:
    """Truth: Python's own integers say that the file is too short; memory is measured."""
    tracemalloc.start()
    message = refused(tmp_path, file_bytes(description(5, dims), bytes(64)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(4 * np.prod(np.array(dims, dtype=object))) in message
    assert peak < 200_000


@pytest.mark.parametrize("dims", [[-1], [2, -4], [-(2**63)], [0], [0, 2**62], [-2, -2]])
def test_dimensions_that_are_not_positive_are_refused(tmp_path: Path, dims: list[int]) -> None:
    """Truth: a parameter's shape has positive sizes; two negative ones have a positive product."""
    message = refused(tmp_path, file_bytes(description(5, dims), bytes(16)))
    assert "dimension" in message and "must be positive" in message


def test_more_dimensions_than_a_tensor_has_are_refused(tmp_path: Path) -> None:
    """Truth: Paddle's tensors have at most nine dimensions."""
    assert read(tmp_path, file_bytes(description(5, [1] * 9), bytes(4))).ndim == 9
    assert "10 dimensions" in refused(tmp_path, file_bytes(description(5, [1] * 10), bytes(4)))


@pytest.mark.parametrize("code", [None, 0, 1, 7, 20, 22, 2**31, 2**64 - 1])
def test_unknown_type_code_is_refused(tmp_path: Path, code: int | None) -> None:
    """Truth: five type codes are known; 20 and 22 (uint8, bfloat16) are Paddle's but no weight's."""
    assert "type code" in refused(tmp_path, file_bytes(description(code, [2]), bytes(8)))


@pytest.mark.parametrize("part", ["lod_version", "tensor_version"])
def test_other_versions_are_refused(tmp_path: Path, part: str) -> None:
    """Truth: the format described has version 0 in both places."""
    assert "version 1" in refused(tmp_path, file_bytes(description(5, [2]), bytes(8), **{part: 1}))


@pytest.mark.parametrize("length", [-1, -(2**31), 13, 2**31 - 1, 2])
def test_description_length_that_cannot_be_is_refused(tmp_path: Path, length: int) -> None:
    """Truth: the description has 4 bytes and the file 12 from there."""
    refused(tmp_path, file_bytes(description(5, [2]), bytes(8), length=length))


def test_long_description_is_refused(tmp_path: Path) -> None:
    """Truth: nine dimensions need no kilobyte, even where the file has that many bytes."""
    message = description(5, [2]) + b"\x12\x00" * 1000
    assert "more than 1024" in refused(tmp_path, file_bytes(message, bytes(8)))


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",  # the type code never comes
        b"\x08\x85",  # a number that never ends
        b"\x08" + b"\x80" * 30 + b"\x01",  # a number longer than ten bytes
        b"\x08" + b"\xff" * 9 + b"\x02",  # more than 64 bits
        b"\x08\x05\x12\x05\x02",  # packed dimensions beyond the description
        b"\x08\x05\x12\x01\x80\x01",  # the last packed dimension ends beyond its field
        b"\x08\x05\x12" + b"\xff" * 9 + b"\x01",  # packed length of 2**64 - 1
        b"\x0d\x05\x00\x00\x00\x10\x02",  # the type code in another wire type
        b"\x08\x05\x10\x02\x1a\x01x",  # a field that a tensor description has not
        b"\x08\x05\x10\x02\x13\x14",  # groups
        b"\x00",  # field number 0
    ],
)
def test_malformed_description_is_refused(tmp_path: Path, message: bytes) -> None:
    """Truth: the protobuf wire format, case by case."""
    refused(tmp_path, file_bytes(message, bytes(8)))


def test_lod_levels_beyond_the_file_are_refused(tmp_path: Path) -> None:
    """Truth: the file is shorter than the levels claim."""
    tail = struct.pack("<I", 0) + bytes(200)
    many = struct.pack("<IQ", 0, 2**64 - 1) + tail
    assert "LoD levels" in refused(tmp_path, many)
    long_level = struct.pack("<IQQ", 0, 1, 2**64 - 8) + tail
    assert "LoD level 0" in refused(tmp_path, long_level)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """Truth: the operating system's kinds of entries; a pipe without a writer must not block."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(BadCheckpoint):
            read_lodtensor(path)


def test_error_is_one_line_for_any_file_name(tmp_path: Path) -> None:
    """Truth: a line break and an undecodable byte are escaped, so that a terminal can show them."""
    name = os.fsdecode(b"line\nbreak\xff")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadCheckpoint) as caught:
        read_lodtensor(tmp_path / name)
    assert str(caught.value).isprintable() and "line\\nbreak" in str(caught.value)


def test_mutated_files_give_an_array_or_one_error(tmp_path: Path) -> None:
    """Truth: four thousand files with seeded random damage never raise anything but BadCheckpoint."""
    generator = random.Random(0)
    values = np.arange(6, dtype="<f4")
    originals = [
        file_bytes(description(5, [2, 3]), values.tobytes()),
        file_bytes(b"\x08\x05\x12\x02\x02\x03", values.tobytes(), levels=[b"12345678"]),
    ]
    path, readable = tmp_path / "weight", 0
    tracemalloc.start()
    for _ in range(4000):
        content = bytearray(generator.choice(originals))
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(content))
            action = generator.randrange(3)
            if action == 0:
                content[at] = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
            elif action == 1:
                del content[at : at + generator.randint(1, 5)]
            else:
                content[at:at] = generator.randbytes(generator.randint(1, 9))
            if not content:
                break
        path.write_bytes(content)
        try:
            array = read_lodtensor(path)
        except BadCheckpoint:
            continue
        readable += 1
        assert array.nbytes <= len(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert readable > 100  # damage to the values alone leaves a valid file
    assert peak < 1_000_000
