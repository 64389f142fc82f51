"""The stems' files in the making: all of them open at once, fed block by block, finished or given up together.

Owns their names; encoding.py owns each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from shared.formats import Encoding
from worker.crew import Crew
from worker.encoding import Encoder, open_encoder
from worker.engine.interface import FloatArray


class StemBlock(Protocol):
    """Samples of all stems, (stems, channels, n), wherever they are: an array, or what reads one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as an array's."""

    def __getitem__(self, stem: int) -> FloatArray:
        """Return the samples of one stem."""


class StemFiles:
    """A context: left in peace, the files are complete; left by an exception, they are gone."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        encoding: Encoding,
        *,
        source_rate_hz: int,
        source_channels: int,
        n_samples: int,
        crew: Crew,
        ffmpeg_path: str | None,
    ) -> None:
        self.paths = {name: folder / f"{name}.{encoding.format.extension}" for name in names}
        self._crew = crew
        # Opened here and not by the crew: the kernel ties an encoder's life to the thread that started it.
        self._encoders = [
            open_encoder(
                path,
                encoding,
                source_rate_hz=source_rate_hz,
                source_channels=source_channels,
                n_samples=n_samples,
                seed=seed,
                ffmpeg_path=ffmpeg_path,
            )
            for seed, path in enumerate(self.paths.values())
        ]

    def write(self, block: StemBlock, gain: float = 1.0) -> None:
        """Append a block with a stem for each name, multiplied by `gain`."""
        if block.shape[0] != len(self._encoders):
            raise ValueError(f"a block of {block.shape[0]} stems for {len(self._encoders)} files")
        self._crew.run([partial(_append, e, block, stem, gain) for stem, e in enumerate(self._encoders)])

    def __enter__(self) -> StemFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for encoder in self._encoders:
                encoder.close()
            return
        for encoder in self._encoders:
            encoder.abort()
        for path in self.paths.values():
            path.unlink(missing_ok=True)


def _append(encoder: Encoder, block: StemBlock, stem: int, gain: float) -> None:
    samples = block[stem]
    encoder.write(samples if gain == 1.0 else samples * np.float32(gain))
