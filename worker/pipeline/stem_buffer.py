"""Buffers the stems on the scratch disk between separation and encoding, block by block as the engine returned them.

Encoding needs the peak of all stems, to know whether they exceed the full scale of an integer format, and the peak is
known only after the last block. The samples are kept as 32-bit floats. If these do not fit into the job's share of the
disk, they are kept in 16 bits with a scale for each run of 512 samples. If that does not fit either, nothing is
buffered; the engine runs a second time instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.engines.interface import FloatArray

RUN_SAMPLES = 512
"""Samples that share a scale. In a loud moment's shadow of 12 ms, nobody hears the noise of 16 bits."""

LARGEST_INTEGER = 32_767

Shape = tuple[int, int, int]


class SampleFormat(Protocol):
    """How the samples of a stem are written."""

    def needed_bytes(self, n_samples: int, channels: int) -> int:
        """Return how many bytes a stem of a block of this length takes."""

    def encode(self, y: FloatArray) -> bytes:
        """Return the bytes of samples of shape (channels, n)."""

    def decode(self, data: NDArray[np.uint8], channels: int, n_samples: int) -> FloatArray:
        """Return the samples, shape (channels, n)."""


class Floats:
    """32-bit floats, as the engine returned them."""

    def needed_bytes(self, n_samples: int, channels: int) -> int:
        """Return how many bytes a stem of a block of this length takes."""
        return 4 * n_samples * channels

    def encode(self, y: FloatArray) -> bytes:
        """Return the bytes of samples of shape (channels, n)."""
        return y.tobytes()

    def decode(self, data: NDArray[np.uint8], channels: int, n_samples: int) -> FloatArray:
        """Return the samples, shape (channels, n)."""
        return data.view(np.float32).reshape(channels, n_samples)


class ScaledIntegers:
    """16-bit integers. Each run of samples of a channel has a scale, by which its largest sample becomes 32,767.

    The rounding is noise about 100 dB below the largest sample of the run.
    """

    def needed_bytes(self, n_samples: int, channels: int) -> int:
        """Return how many bytes a stem of a block of this length takes."""
        return channels * -(-n_samples // RUN_SAMPLES) * (2 * RUN_SAMPLES + 4)

    def encode(self, y: FloatArray) -> bytes:
        """Return the bytes of samples of shape (channels, n)."""
        channels, n = y.shape
        runs = np.pad(y, ((0, 0), (0, -n % RUN_SAMPLES))).reshape(channels, -1, RUN_SAMPLES)
        scales = np.abs(runs).max(axis=2, keepdims=True) / np.float32(LARGEST_INTEGER)
        # Otherwise a silent run would be divided by 0, and a run of the smallest floats by a number without precision.
        scales = np.maximum(scales, np.finfo(np.float32).tiny)
        # Samples that are not finite end the run elsewhere.
        with np.errstate(invalid="ignore"):
            return bytes(scales.tobytes() + np.rint(runs / scales).astype(np.int16).tobytes())

    def decode(self, data: NDArray[np.uint8], channels: int, n_samples: int) -> FloatArray:
        """Return the samples, shape (channels, n)."""
        n_runs = -(-n_samples // RUN_SAMPLES)
        scales = data[: 4 * channels * n_runs].view(np.float32).reshape(channels, n_runs, 1)
        integers = data[4 * channels * n_runs :].view(np.int16).reshape(channels, n_runs, RUN_SAMPLES)
        return np.ascontiguousarray((integers * scales).reshape(channels, -1)[:, :n_samples])


FLOATS, SCALED_INTEGERS = Floats(), ScaledIntegers()


def choose_format(n_stems: int, channels: int, n_samples: int, free_bytes: int) -> SampleFormat | None:
    """Return the most exact format in which these stems fit into so many bytes; None if they fit in none."""
    formats: tuple[SampleFormat, ...] = (FLOATS, SCALED_INTEGERS)
    for sample_format in formats:
        if n_stems * sample_format.needed_bytes(n_samples, channels) <= free_bytes:
            return sample_format
    return None


class BufferedBlock:
    """A block on the disk. Each of its stems is read when it is needed, on any thread."""

    def __init__(self, descriptor: int, offset_bytes: int, shape: Shape, sample_format: SampleFormat) -> None:
        self._descriptor = descriptor
        self._offset_bytes = offset_bytes
        self._format = sample_format
        self.shape = shape

    def __getitem__(self, stem: int) -> FloatArray:
        """Return the samples of a stem, shape (channels, n)."""
        _, channels, n = self.shape
        data = np.empty(self._format.needed_bytes(n, channels), np.uint8)
        place = self._offset_bytes + stem * data.nbytes
        view = data.data if data.size else memoryview(b"")
        while view:
            n_read = os.preadv(self._descriptor, [view], place)
            if n_read == 0:
                raise EOFError("the stem buffer is shorter than what was written to it")
            view, place = view[n_read:], place + n_read
        return self._format.decode(data, channels, n)


class StemBuffer:
    """A context that stores blocks of stems in a file. The file is deleted when the context ends."""

    def __init__(self, path: Path, sample_format: SampleFormat = FLOATS) -> None:
        self._path = path
        self._format = sample_format
        self._file = path.open("wb", buffering=0)
        self._shapes: list[Shape] = []

    @property
    def exact(self) -> bool:
        """Whether the samples are read as they were stored."""
        return self._format is FLOATS

    def append_block(self, block: FloatArray) -> None:
        """Store a copy of the block, shape (stems, channels, n)."""
        for stem in block:
            view = memoryview(self._format.encode(stem))
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
                yield BufferedBlock(file.fileno(), offset_bytes, shape, self._format)
                n_stems, channels, n = shape
                offset_bytes += n_stems * self._format.needed_bytes(n, channels)

    def __enter__(self) -> StemBuffer:
        return self

    def __exit__(self, *error: object) -> None:
        """Delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)
