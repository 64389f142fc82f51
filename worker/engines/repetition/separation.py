"""One pass of the engine over one track, tile by tile.

Each tile passes through three steps, and each step runs ahead of the next one:

1. `_fill_bank`: the bank receives the frames from half a bank before the tile to half a bank behind it.
2. `_estimate_tile`: each frame is compared with its most similar frames in the bank, which gives the gain of each
   bin. This runs one tile ahead of the third step.
3. `_render_tile`: the voice is cut out of the mixture. Frames with too small a share of voice are faded out. That share
   is averaged over half a second to each side, so this step needs the estimates of the tiles before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.interface import AudioSource, FloatArray
from worker.engines.repetition.bank import Bank
from worker.engines.repetition.description import PresetSettings
from worker.engines.repetition.gains import (
    apply_gains,
    compute_voice_gains,
    fade_bin_weights,
    fade_factors,
    keep_unvoiced,
    prior_log_odds,
    repetition_odds_table,
    steadiness_odds_table,
)
from worker.engines.repetition.medians import rank_over_rows
from worker.engines.repetition.spectra import N_BANDS, band_of_bin, encode_spectra
from worker.engines.repetition.steadiness import MARGIN_FRAMES, measure_steadiness, n_short_bins
from worker.engines.repetition.track_tiles import CHUNK_FRAMES, TILE_FRAMES, TrackTiles, chunk_starts
from worker.engines.stft_frames import OVERLAP, analyse, synthesise

SHARE_FRAMES = 43
"""Frames (1 s) over which the voice's share of the energy is averaged to tell a voice from leakage."""

EnergyArray = NDArray[np.float64]


@dataclass(frozen=True)
class _VoiceEstimate:
    """What is known of a tile before its voice is cut out.

    `gains`, shape (frames, bins), is the part of each bin that is voice. `voice_energy` and `total_energy`, shape
    (frames,), are the energies of each frame's voice and of the whole frame.
    """

    gains: FloatArray
    voice_energy: EnergyArray
    total_energy: EnergyArray


