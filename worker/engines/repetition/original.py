"""The preset `original`: the method that this project began with, within -60 dB of what librosa computes.

Each channel is separated on its own with the whole song in memory. Time grows with the square of the length. What both
masks drop is in neither stem.

The steps are those of librosa's vocal separation gallery: `magphase(stft(y))`,
`minimum(S, nn_filter(S, aggregate=median, metric="cosine", width=2 s))`, two `softmask` and two `istft`. The transform
and the codes are shared with the other presets.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from worker.engines.errors import TrackTooLongError, TrackTooShortError
from worker.engines.interface import AudioSource, EngineDescription, FloatArray, Progress
from worker.engines.repetition.description import DESCRIPTION, ORIGINAL_MAX_SECONDS
from worker.engines.repetition.medians import CodeArray, decode_magnitudes, middles_over_rows
from worker.engines.repetition.spectra import encode_spectra
from worker.engines.stft_frames import OVERLAP, FrameGrid, analyse, hann_window, synthesise

N_FFT = 2048
HOP_LENGTH = N_FFT // OVERLAP
WIDTH_SECONDS = 2
MARGIN_ACCOMPANIMENT = 3
MARGIN_VOCALS = 11
CHUNK_FRAMES = 64
"""Frames that one thread processes at a time. Their similarities to a song of 10 minutes take 13 MB."""


class OriginalEngine:
    """The blog post's method: each channel alone, at the song's own rate, with the whole song in memory."""

    @property
    def description(self) -> EngineDescription:
        """The description of the engine for clients."""
        return DESCRIPTION

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return DESCRIPTION.stems

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Raise TrackTooShortError or TrackTooLongError for a track that the method cannot separate."""
        del channels
        needed_frames = 2 * _width_frames(sample_rate_hz) + 3
        if _librosa_frames(n_samples) < needed_frames:
            needed_seconds = (needed_frames - 1) * HOP_LENGTH / sample_rate_hz
            raise TrackTooShortError(f"Preset original needs at least {needed_seconds:.1f} s of audio.")
        if n_samples > ORIGINAL_MAX_SECONDS * sample_rate_hz:
            raise TrackTooLongError(
                f"Preset original accepts at most {ORIGINAL_MAX_SECONDS / 60:.0f} minutes; "
                "the preset default has no limit."
            )

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """Return an upper bound of the memory that `separate` allocates for a track of this shape, in bytes."""
        del sample_rate_hz
        n_bins = N_FFT // 2 + 1
        bank_bytes = 6 * n_bins * _librosa_frames(n_samples)
        return bank_bytes + 12 * channels * n_samples + (64 << 20)

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
        """Yield the stems of the samples `start` to `stop`, each channel's computed from the whole channel.

        The parameters, blocks and errors are those of `SeparationEngine.separate`. The stems need not sum to the
        mixture.
        """
        sr, n_samples = source.sample_rate_hz, source.n_samples
        self.check_track(sample_rate_hz=sr, channels=source.channels, n_samples=n_samples)
        stop = n_samples if stop is None else stop
        stems = np.empty((2, source.channels, stop - start), np.float32)
        # BLAS would otherwise start threads of its own within each of the pool's.
        with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
            for channel in range(source.channels):
                y = source.read_samples(0, n_samples)[channel]
                stems[:, channel] = _ChannelSeparation(y, sr, pool).separate_channel()[:, start:stop]
                if progress is not None:
                    progress((channel + 1) / source.channels)
        for first in range(0, stop - start, sr):
            yield np.ascontiguousarray(stems[:, :, first : first + sr])


def _width_frames(sample_rate_hz: int) -> int:
    return WIDTH_SECONDS * sample_rate_hz // HOP_LENGTH


def _librosa_frames(n_samples: int) -> int:
    """Return the number of frames that `librosa.stft` makes: those whose centre lies on the track or at its end."""
    return 1 + n_samples // HOP_LENGTH


