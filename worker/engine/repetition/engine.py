"""The engine behind all presets but `original`: streams a track of any length through a bank of repetitions.

Owns the order of the work, the tiles and the threads. The track is cut into tiles of fixed frames, whatever
range is asked for and however it is read, and each tile into chunks that one thread does alone, so that the
result is the same to the bit for any number of threads and any range.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from worker.engine.framing import OVERLAP, FrameGrid, analyse, n_fft_near, synthesise
from worker.engine.interface import EngineDescription, FloatArray, Progress, Source
from worker.engine.repetition.bank import CELL_FRAMES, Bank
from worker.engine.repetition.description import DESCRIPTION
from worker.engine.repetition.medians import decode, rank_over_bins, rank_over_rows
from worker.engine.repetition.spectra import N_BANDS, band_of_bin, encode, keep_voice, voice_weight

FRAME_SECONDS = 0.093
"""Length of a frame: 4096 samples at 44.1 and 48 kHz. Longer ones part tones better and smear consonants."""

CHUNK_FRAMES = 5 * CELL_FRAMES
"""Frames that one thread takes at a time."""

TILE_FRAMES = 4 * CHUNK_FRAMES
"""Frames that are yielded at a time (5.6 s at 44.1 kHz)."""

BANK_TILES = 52
"""Tiles in which repetitions are looked for (290 s at 44.1 kHz): a whole song mostly. Memory and the time per
second of audio grow with it."""


@dataclass(frozen=True)
class Settings:
    """What the presets differ in."""

    neighbours: int = 40
    quantile: float = 0.5
    margin: float = 1.0
    exponent: float = 0.6
    struck_radius_bins: int = 8
    low_hz: float = 150.0
    high_hz: float = 8000.0


class RepetitionEngine:
    """What exceeds the median of the most alike moments of the track is foreground, and taken for the voice."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return DESCRIPTION

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return DESCRIPTION.stems

    def check(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Accept every track."""

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """An upper bound of the memory that `separate` allocates for a track of this shape."""
        grid = FrameGrid(n_fft_near(FRAME_SECONDS, sample_rate_hz), n_samples)
        bank_frames = min(BANK_TILES, _n_tiles(grid)) * TILE_FRAMES
        return bank_frames * (2 * grid.n_bins + 8 * N_BANDS) + 24 * channels * TILE_FRAMES * grid.n_fft

    def separate(
        self,
        source: Source,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield vocals and accompaniment of samples `start` to `stop`; the two add up to the mixture."""
        stop = source.n_samples if stop is None else stop
        with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
            separation = _Separation(self._settings, source, pool)
            yield from separation.run(start, stop, progress or (lambda _: None))


def _n_tiles(grid: FrameGrid) -> int:
    return -(-grid.n_frames // TILE_FRAMES)


class _Separation:
    """One run over one source."""

    def __init__(self, settings: Settings, source: Source, pool: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._source = source
        self._pool = pool
        self._grid = grid = FrameGrid(n_fft_near(FRAME_SECONDS, source.sample_rate_hz), source.n_samples)
        self._n_tiles = _n_tiles(grid)
        self._bank_tiles = min(BANK_TILES, self._n_tiles)
        self._bank = Bank(self._bank_tiles * TILE_FRAMES, grid.n_bins, N_BANDS)
        self._bands = band_of_bin(grid.n_fft, source.sample_rate_hz)
        self._weight = voice_weight(grid.n_fft, source.sample_rate_hz, settings.low_hz, settings.high_hz)

    def run(self, start: int, stop: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield the stems tile by tile."""
        if start == stop:
            return
        first_tile = self._tile_of(start)
        filled = self._bank_start(first_tile)
        # What the frames of the tile before spill over into a tile's first samples.
        carry = np.zeros((self._source.channels, (OVERLAP - 1) * self._grid.hop_length), np.float32)
        for tile in range(max(first_tile - 1, 0), self._tile_of(stop - 1) + 1):
            filled = self._fill(filled, self._bank_start(tile) + self._bank_tiles)
            vocals, carry = self._vocals(tile, carry)
            tile_start = (tile * TILE_FRAMES - OVERLAP + 1) * self._grid.hop_length
            low, high = max(start, tile_start), min(stop, tile_start + vocals.shape[1])
            if low < high:
                wanted = vocals[:, low - tile_start : high - tile_start]
                yield np.stack((wanted, self._source.read(low, high) - wanted))
                progress((high - start) / (stop - start))

    def _tile_of(self, sample: int) -> int:
        return (sample // self._grid.hop_length + OVERLAP - 1) // TILE_FRAMES

    def _bank_start(self, tile: int) -> int:
        """Return the first tile of the bank that serves `tile`: around it, but not past the track's ends."""
        return min(max(tile - self._bank_tiles // 2, 0), self._n_tiles - self._bank_tiles)

    def _fill(self, first_tile: int, stop_tile: int) -> int:
        """Bring the tiles `first_tile` to `stop_tile` into the bank."""
        for tile in range(first_tile, stop_tile):
            list(self._pool.map(self._encode_chunk, *self._read_chunks(tile)))
            self._bank.advance((tile + 1) * TILE_FRAMES)
        return max(first_tile, stop_tile)

    def _vocals(self, tile: int, carry: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the finished samples of a tile, and what spills over into the next one."""
        hop_length = self._grid.hop_length
        spill = carry.shape[1]
        y = np.zeros((self._source.channels, TILE_FRAMES * hop_length + spill), np.float32)
        y[:, :spill] = carry
        chunks = self._pool.map(self._separate_chunk, *self._read_chunks(tile))
        for i, chunk in enumerate(chunks):
            place = i * CHUNK_FRAMES * hop_length
            y[:, place : place + chunk.shape[1]] += chunk
        return y[:, :-spill], y[:, -spill:].copy()

    def _read_chunks(self, tile: int) -> tuple[list[int], list[FloatArray]]:
        """Return the first frames and the samples of a tile's chunks; only this thread reads the source."""
        y = self._grid.read(self._source, tile * TILE_FRAMES, (tile + 1) * TILE_FRAMES)
        hop_length = self._grid.hop_length
        offsets = range(0, TILE_FRAMES, CHUNK_FRAMES)
        length = (CHUNK_FRAMES + OVERLAP - 1) * hop_length
        return (
            [tile * TILE_FRAMES + offset for offset in offsets],
            [y[:, offset * hop_length : offset * hop_length + length] for offset in offsets],
        )

    def _encode_chunk(self, first: int, y: FloatArray) -> None:
        rows = self._bank.rows(first, first + CHUNK_FRAMES)
        D = analyse(y, self._grid.n_fft)
        encode(D, self._bands, self._bank.codes[rows], self._bank.features[rows])

    def _separate_chunk(self, first: int, y: FloatArray) -> FloatArray:
        settings = self._settings
        stop = first + CHUNK_FRAMES
        codes = np.empty((2, CHUNK_FRAMES, self._grid.n_bins), np.uint16)
        rows, n_rows = self._bank.neighbours(first, stop, settings.neighbours)
        rank_over_rows(self._bank.codes, rows, n_rows, settings.quantile, codes[0])
        rank_over_bins(self._bank.codes[self._bank.rows(first, stop)], settings.struck_radius_bins, 0.5, codes[1])
        background = np.empty(codes.shape, np.float32)
        decode(codes.ravel(), background.view(np.uint32).ravel())
        D = analyse(y, self._grid.n_fft)
        keep_voice(D, background[0], background[1], self._weight, settings.margin, settings.exponent)
        return synthesise(D, self._grid.n_fft)
