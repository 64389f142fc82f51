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
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from worker.engine.framing import OVERLAP, FrameGrid, analyse, n_fft_near, synthesise
from worker.engine.interface import EngineDescription, FloatArray, Progress, Source
from worker.engine.repetition.bank import CELL_FRAMES, Bank
from worker.engine.repetition.description import DESCRIPTION, Settings
from worker.engine.repetition.gains import (
    drop_steady,
    fade,
    fade_weight,
    keep_voice,
    odds_of_shares,
    odds_of_steps,
    prior_log_odds,
    voice_gains,
)
from worker.engine.repetition.medians import rank_over_rows
from worker.engine.repetition.spectra import N_BANDS, band_of_bin, encode
from worker.engine.repetition.steadiness import MARGIN_FRAMES, measure_steadiness, n_short_bins

FRAME_SECONDS = 0.093
"""Length of a frame: 4096 samples at 44.1 and 48 kHz. Longer ones part tones better and smear consonants."""

CHUNK_FRAMES = 5 * CELL_FRAMES
"""Frames that one thread takes at a time."""

TILE_FRAMES = 4 * CHUNK_FRAMES
"""Frames that are yielded at a time (5.6 s at 44.1 kHz)."""

BANK_TILES = 52
"""Tiles in which repetitions are looked for (290 s at 44.1 kHz): a whole song mostly. Memory and the time per
second of audio grow with it."""


SHARE_FRAMES = 43
"""Frames (1 s) over which the voice's share is averaged to tell a voice from leakage."""


class RepetitionEngine:
    """Takes what exceeds the most alike moments of the track, and is steady, for the voice."""

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
        bank_bytes = bank_frames * (2 * grid.n_bins + 8 * N_BANDS + n_short_bins(grid.n_fft))
        return bank_bytes + (24 * channels + 8) * TILE_FRAMES * grid.n_fft

    def close(self) -> None:
        """Hold nothing between tracks."""

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


@dataclass(frozen=True)
class _Gains:
    """What is known of a tile before its voice is cut out: each bin's gain and each frame's energies."""

    gains: FloatArray
    voice: NDArray[np.float64]
    total: NDArray[np.float64]