class _ChannelSeparation:
    """One channel of one song. librosa's frame `t` is frame `t + 1` of `FrameGrid`."""

    def __init__(self, y: FloatArray, sr: int, pool: ThreadPoolExecutor) -> None:
        self._n_samples = y.size
        self._pool = pool
        self._n_frames = _librosa_frames(y.size)
        self._n_chunks = -(-self._n_frames // CHUNK_FRAMES)
        self._width = _width_frames(sr)
        grid = FrameGrid(N_FFT, y.size)
        self._y = np.zeros((self._n_chunks * CHUNK_FRAMES + OVERLAP - 1) * HOP_LENGTH, np.float32)
        self._y[grid.n_fft // 2 : grid.n_fft // 2 + y.size] = y
        self._codes: CodeArray = np.zeros((self._n_frames, grid.n_bins), np.uint16)
        self._unit_spectra: FloatArray = np.zeros((self._n_frames, grid.n_bins), np.float32)

    def separate_channel(self) -> FloatArray:
        """Return vocals and accompaniment, shape (2, n_samples), float32."""
        chunks = range(self._n_chunks)
        list(self._pool.map(self._encode_chunk, chunks))
        stems = np.zeros((2, self._y.size), np.float32)
        for chunk, y in zip(chunks, self._pool.map(self._separate_chunk, chunks), strict=True):
            place = chunk * CHUNK_FRAMES * HOP_LENGTH
            stems[:, place : place + y.shape[1]] += y
        stems /= _window_coverage(self._n_frames, self._y.size)
        return stems[:, N_FFT // 2 : N_FFT // 2 + self._n_samples]

    def _spectra(self, chunk: int) -> NDArray[np.complex64]:
        place = chunk * CHUNK_FRAMES * HOP_LENGTH
        y = self._y[np.newaxis, place : place + (CHUNK_FRAMES + OVERLAP - 1) * HOP_LENGTH]
        return analyse(y, N_FFT)[:, : self._n_frames - chunk * CHUNK_FRAMES]

    def _encode_chunk(self, chunk: int) -> None:
        rows = slice(chunk * CHUNK_FRAMES, (chunk + 1) * CHUNK_FRAMES)
        each_bin = np.arange(self._codes.shape[1], dtype=np.int32)
        encode_spectra(self._spectra(chunk), each_bin, self._codes[rows], self._unit_spectra[rows])

    def _separate_chunk(self, chunk: int) -> FloatArray:
        filtered, n_rows = self._median_of_neighbours(chunk)
        D = np.repeat(self._spectra(chunk), 2, axis=0)
        _apply_soft_masks(D, filtered, n_rows)
        return synthesise(D, N_FFT)

    def _median_of_neighbours(self, chunk: int) -> tuple[FloatArray, NDArray[np.int32]]:
        """Return the median magnitudes of each frame's neighbours, shape (frames, bins), and how many they are."""
        first = chunk * CHUNK_FRAMES
        similarity = self._unit_spectra[first : first + CHUNK_FRAMES] @ self._unit_spectra.T
        most = int(2 * np.ceil(np.sqrt(self._n_frames - 2 * self._width + 1)))
        rows = np.zeros((similarity.shape[0], most), np.int32)
        n_rows = np.zeros(similarity.shape[0], np.int32)
        _find_neighbours(similarity, first, self._width, rows, n_rows)
        codes = np.empty((2, similarity.shape[0], self._codes.shape[1]), np.uint16)
        middles_over_rows(self._codes, rows, n_rows, codes[0], codes[1])
        middles = np.empty(codes.shape, np.float32)
        decode_magnitudes(codes.ravel(), middles.view(np.uint32).ravel())
        return middles.mean(axis=0), n_rows


def _window_coverage(n_frames: int, n_samples: int) -> FloatArray:
    """Return the sum of the squared windows over each sample, relative to its full value: below 1 near the ends."""
    coverage = np.zeros(n_samples, np.float32)
    squared = hann_window(N_FFT) ** 2 / 1.5
    for frame in range(n_frames):
        coverage[frame * HOP_LENGTH : frame * HOP_LENGTH + N_FFT] += squared
    return np.maximum(coverage, np.finfo(np.float32).tiny)


@njit(cache=True, nogil=True)
def _find_neighbours(similarity, first, width, rows, n_rows):  # type: ignore[no-untyped-def]
    """Write the neighbours that `librosa.segment.recurrence_matrix` finds in its mode `connectivity`.

    It takes the `most + 2 * width` frames that are nearest to the frame, without the frame itself, and drops those
    within `width` of it. Of the rest it keeps the `most` with the lowest index, not the nearest ones: it sorts links
    that all have the same weight.
    """
    most = rows.shape[1]
    n_frames = similarity.shape[1]
    n_nearest = min(n_frames - 1, most + 2 * width)
    for t in range(similarity.shape[0]):
        similarity[t, first + t] = np.float32(-2)
        threshold = np.partition(similarity[t], n_frames - n_nearest)[n_frames - n_nearest]
        ties_left = n_nearest - np.sum(similarity[t] > threshold)
        n = 0
        for i in range(n_frames):
            if similarity[t, i] < threshold:
                continue
            if similarity[t, i] == threshold:
                if ties_left == 0:
                    continue
                ties_left -= 1
            if abs(i - first - t) >= width and n < most:
                rows[t, n] = i
                n += 1
        n_rows[t] = n


@njit(cache=True, nogil=True)
def _apply_soft_masks(D, filtered, n_rows):  # type: ignore[no-untyped-def]
    """Multiply `D[0]` by the soft mask of the vocals and `D[1]` by that of the accompaniment, both with power 3."""
    for t in range(D.shape[1]):
        for f in range(D.shape[2]):
            S = np.sqrt(D[0, t, f].real ** 2 + D[0, t, f].imag ** 2)
            background = min(filtered[t, f], S) if n_rows[t] > 0 else S
            vocals = (S - background) ** 3
            against_vocals = (MARGIN_VOCALS * background) ** 3
            accompaniment = background**3
            against_accompaniment = (MARGIN_ACCOMPANIMENT * (S - background)) ** 3
            vocals_sum = vocals + against_vocals
            accompaniment_sum = accompaniment + against_accompaniment
            D[0, t, f] *= vocals / vocals_sum if vocals_sum > 0 else np.float32(0)
            D[1, t, f] *= accompaniment / accompaniment_sum if accompaniment_sum > 0 else np.float32(0)
