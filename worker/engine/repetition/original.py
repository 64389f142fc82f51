"""Preset `original`: the method that this project began with, within -60 dB of what librosa computes for it.

Owns that method and its parameters; shares the codes and the transform with the other presets. Each channel
is separated by itself with the whole song in memory, and time grows with the square of the length. What
both masks drop is in neither stem.

The steps are those of librosa's vocal separation gallery: `magphase(stft(y))`,
`minimum(S, nn_filter(S, aggregate=median, metric="cosine", width=2 s))`, two `softmask` and two `istft`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from worker.engine.errors import TrackTooLongError, TrackTooShortError
from worker.engine.framing import OVERLAP, FrameGrid, analyse, synthesise
from worker.engine.interface import EngineDescription, FloatArray, Progress, Source
from worker.engine.repetition.description import DESCRIPTION, ORIGINAL_MAX_SECONDS
from worker.engine.repetition.medians import CodeArray, decode, middles_over_rows
from worker.engine.repetition.spectra import encode

N_FFT = 2048
HOP_LENGTH = N_FFT // OVERLAP
WIDTH_SECONDS = 2
MARGIN_ACCOMPANIMENT = 3
MARGIN_VOCALS = 11
CHUNK_FRAMES = 64
"""Frames that one thread takes at a time; their similarities to a song of 10 min take 13 MB."""


class OriginalEngine:
    """The post's method: each channel by itself, at the song's own rate, the whole song in memory."""

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return DESCRIPTION

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return DESCRIPTION.stems

    def check(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Raise TrackTooShortError or TrackTooLongError for a track that the method does not take."""
        del channels
        needed_frames = 2 * _width_frames(sample_rate_hz) + 3
        if _librosa_frames(n_samples) < needed_frames:
            needed_seconds = (needed_frames - 1) * HOP_LENGTH / sample_rate_hz
            raise TrackTooShortError(f"Preset original needs at least {needed_seconds:.1f} s of audio.")
        if n_samples > ORIGINAL_MAX_SECONDS * sample_rate_hz:
            raise TrackTooLongError(
                f"Preset original takes at most {ORIGINAL_MAX_SECONDS / 60:.0f} minutes; "
                "preset default takes any length."
            )

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """An upper bound of the memory that `separate` allocates for a track of this shape."""
        del sample_rate_hz
        n_bins = N_FFT // 2 + 1
        bank_bytes = 6 * n_bins * _librosa_frames(n_samples)
        return bank_bytes + 12 * channels * n_samples + (64 << 20)

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
        """Yield the stems of samples `start` to `stop`, each channel's computed from all of its samples."""
        sr, n_samples = source.sample_rate_hz, source.n_samples
        self.check(sample_rate_hz=sr, channels=source.channels, n_samples=n_samples)
        stop = n_samples if stop is None else stop
        stems = np.empty((2, source.channels, stop - start), np.float32)
        with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
            for channel in range(source.channels):
                y = source.read(0, n_samples)[channel]
                stems[:, channel] = _Channel(y, sr, pool).separate()[:, start:stop]
                if progress is not None:
                    progress((channel + 1) / source.channels)
        for first in range(0, stop - start, sr):
            yield np.ascontiguousarray(stems[:, :, first : first + sr])


def _width_frames(sample_rate_hz: int) -> int:
    return WIDTH_SECONDS * sample_rate_hz // HOP_LENGTH


def _librosa_frames(n_samples: int) -> int:
    """Return how many frames `librosa.stft` makes: those whose middle lies on the track or at its end."""
    return 1 + n_samples // HOP_LENGTH


class _Channel:
    """One channel of one song. librosa's frame `t` is frame `t + 1` of our grid."""

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

    def separate(self) -> FloatArray:
        """Return vocals and accompaniment, shape (2, n_samples)."""
        chunks = range(self._n_chunks)
        list(self._pool.map(self._encode, chunks))
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

    def _encode(self, chunk: int) -> None:
        rows = slice(chunk * CHUNK_FRAMES, (chunk + 1) * CHUNK_FRAMES)
        each_bin = np.arange(self._codes.shape[1], dtype=np.int32)
        encode(self._spectra(chunk), each_bin, self._codes[rows], self._unit_spectra[rows])

    def _separate_chunk(self, chunk: int) -> FloatArray:
        first = chunk * CHUNK_FRAMES
        similarity = self._unit_spectra[first : first + CHUNK_FRAMES] @ self._unit_spectra.T
        most = int(2 * np.ceil(np.sqrt(self._n_frames - 2 * self._width + 1)))
        rows = np.zeros((similarity.shape[0], most), np.int32)
        n_rows = np.zeros(similarity.shape[0], np.int32)
        _neighbours(similarity, first, self._width, rows, n_rows)
        codes = np.empty((2, similarity.shape[0], self._codes.shape[1]), np.uint16)
        middles_over_rows(self._codes, rows, n_rows, codes[0], codes[1])
        middles = np.empty(codes.shape, np.float32)
        decode(codes.ravel(), middles.view(np.uint32).ravel())
        D = np.repeat(self._spectra(chunk), 2, axis=0)
        _mask(D, middles.mean(axis=0), n_rows)
        return synthesise(D, N_FFT)


def _window_coverage(n_frames: int, n_samples: int) -> FloatArray:
    """Return the squared windows' sum over its constant value: below 1 where the ends lack frames."""
    coverage = np.zeros(n_samples, np.float32)
    squared = np.hanning(N_FFT + 1)[:-1].astype(np.float32) ** 2 / 1.5
    for frame in range(n_frames):
        coverage[frame * HOP_LENGTH : frame * HOP_LENGTH + N_FFT] += squared
    return np.maximum(coverage, np.finfo(np.float32).tiny)


@njit(cache=True, nogil=True)
def _neighbours(similarity, first, width, rows, n_rows):  # type: ignore[no-untyped-def]
    """Fill in the neighbours that `librosa.segment.recurrence_matrix` finds in its mode `connectivity`.

    Of the `most + 2 * width` nearest frames other than the frame itself it drops those within `width`, and
    keeps of the rest the `most` with the lowest index, not the nearest: it sorts links that are all equal.
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
def _mask(D, filtered, n_rows):  # type: ignore[no-untyped-def]
    """Multiply `D[0]` by the vocals' soft mask and `D[1]` by the accompaniment's, both of power 3."""
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