class _Separation:
    """One run over one source.

    The bank runs ahead of the gains and these run one tile ahead of the vocals, since the voice's share of a
    frame is averaged over what comes after it too.
    """

    def __init__(self, settings: Settings, source: Source, pool: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._source = source
        self._pool = pool
        self._grid = grid = FrameGrid(n_fft_near(FRAME_SECONDS, source.sample_rate_hz), source.n_samples)
        self._n_tiles = _n_tiles(grid)
        self._bank_tiles = min(BANK_TILES, self._n_tiles)
        self._bank = Bank(self._bank_tiles * TILE_FRAMES, grid.n_bins, N_BANDS, n_short_bins(grid.n_fft))
        self._bands = band_of_bin(grid.n_fft, source.sample_rate_hz)
        log_odds = settings.decisiveness * prior_log_odds(grid.n_fft, source.sample_rate_hz) + settings.lean
        self._prior = np.exp(-log_odds).astype(np.float32)
        self._of_shares = odds_of_shares(settings.decisiveness)
        self._of_steps = odds_of_steps(settings.decisiveness)
        self._weight = fade_weight(grid.n_fft, source.sample_rate_hz)

    def run(self, start: int, stop: int, progress: Progress) -> Iterator[FloatArray]:
        """Yield the stems tile by tile."""
        if start == stop:
            return
        # The frames of the tile before spill over into the first samples that are wanted.
        first_tile = max(self._tile_of(start) - 1, 0)
        filled = self._bank_start(first_tile)
        before, here = self._nothing(), self._nothing()
        spill = np.zeros((self._source.channels, (OVERLAP - 1) * self._grid.hop_length), np.float32)
        for ahead in range(first_tile, self._tile_of(stop - 1) + 2):
            after = self._nothing()
            if ahead < self._n_tiles:
                filled = self._fill(filled, self._bank_start(ahead) + self._bank_tiles)
                after = self._gains(ahead)
            if ahead > first_tile:
                vocals, spill = self._vocals(ahead - 1, here.gains, self._fade(before, here, after), spill)
                yield from self._wanted(ahead - 1, vocals, start, stop)
                progress(max(0, min(stop, (ahead + 1) * TILE_FRAMES * self._grid.hop_length) - start) / (stop - start))
            before, here = here, after

    def _nothing(self) -> _Gains:
        """Return the gains of a tile outside of the track."""
        silence = np.zeros(TILE_FRAMES)
        return _Gains(np.zeros((0, self._grid.n_bins), np.float32), silence, silence)

    def _tile_of(self, sample: int) -> int:
        """Return the tile after which a sample is finished."""
        return (sample // self._grid.hop_length + OVERLAP - 1) // TILE_FRAMES

    def _bank_start(self, tile: int) -> int:
        """Return the first tile of the bank that serves `tile`: around it, but not past the track's ends."""
        return min(max(tile - self._bank_tiles // 2, 0), self._n_tiles - self._bank_tiles)

    def _wanted(self, tile: int, vocals: FloatArray, start: int, stop: int) -> Iterator[FloatArray]:
        """Yield the stems of those samples of a tile that lie between `start` and `stop`."""
        tile_start = (tile * TILE_FRAMES - OVERLAP + 1) * self._grid.hop_length
        low, high = max(start, tile_start), min(stop, tile_start + vocals.shape[1])
        if low < high:
            wanted = vocals[:, low - tile_start : high - tile_start]
            yield np.stack((wanted, self._source.read(low, high) - wanted))

    def _fill(self, first_tile: int, stop_tile: int) -> int:
        """Bring the tiles `first_tile` to `stop_tile` into the bank."""
        for tile in range(first_tile, stop_tile):
            list(self._pool.map(self._encode_chunk, _chunks(tile), self._read_chunks(tile, MARGIN_FRAMES)))
            self._bank.advance((tile + 1) * TILE_FRAMES)
        return max(first_tile, stop_tile)

    def _encode_chunk(self, first: int, y: FloatArray) -> None:
        rows = self._bank.rows(first, first + CHUNK_FRAMES)
        margin = MARGIN_FRAMES * self._grid.hop_length
        measure_steadiness(y, self._grid.n_fft, self._bank.steadiness[rows])
        D = analyse(y[:, margin:-margin], self._grid.n_fft)
        drop_steady(D, self._bank.steadiness[rows], self._prior, self._of_steps)
        encode(D, self._bands, self._bank.codes[rows], self._bank.features[rows])

    def _gains(self, tile: int) -> _Gains:
        """Find what is voice in a tile that lies in the bank."""
        gains, voice, total = zip(*self._pool.map(self._gains_chunk, _chunks(tile)), strict=True)
        return _Gains(np.concatenate(gains), np.concatenate(voice), np.concatenate(total))

    def _gains_chunk(self, first: int) -> tuple[FloatArray, NDArray[np.float64], NDArray[np.float64]]:
        settings = self._settings
        here = self._bank.rows(first, first + CHUNK_FRAMES)
        guess = self._bank.codes[here]
        rows, n_rows = self._bank.neighbours(first, first + CHUNK_FRAMES, settings.neighbours)
        repeating = np.empty_like(guess)
        rank_over_rows(self._bank.codes, rows, n_rows, settings.quantile, repeating)
        alone = n_rows == 0
        repeating[alone] = guess[alone]
        gains = np.empty(guess.shape, np.float32)
        voice, total = np.empty(CHUNK_FRAMES), np.empty(CHUNK_FRAMES)
        voice_gains(
            guess,
            repeating,
            self._bank.steadiness[here],
            self._prior,
            self._of_shares,
            self._of_steps,
            self._weight,
            gains,
            voice,
            total,
        )
        return gains, voice, total

    def _fade(self, before: _Gains, here: _Gains, after: _Gains) -> FloatArray:
        """Return how much of each frame's voice is kept, from 0 where its share is leakage's to 1."""
        reach = SHARE_FRAMES // 2
        over_time = np.ones(2 * reach + 1)

        def averaged(b: NDArray[np.float64], h: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.convolve(np.concatenate((b[-reach:], h, a[:reach])), over_time, mode="valid")

        voice = averaged(before.voice, here.voice, after.voice)
        total = averaged(before.total, here.total, after.total)
        return fade(voice, total, self._settings.least_share)

    def _vocals(
        self, tile: int, gains: FloatArray, fades: FloatArray, spill: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the finished samples of a tile, and what spills over into the next one."""
        hop_length = self._grid.hop_length
        y = np.zeros((self._source.channels, TILE_FRAMES * hop_length + spill.shape[1]), np.float32)
        y[:, : spill.shape[1]] = spill
        offsets = range(0, TILE_FRAMES, CHUNK_FRAMES)
        parts = [slice(offset, offset + CHUNK_FRAMES) for offset in offsets]
        chunks = self._pool.map(
            self._vocals_chunk,
            self._read_chunks(tile),
            [gains[p] for p in parts],
            [fades[p] for p in parts],
        )
        for offset, chunk in zip(offsets, chunks, strict=True):
            y[:, offset * hop_length : offset * hop_length + chunk.shape[1]] += chunk
        return y[:, : -spill.shape[1]], y[:, -spill.shape[1] :].copy()

    def _vocals_chunk(self, y: FloatArray, gains: FloatArray, fades: FloatArray) -> FloatArray:
        D = analyse(y, self._grid.n_fft)
        keep_voice(D, gains, fades)
        return synthesise(D, self._grid.n_fft)

    def _read_chunks(self, tile: int, margin_frames: int = 0) -> list[FloatArray]:
        """Return the samples of a tile's chunks and of a margin around each. Only the caller's thread reads."""
        first, stop = tile * TILE_FRAMES - margin_frames, (tile + 1) * TILE_FRAMES + margin_frames
        y = self._grid.read(self._source, first, stop)
        hop_length = self._grid.hop_length
        length = (CHUNK_FRAMES + 2 * margin_frames + OVERLAP - 1) * hop_length
        places = range(0, TILE_FRAMES * hop_length, CHUNK_FRAMES * hop_length)
        return [y[:, place : place + length] for place in places]


def _chunks(tile: int) -> range:
    """Return the first frames of a tile's chunks."""
    return range(tile * TILE_FRAMES, (tile + 1) * TILE_FRAMES, CHUNK_FRAMES)
