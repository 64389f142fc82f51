"""The stems' files in the making: all of them open at once, fed block by block, finished or given up together.

Owns their names and the threads that write them; encoding.py owns each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np

from shared.formats import Encoding
from worker.encoding import open_encoder
from worker.engine.interface import FloatArray


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
        threads: int,
        ffmpeg_path: str | None,
    ) -> None:
        self.paths = {name: folder / f"{name}.{encoding.format.extension}" for name in names}
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(threads, len(names))))
        # Opened here and not in the pool: the kernel ties an encoder's life to the thread that started it.
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

    def write(self, block: FloatArray, gain: float = 1.0) -> None:
        """Append samples of shape (names, channels, n), multiplied by `gain`."""
        scaled = block if gain == 1.0 else block * np.float32(gain)
        for done in [self._pool.submit(e.write, b) for e, b in zip(self._encoders, scaled, strict=True)]:
            done.result()

    def __enter__(self) -> StemFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            for encoder in self._encoders:
                encoder.close()
            return
        for encoder in self._encoders:
            encoder.abort()
        for path in self.paths.values():
            path.unlink(missing_ok=True)
