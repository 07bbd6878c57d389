"""Finished blocks of the score matrix on disk, each written whole or not at all.

A block is one file, `blocks/<start>-<stop>.npz`, with one array `[images, captions of the block]`
per part of the score and the seconds that it took. When all are there they are put together into
`<part>.npy`, `[images, captions]`.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from evals.retrieval.planner import PairBlock
from unimo2.files import write_atomically

Scores = NDArray[np.float32]

SECONDS = "seconds"
MATRIX_NAMES = {"score": "scores.npy"}  # other parts keep their name: itm.npy, contrastive.npy
_BLOCK = re.compile(r"(\d+)-(\d+)\.npz")


def _save(matrix: Scores, stream: IO[bytes]) -> None:
    np.save(stream, matrix)


class BlockWriter:
    """The blocks of one run folder."""

    def __init__(self, folder: Path, images: int) -> None:
        """Open the run's blocks.

        Args:
            folder: The run folder; `blocks/` below it is created.
            images: Rows of every block.
        """
        self.folder = folder
        self.images = images
        self._blocks = folder / "blocks"
        self._blocks.mkdir(parents=True, exist_ok=True)

    def finished(self) -> list[PairBlock]:
        """Blocks that are on disk and whole; a damaged one is not counted, so it is done again."""
        return sorted(
            (
                block
                for path in self._blocks.iterdir()
                if (match := _BLOCK.fullmatch(path.name))
                and self._is_whole(block := PairBlock(int(match[1]), int(match[2])))
            ),
            key=lambda block: block.start,
        )

    def write(self, block: PairBlock, parts: Mapping[str, Scores], seconds: float) -> None:
        """Keep a finished block.

        Args:
            block: Which captions.
            parts: "score" and the model's parts of it, each `[images, captions of the block]`.
            seconds: Duration of its computation.
        """
        arrays: dict[str, Any] = {**parts, SECONDS: np.float64(seconds)}
        write_atomically(self._path(block), lambda stream: np.savez(stream, **arrays))

    def keep(self, name: str, matrix: Scores) -> None:
        """Keep a matrix that the blocks were planned by, until they are discarded."""
        write_atomically(self._blocks / f"{name}.npy", partial(_save, matrix))

    def kept(self, name: str) -> Scores | None:
        """A matrix that an interrupted run kept; None if there is none."""
        try:
            return cast(Scores, np.load(self._blocks / f"{name}.npy", allow_pickle=False))
        except FileNotFoundError:
            return None

    def read(self, block: PairBlock) -> tuple[dict[str, Scores], float]:
        """The parts and seconds of a finished block; raises what numpy raises on a damaged one."""
        with np.load(self._path(block), allow_pickle=False) as content:
            parts = {name: content[name] for name in content.files if name != SECONDS}
            return parts, float(content[SECONDS])

    def assemble(self, blocks: Sequence[PairBlock]) -> tuple[dict[str, Scores], float]:
        """Put all blocks together.

        Args:
            blocks: Every block of the plan, all finished.

        Returns:
            The parts, each `[images, captions]`, and the seconds that all blocks took.
        """
        read = [self.read(block) for block in blocks]
        parts = {
            name: np.concatenate([block[name] for block, _ in read], axis=1) for name in read[0][0]
        }
        return parts, sum(seconds for _, seconds in read)

    def publish(self, parts: Mapping[str, Scores]) -> None:
        """Write the whole matrices beside the record; the blocks stay until `discard`."""
        for name, matrix in parts.items():
            path = self.folder / MATRIX_NAMES.get(name, f"{name}.npy")
            write_atomically(path, partial(_save, matrix))

    def discard(self) -> None:
        """Remove the blocks, once the matrices and the record are written."""
        shutil.rmtree(self._blocks, ignore_errors=True)

    def _path(self, block: PairBlock) -> Path:
        return self._blocks / f"{block.start}-{block.stop}.npz"

    def _is_whole(self, block: PairBlock) -> bool:
        """Whether a block's file can be read and has the right shape."""
        try:
            parts, _ = self.read(block)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        shape = (self.images, len(block))
        return "score" in parts and all(part.shape == shape for part in parts.values())
