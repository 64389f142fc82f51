"""Stems on the scratch disk between separation and encoding, as the float blocks that the engine gave.

Full scale of the integer formats is known to hold only when the last block is measured, so encoding waits
for the peaks. Where the disk's share does not hold the stems, they are not kept: the engine runs again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worker.engine.interface import FloatArray


class SpooledBlock:
    """A block on the disk, of which a stem is read when it is asked for, on whatever thread."""

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
                raise EOFError("the spool is shorter than what was written")
            view, place = view[n_read:], place + n_read
        return y


class Spool:
    """Blocks of stems, read back in the order in which they came; gone after the context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._shapes: list[tuple[int, int, int]] = []

    def append(self, block: FloatArray) -> None:
        """Keep a copy of the block (stems, channels, n)."""
        view = np.ascontiguousarray(block).data.cast("B") if block.size else memoryview(b"")
        while view:
            view = view[self._file.write(view) :]
        n_stems, channels, n = block.shape
        self._shapes.append((n_stems, channels, n))

    def blocks(self) -> Iterator[SpooledBlock]:
        """Yield the blocks again, each valid until the last has been asked for."""
        self._file.close()
        offset_bytes = 0
        with self._path.open("rb", buffering=0) as file:
            for shape in self._shapes:
                yield SpooledBlock(file.fileno(), offset_bytes, shape)
                offset_bytes += 4 * math.prod(shape)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        """Give the disk back."""
        self._file.close()
        self._path.unlink(missing_ok=True)
