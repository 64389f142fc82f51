"""Stems on the scratch disk between separation and encoding, as the float blocks that the engine gave.

Full scale of the integer formats is known to hold only when the last block is measured, so encoding waits
for the peaks. Where the disk's share does not hold the stems, they are not kept: the engine runs again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worker.engine.interface import FloatArray


class Spool:
    """Blocks of one shape but for their length, read back in the order in which they came; gone after the context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._shapes: list[tuple[int, ...]] = []

    def append(self, block: FloatArray) -> None:
        """Keep a copy of the block."""
        view = np.ascontiguousarray(block).data.cast("B") if block.size else memoryview(b"")
        while view:
            view = view[self._file.write(view) :]
        self._shapes.append(block.shape)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the blocks again."""
        self._file.close()
        with self._path.open("rb", buffering=0) as file:
            for shape in self._shapes:
                yield np.fromfile(file, dtype=np.float32, count=int(np.prod(shape))).reshape(shape)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        """Give the disk back."""
        self._file.close()
        self._path.unlink(missing_ok=True)
