"""Buffers the stems on the scratch disk between separation and encoding, as the float blocks that the engine returned.

Encoding needs the peak of all stems, to know whether they exceed the full scale of an integer format, and the peak is
known only after the last block. If the stems do not fit into the job's share of the disk, they are not buffered; the
engine runs a second time instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray


class BufferedBlock:
    """A block on the disk. Each of its stems is read when it is needed, on any thread."""

    def __init__(self, descriptor: int, offset_bytes: int, shape: tuple[int, int, int]) -> None:
        self._descriptor = descriptor
        self._offset_bytes = offset_bytes
        self.shape = shape

    def __getitem__(self, stem: int) -> FloatArray:
        """Return the samples of a stem, shape (channels, n)."""
        y = np.empty(self.shape[1:], dtype=np.float32)
        place = self._offset_bytes + stem * y.nbytes
        view = y.data.cast("B") if y.size else memoryview(b"")
        while view:
            n_read = os.preadv(self._descriptor, [view], place)
            if n_read == 0:
                raise EOFError("the stem buffer is shorter than what was written to it")
            view, place = view[n_read:], place + n_read
        return y


class StemBuffer:
    """A context that stores blocks of stems in a file. The file is deleted when the context ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._shapes: list[tuple[int, int, int]] = []

    def append_block(self, block: FloatArray) -> None:
        """Store a copy of the block, shape (stems, channels, n)."""
        view = np.ascontiguousarray(block).data.cast("B") if block.size else memoryview(b"")
        while view:
            view = view[self._file.write(view) :]
        n_stems, channels, n = block.shape
        self._shapes.append((n_stems, channels, n))

    def read_blocks(self) -> Iterator[BufferedBlock]:
        """Yield the blocks in the order in which they were stored. All of them are valid until the iterator ends."""
        self._file.close()
        offset_bytes = 0
        with self._path.open("rb", buffering=0) as file:
            for shape in self._shapes:
                yield BufferedBlock(file.fileno(), offset_bytes, shape)
                offset_bytes += 4 * math.prod(shape)

    def __enter__(self) -> StemBuffer:
        return self

    def __exit__(self, *error: object) -> None:
        """Delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)
