"""Writes the files of all stems at the same time, block by block. They are completed or deleted together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from shared.audio.formats import Encoding
from worker.audio_files.channel_layouts import LayoutChange
from worker.audio_files.encode import Encoder, open_encoder
from worker.engines.interface import FloatArray
from worker.run_support.task_pool import TaskPool

# The highest peak of all stems and mixes after they were made quieter to avoid clipping: just below full scale.
LOUDEST_PEAK = 0.9999


def common_gain(encoding: Encoding, peak: float) -> float:
    """Return the gain that all files of a run get; below 1 if the loudest one, with this peak, would clip."""
    return 1.0 if encoding.holds_any_level or peak <= 1 else LOUDEST_PEAK / peak


class StemBlock(Protocol):
    """Samples of all stems, with the shape (stems, channels, n). An array, or an object that reads them from a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as that of an array."""

    def __getitem__(self, stem: int) -> FloatArray:
        """Return the samples of one stem."""


class StemFiles:
    """A context. If it ends normally, the files are complete; if it ends with an exception, they are deleted."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        encoding: Encoding,
        *,
        source_rate_hz: int,
        layout: LayoutChange,
        n_samples: int,
        pool: TaskPool,
        ffmpeg_path: str | None,
    ) -> None:
        self.paths = {name: folder / f"{name}.{encoding.format.extension}" for name in names}
        self._pool = pool
        # Opened on this thread and not in the pool: the kernel ends an encoder with the thread that started it.
        self._encoders = [
            open_encoder(
                path,
                encoding,
                source_rate_hz=source_rate_hz,
                layout=layout,
                n_samples=n_samples,
                seed=seed,
                ffmpeg_path=ffmpeg_path,
            )
            for seed, path in enumerate(self.paths.values())
        ]

    def write_block(self, block: StemBlock, gain: float = 1.0) -> None:
        """Append a block that has one stem for each name, multiplied by `gain`."""
        if block.shape[0] != len(self._encoders):
            raise ValueError(f"a block of {block.shape[0]} stems for {len(self._encoders)} files")
        self._pool.run_tasks([partial(_append, e, block, stem, gain) for stem, e in enumerate(self._encoders)])

    def __enter__(self) -> StemFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for encoder in self._encoders:
                encoder.finish()
            return
        for encoder in self._encoders:
            encoder.abort()
        for path in self.paths.values():
            path.unlink(missing_ok=True)


def _append(encoder: Encoder, block: StemBlock, stem: int, gain: float) -> None:
    samples = block[stem]
    encoder.write_block(samples if gain == 1.0 else samples * np.float32(gain))
