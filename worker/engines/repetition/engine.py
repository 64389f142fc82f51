"""The engine behind all presets except `original`: it streams a track of any length past a bank of its own frames.

`separation.py` has the steps, `track_tiles.py` how a track is cut for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

from worker.engines.interface import AudioSource, EngineDescription, FloatArray, Progress
from worker.engines.repetition.description import DESCRIPTION, PresetSettings
from worker.engines.repetition.separation import TrackSeparation
from worker.engines.repetition.spectra import N_BANDS
from worker.engines.repetition.steadiness import n_short_bins
from worker.engines.repetition.track_tiles import TILE_FRAMES, TrackTiles


class RepetitionEngine:
    """Takes for the voice what is steady and exceeds the most similar moments of the track."""

    def __init__(self, settings: PresetSettings) -> None:
        self._settings = settings

    @property
    def description(self) -> EngineDescription:
        """The description of the engine for clients."""
        return DESCRIPTION

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return DESCRIPTION.stems

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Accept every track."""

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """Return an upper bound of the memory that `separate` allocates for a track of this shape, in bytes."""
        tiles = TrackTiles(sample_rate_hz=sample_rate_hz, n_samples=n_samples)
        grid, bank_frames = tiles.grid, tiles.bank_tiles * TILE_FRAMES
        bank_bytes = bank_frames * (2 * grid.n_bins + 8 * N_BANDS + n_short_bins(grid.n_fft))
        return bank_bytes + (24 * channels + 8) * TILE_FRAMES * grid.n_fft

    def release_memory(self) -> None:
        """Do nothing: the engine keeps nothing between tracks."""

    def separate(
        self,
        source: AudioSource,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield vocals and accompaniment of the samples `start` to `stop` of the source.

        Parameters
        ----------
        source
            The mixture, read twice.
        start, stop
            The range in samples; by default the whole track.
        threads
            The number of threads that run at once. The caller's thread waits. The samples do not depend on the number.
        progress
            Is called after each tile.

        Yields
        ------
        ndarray, shape (2, channels, n), float32
            Vocals and accompaniment, which sum to the mixture within rounding. Each block holds the samples that a
            tile completes; the lengths n sum to `stop - start`.

        Notes
        -----
        Peak memory is that of `peak_bytes`, for any length of track. After Z. Rafii and B. Pardo, "Music/Voice
        Separation Using the Similarity Matrix", ISMIR 2012. The README beside this file explains the method.
        """
        stop = source.n_samples if stop is None else stop
        # BLAS would otherwise start threads of its own within each of the pool's.
        with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
            separation = TrackSeparation(self._settings, source, pool)
            for block, fraction_done in separation.separate_range(start, stop):
                yield block
                if progress is not None:
                    progress(fraction_done)
