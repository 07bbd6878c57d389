"""One LoDTensor file: the form in which Paddle stores a parameter, read and written with numpy alone.

Layout, little endian (released checkpoint, one such file a parameter):

    uint32  version of the LoD part (0)
    uint64  number of LoD levels (0 for a parameter); each level = uint64 byte length + its data
    uint32  version of the tensor part (0)
    int32   length of the tensor description that follows
    bytes   protobuf `VarType.TensorDesc`: field 1 the type code, field 2 the dimensions
    bytes   the values in C order, up to the end of the file

Nothing in such a file is trusted: every length is compared with what is left of the file before
anything of that length is read or allocated.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unimo2.errors import BadCheckpoint

# Codes of Paddle's `VarType.Type` that a parameter can have.
TYPE_CODES: dict[int, np.dtype[Any]] = {
    2: np.dtype("<i4"),
    3: np.dtype("<i8"),
    4: np.dtype("<f2"),
    5: np.dtype("<f4"),
    6: np.dtype("<f8"),
}
# Paddle's own limit for the number of dimensions of a tensor.
MAX_RANK = 9
# Parameters have no LoD level and the deepest texts a few: a large count is a damaged file.
MAX_LOD_LEVELS = 64
# Field 1 and nine dimensions need at most 110 bytes, whatever way they are written.
MAX_DESCRIPTION_BYTES = 1024

_VARINT, _LENGTH_DELIMITED = 0, 2


def read_lodtensor(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """Read the tensor of one file.

    Args:
        path: a regular file in the form described at the top of this module.

    Returns:
        The array in its own shape and type (float16, float32, float64, int32 or int64), in the
        byte order of this machine.

    Raises:
        BadCheckpoint: the file cannot be read, is truncated, has bytes after its data, or says
            something about itself that cannot be; no more memory than its size is ever used.
    """
    try:
        # The type is asked before opening: opening a named pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadCheckpoint(f"{shown(path)}: not a regular file; a parameter is one file")
        with open(path, "rb") as stream:
            return _Reader(stream, shown(path)).tensor()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadCheckpoint(f"{shown(path)}: cannot be read ({reason})") from error


def lodtensor_bytes(array: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """Return the content of the file that holds an array.

    Args:
        array: at most nine dimensions, none of them zero; float16, float32, float64, int32, int64.

    Raises:
        BadCheckpoint: the format has no such type or shape.
    """
    little = array.dtype.newbyteorder("<")
    codes = {dtype: code for code, dtype in TYPE_CODES.items()}
    if little not in codes:
        raise BadCheckpoint(f"a LoDTensor file cannot hold values of type {array.dtype}")
    if array.ndim > MAX_RANK or 0 in array.shape:
        raise BadCheckpoint(f"a LoDTensor file cannot hold a tensor of shape {list(array.shape)}")
    description = b"\x08" + _varint(codes[little])
    for size in array.shape:
        description += b"\x10" + _varint(size)
    head = bytes(4) + bytes(8) + bytes(4) + len(description).to_bytes(4, "little")
    return head + description + array.astype(little, copy=False).tobytes()


def write_lodtensor(path: Path, array: np.ndarray[Any, np.dtype[Any]]) -> None:
    """Write an array as one LoDTensor file; the counterpart of `read_lodtensor`."""
    path.write_bytes(lodtensor_bytes(array))


def shown(path: Path) -> str:
    """A path as one printable line for a message: file names can hold line breaks and undecodable bytes."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _varint(value: int) -> bytes:
    """A number that is not negative as protobuf writes it: seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    """Walks through one open file and knows how many of its bytes are left."""

    def __init__(self, stream: BinaryIO, shown: str) -> None:
        self.stream = stream
        self.shown = shown
        self.left = os.fstat(stream.fileno()).st_size

    def tensor(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Read the whole file."""
        self.version("LoD")
        self.skip_lod()
        self.version("tensor")
        dtype, shape = self.description()
        return self.values(dtype, shape)

    def fail(self, what: str) -> BadCheckpoint:
        """An error that names the file."""
        return BadCheckpoint(f"{self.shown}: {what}")

    def take(self, count: int, what: str) -> bytes:
        """Read exactly `count` bytes, after looking whether the file has them."""
        data = self.stream.read(count) if count <= self.left else b""
        if len(data) != count:
            raise self.fail(f"truncated: the file ends in the {what}; unpack the checkpoint again")
        self.left -= count
        return data

    def unsigned(self, width: int, what: str) -> int:
        """An unsigned little-endian integer of `width` bytes."""
        return int.from_bytes(self.take(width, what), "little")

    def version(self, part: str) -> None:
        """Read a version number; there is only version 0."""
        version = self.unsigned(4, f"{part} version")
        if version != 0:
            raise self.fail(f"not a LoDTensor file this reader knows: {part} version {version}")

    def skip_lod(self) -> None:
        """Pass over the LoD levels, sequence boundaries that no parameter needs."""
        levels = self.unsigned(8, "number of LoD levels")
        if levels > MAX_LOD_LEVELS:
            raise self.fail(f"claims {levels} LoD levels; at most {MAX_LOD_LEVELS} are read")
        for level in range(levels):
            length = self.unsigned(8, f"length of LoD level {level}")
            if length > self.left:
                raise self.fail(
                    f"truncated: LoD level {level} claims {length} bytes, {self.left} are left"
                )
            self.stream.seek(length, os.SEEK_CUR)
            self.left -= length

    def description(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Read the tensor description: element type and shape."""
        length = int.from_bytes(self.take(4, "description length"), "little", signed=True)
        if length < 0 or length > self.left:
            raise self.fail(f"tensor description of {length} bytes, {self.left} are left")
        if length > MAX_DESCRIPTION_BYTES:
            raise self.fail(
                f"tensor description of {length} bytes, more than {MAX_DESCRIPTION_BYTES}"
            )
        message = _Message(self.take(length, "tensor description"), self)
        code: int | None = None
        shape: list[int] = []
        for field, wire in message.fields():
            if (field, wire) == (1, _VARINT):
                code = message.varint()
            elif (field, wire) == (2, _VARINT):
                shape.append(message.signed())
            elif (field, wire) == (2, _LENGTH_DELIMITED):
                shape.extend(message.packed())
            else:
                raise self.fail(
                    f"tensor description has field {field} of wire type {wire}, "
                    "which a TensorDesc has not"
                )
        if code not in TYPE_CODES:
            known = ", ".join(f"{code} {dtype.name}" for code, dtype in TYPE_CODES.items())
            said = "no type code" if code is None else f"type code {code}"
            raise self.fail(f"{said} in the tensor description; known are {known}")
        return TYPE_CODES[code], self.checked(shape)

    def checked(self, shape: list[int]) -> tuple[int, ...]:
        """Refuse what no parameter has: too many dimensions, or one that is not positive."""
        if len(shape) > MAX_RANK:
            raise self.fail(f"{len(shape)} dimensions; a tensor has at most {MAX_RANK}")
        for size in shape:
            if size < 1:
                raise self.fail(f"dimension {size} in shape {shape}; every one must be positive")
        return tuple(shape)

    def values(
        self, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """Read the data; the sizes are multiplied as Python integers, which cannot overflow."""
        count = 1
        for size in shape:
            count *= size
        needed = count * dtype.itemsize
        claim = f"shape {list(shape)} of {dtype.name} needs {needed} bytes"
        if needed > self.left:
            raise self.fail(f"truncated or oversized: {claim}, the file has {self.left} left")
        if needed < self.left:
            raise self.fail(f"{self.left - needed} bytes too many after the data: {claim}")
        flat = np.empty(count, dtype)
        if self.stream.readinto(flat.view(np.uint8)) != needed:  # type: ignore[attr-defined]
            raise self.fail("truncated: the file became shorter while it was read")
        return flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape)


class _Message:
    """The few forms of the protobuf wire format that a tensor description uses."""

    def __init__(self, data: bytes, owner: _Reader) -> None:
        self.data = data
        self.owner = owner
        self.at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Give (field number, wire type) up to the end; the caller reads each field's value."""
        while self.at < len(self.data):
            key = self.varint()
            yield key >> 3, key & 7

    def varint(self) -> int:
        """An unsigned number of at most 64 bits."""
        value = 0
        # Ten groups of seven bits hold 64 bits; of the tenth only the lowest bit may be set.
        for shift in range(0, 70, 7):
            if self.at >= len(self.data):
                raise self.owner.fail("a number in the tensor description never ends")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise self.owner.fail("a number in the tensor description is longer than ten bytes")
        if value >= 1 << 64:
            raise self.owner.fail("a number in the tensor description has more than 64 bits")
        return value

    def signed(self) -> int:
        """A dimension: the 64 bits are two's complement."""
        value = self.varint()
        return value - (1 << 64) if value >= 1 << 63 else value

    def packed(self) -> list[int]:
        """The dimensions written as one run of numbers after its length in bytes."""
        length = self.varint()
        end = self.at + length
        if end > len(self.data):
            raise self.owner.fail(
                f"packed dimensions of {length} bytes, {len(self.data) - self.at} are left"
            )
        numbers = []
        while self.at < end:
            numbers.append(self.signed())
        if self.at != end:
            raise self.owner.fail("the last packed dimension runs past the length of its field")
        return numbers