class TrackSeparation:
    """One pass over one source."""

    def __init__(self, settings: PresetSettings, source: AudioSource, pool: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._source = source
        self._pool = pool
        self._tiles = TrackTiles(sample_rate_hz=source.sample_rate_hz, n_samples=source.n_samples)
        self._grid = grid = self._tiles.grid
        self._bank = Bank(self._tiles.bank_tiles * TILE_FRAMES, grid.n_bins, N_BANDS, n_short_bins(grid.n_fft))
        self._next_bank_tile = 0
        self._bands = band_of_bin(grid.n_fft, source.sample_rate_hz)
        log_odds = settings.decisiveness * prior_log_odds(grid.n_fft, source.sample_rate_hz) + settings.lean
        self._prior_odds = np.exp(-log_odds).astype(np.float32)
        self._repetition_odds = repetition_odds_table(settings.decisiveness)
        self._steadiness_odds = steadiness_odds_table(settings.decisiveness)
        self._fade_weights = fade_bin_weights(grid.n_fft, source.sample_rate_hz)

    def separate_range(self, start: int, stop: int) -> Iterator[tuple[FloatArray, float]]:
        """Yield the stems of the samples `start` to `stop` tile by tile, each with the fraction done."""
        if start == stop:
            return
        # One tile before the first one that is wanted: its last frames reach into the first wanted samples.
        tiles = range(max(self._tiles.tile_completing(start) - 1, 0), self._tiles.tile_completing(stop - 1) + 1)
        self._next_bank_tile = self._tiles.first_bank_tile(tiles.start)
        spill = np.zeros((self._source.channels, (OVERLAP - 1) * self._grid.hop_length), np.float32)
        for tile, before, here, after in self._estimates(tiles):
            fades = self._fades(before, here, after)
            vocals, spill = self._render_tile(tile, here.gains, fades, spill)
            tile_start = self._tiles.first_sample(tile)
            low, high = max(start, tile_start), min(stop, tile_start + vocals.shape[1])
            if low < high:
                wanted = vocals[:, low - tile_start : high - tile_start]
                stems = np.stack((wanted, self._source.read_samples(low, high) - wanted))
                yield stems, (high - start) / (stop - start)

    def _estimates(self, tiles: range) -> Iterator[tuple[int, _VoiceEstimate, _VoiceEstimate, _VoiceEstimate]]:
        """Yield each tile with the estimates of the tile before it, of itself and of the tile after it."""
        silence = np.zeros(TILE_FRAMES)
        nothing = _VoiceEstimate(np.zeros((0, self._grid.n_bins), np.float32), silence, silence)
        before, here = nothing, self._estimate_tile(tiles.start)
        for tile in tiles:
            after = self._estimate_tile(tile + 1) if tile + 1 < self._tiles.count else nothing
            yield tile, before, here, after
            before, here = here, after

    def _fill_bank(self, stop_tile: int) -> None:
        """Add the frames of all tiles before `stop_tile` to the bank that are not in it yet."""
        for tile in range(self._next_bank_tile, stop_tile):
            chunks = self._tiles.read_chunks(self._source, tile, MARGIN_FRAMES)
            list(self._pool.map(self._encode_chunk, chunk_starts(tile), chunks))
            self._bank.advance((tile + 1) * TILE_FRAMES)
        self._next_bank_tile = max(self._next_bank_tile, stop_tile)

    def _encode_chunk(self, first: int, y: FloatArray) -> None:
        """Write the first guess of the accompaniment of a chunk's frames into the bank."""
        rows = self._bank.rows(first, first + CHUNK_FRAMES)
        margin = MARGIN_FRAMES * self._grid.hop_length
        measure_steadiness(y, self._grid.n_fft, self._bank.steadiness[rows])
        D = analyse(y[:, margin:-margin], self._grid.n_fft)
        keep_unvoiced(D, self._bank.steadiness[rows], self._prior_odds, self._steadiness_odds)
        encode_spectra(D, self._bands, self._bank.codes[rows], self._bank.features[rows])

    def _estimate_tile(self, tile: int) -> _VoiceEstimate:
        """Estimate which part of a tile's bins is voice."""
        self._fill_bank(self._tiles.first_bank_tile(tile) + self._tiles.bank_tiles)
        chunks = list(self._pool.map(self._estimate_chunk, chunk_starts(tile)))
        return _VoiceEstimate(
            np.concatenate([chunk.gains for chunk in chunks]),
            np.concatenate([chunk.voice_energy for chunk in chunks]),
            np.concatenate([chunk.total_energy for chunk in chunks]),
        )

    def _estimate_chunk(self, first: int) -> _VoiceEstimate:
        here = self._bank.rows(first, first + CHUNK_FRAMES)
        guess = self._bank.codes[here]
        rows, n_rows = self._bank.find_similar(first, first + CHUNK_FRAMES, self._settings.neighbours)
        repeating = np.empty_like(guess)
        rank_over_rows(self._bank.codes, rows, n_rows, self._settings.quantile, repeating)
        # A frame that nothing can be compared with is taken to repeat.
        alone = n_rows == 0
        repeating[alone] = guess[alone]
        estimate = _VoiceEstimate(np.empty(guess.shape, np.float32), np.empty(CHUNK_FRAMES), np.empty(CHUNK_FRAMES))
        compute_voice_gains(
            guess,
            repeating,
            self._bank.steadiness[here],
            self._prior_odds,
            self._repetition_odds,
            self._steadiness_odds,
            self._fade_weights,
            estimate.gains,
            estimate.voice_energy,
            estimate.total_energy,
        )
        return estimate

    def _fades(self, before: _VoiceEstimate, here: _VoiceEstimate, after: _VoiceEstimate) -> FloatArray:
        """Return a factor for each frame's voice: near 0 where its share of the energy is only leakage, else 1."""
        voice = _sum_over_time(before.voice_energy, here.voice_energy, after.voice_energy)
        total = _sum_over_time(before.total_energy, here.total_energy, after.total_energy)
        return fade_factors(voice, total, self._settings.least_share)

    def _render_tile(
        self, tile: int, gains: FloatArray, fades: FloatArray, spill: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the vocals of the samples that a tile completes, and what its frames add to the next tile's samples.

        `spill` is what the frames of the tile before add to this tile's samples.
        """
        hop_length = self._grid.hop_length
        y = np.zeros((self._source.channels, TILE_FRAMES * hop_length + spill.shape[1]), np.float32)
        y[:, : spill.shape[1]] = spill
        offsets = range(0, TILE_FRAMES, CHUNK_FRAMES)
        gains_of_chunks = [gains[offset : offset + CHUNK_FRAMES] for offset in offsets]
        fades_of_chunks = [fades[offset : offset + CHUNK_FRAMES] for offset in offsets]
        samples = self._tiles.read_chunks(self._source, tile)
        chunks = self._pool.map(self._render_chunk, samples, gains_of_chunks, fades_of_chunks)
        for offset, chunk in zip(offsets, chunks, strict=True):
            y[:, offset * hop_length : offset * hop_length + chunk.shape[1]] += chunk
        return y[:, : -spill.shape[1]], y[:, -spill.shape[1] :].copy()

    def _render_chunk(self, y: FloatArray, gains: FloatArray, fades: FloatArray) -> FloatArray:
        D = analyse(y, self._grid.n_fft)
        apply_gains(D, gains, fades)
        return synthesise(D, self._grid.n_fft)


def _sum_over_time(before: EnergyArray, here: EnergyArray, after: EnergyArray) -> EnergyArray:
    """Return for each frame of the tile `here` the sum over the `SHARE_FRAMES` frames around it."""
    reach = SHARE_FRAMES // 2
    around = np.concatenate((before[-reach:], here, after[:reach]))
    return np.convolve(around, np.ones(2 * reach + 1), mode="valid")
