"""Blocks of float samples into one file of any format, in bounded memory.

WAV and FLAC are written by libsndfile from integers that are rounded here, so that what full scale, dither
and clipping mean is decided in one place; the lossy formats by an ffmpeg process behind a pipe, which writes
the gapless data (LAME tag, edit list, granule positions) that soundfile does not. Owns no gain and no tags.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from shared.errors import ScratchFullError, SeparationFailedError
from shared.formats import Encoding
from worker import ffmpeg
from worker.engine.interface import FloatArray

# libFLAC's effort, 0 to 1 of 8 levels. Level 5, its own default, saves 0.04 to 0.24 % of a stem and takes a seventh
# longer; level 3 costs up to 6 % of size.
FLAC_COMPRESSION = 4 / 8

# Past this a WAV's 32-bit sizes overflow, and it is written as RF64; room for the header is left.
MAX_WAV_BYTES = (1 << 32) - (1 << 16)

# How long an encoder may take to finish what it has been given.
FINISH_SECONDS = 120.0

DISK_FULL = "The stems cannot be written: the disk is full."

SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}

# libvorbis is driven by quality, since not every bitrate exists at every rate. Nominal kbit/s of quality 0 to 10
# for stereo at 44.1 kHz.
VORBIS_NOMINAL_KBPS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 480)


class Encoder(Protocol):
    """One file in the making."""

    def write(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n)."""

    def close(self) -> None:
        """Finish the file."""

    def abort(self) -> None:
        """Give up; the file is incomplete."""


def open_encoder(
    path: Path,
    encoding: Encoding,
    *,
    source_rate_hz: int,
    source_channels: int,
    n_samples: int,
    seed: int,
    ffmpeg_path: str | None,
) -> Encoder:
    """Start a file. `seed` makes the dither of one stem differ from another's, and a second run's not."""
    if encoding.bit_depth is not None:
        return _LosslessEncoder(path, encoding, n_samples=n_samples, seed=seed)
    return _LossyEncoder(
        path,
        encoding,
        source_rate_hz=source_rate_hz,
        source_channels=source_channels,
        ffmpeg_path=ffmpeg_path,
    )


class _LosslessEncoder:
    """WAV or FLAC, by libsndfile."""

    def __init__(self, path: Path, encoding: Encoding, *, n_samples: int, seed: int) -> None:
        self._bit_depth = encoding.bit_depth
        self._random = np.random.Generator(np.random.SFC64(seed))
        container, options = "FLAC", {"compression_level": FLAC_COMPRESSION}
        if encoding.format.name == "wav":
            n_bytes = n_samples * encoding.channels * (encoding.bit_depth or 0) // 8
            # Only the extensible header says which loudspeakers more than two channels are for.
            small = "WAV" if encoding.channels <= 2 else "WAVEX"
            container, options = ("RF64" if n_bytes > MAX_WAV_BYTES else small), {}
        # Python's own error names a folder that is missing or closed; libsndfile's says nothing.
        path.open("wb").close()
        self._file: Any = self._open(
            str(path),
            "w",
            samplerate=encoding.sample_rate_hz,
            channels=encoding.channels,
            format=container,
            subtype=SUBTYPES[encoding.bit_depth or 0],
            **options,
        )

    @staticmethod
    def _open(path: str, mode: str, **options: Any) -> Any:
        try:
            return soundfile.SoundFile(path, mode, **options)
        except soundfile.LibsndfileError as error:
            raise ScratchFullError(DISK_FULL) from error

    def write(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n), a second at a time."""
        step = self._file.samplerate
        for start in range(0, block.shape[1], step):
            samples = self._quantize(np.ascontiguousarray(block[:, start : start + step].T))
            try:
                self._file.write(samples)
            except soundfile.LibsndfileError as error:
                raise ScratchFullError(DISK_FULL) from error

    def _quantize(self, samples: FloatArray) -> NDArray[Any]:
        """Return what libsndfile stores bit by bit: floats, or integers aligned to the left."""
        if self._bit_depth == 16:
            return quantize_16_bit(samples, self._random)
        if self._bit_depth == 24:
            # At 24 bits the rounding error lies 50 dB below any converter's noise: dither would change nothing.
            steps = samples * np.float32(1 << 23)
            np.clip(np.rint(steps, out=steps), -(1 << 23), (1 << 23) - 1, out=steps)
            return np.left_shift(steps.astype(np.int32), 8)
        return samples

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    abort = close


def quantize_16_bit(samples: FloatArray, random: np.random.Generator) -> NDArray[np.int16]:
    """Return samples rounded to 16 bits with triangular dither of two steps' width.

    Digital silence stays silence: noise where nothing was would only cost bytes.
    """
    steps = samples * np.float32(1 << 15)
    if samples.any():
        dither = random.random(samples.shape, dtype=np.float32)
        dither -= random.random(samples.shape, dtype=np.float32)
        steps += dither
    return np.clip(np.rint(steps, out=steps), -(1 << 15), (1 << 15) - 1, out=steps).astype(np.int16)


class _LossyEncoder:
    """MP3, Vorbis, Opus or AAC, by an ffmpeg process that is fed through a pipe."""

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        *,
        source_rate_hz: int,
        source_channels: int,
        ffmpeg_path: str | None,
    ) -> None:
        self._name = encoding.format.name
        self._log_path = path.with_name(path.name + ".log")
        with self._log_path.open("wb") as log:
            self._process = ffmpeg.start(
                [
                    *("-v", "error", "-f", "f32le", "-ar", str(source_rate_hz)),
                    *("-ch_layout", _layout(source_channels), "-i", "pipe:0"),
                    *("-ar", str(encoding.sample_rate_hz), "-ch_layout", _layout(encoding.channels)),
                    *(*_codec_options(encoding), "-y", f"file:{path}"),
                ],
                ffmpeg_path=ffmpeg_path,
                confinement=ffmpeg.Confinement(writable_folder=path.resolve().parent),
                stdin=subprocess.PIPE,
                stderr=log,
            )

    def write(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n)."""
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it was opened as a pipe
        try:
            self._process.stdin.write(np.ascontiguousarray(block.T).data.cast("B"))
        except BrokenPipeError:
            self._fail()

    def close(self) -> None:
        """Finish the file. Raises SeparationFailedError if the encoder did not."""
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it was opened as a pipe
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._fail()
        if not ffmpeg.wait(self._process, seconds=FINISH_SECONDS) or self._process.returncode != 0:
            self._fail()
        self._log_path.unlink()

    def abort(self) -> None:
        """Give up; the file is incomplete."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            # What is still buffered has nowhere to go.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._log_path.unlink(missing_ok=True)

    def _fail(self) -> NoReturn:
        # The message is complete only once the process has ended.
        self._process.kill()
        self._process.wait()
        with self._log_path.open("rb") as log:
            text = log.read(1 << 16).decode("utf-8", "replace").strip()
        self.abort()
        if "No space left on device" in text or "File too large" in text:
            raise ScratchFullError(DISK_FULL)
        raise SeparationFailedError(f"The {self._name} encoder failed: {text[:200] or 'no message'}")


def _codec_options(encoding: Encoding) -> tuple[str, ...]:
    rate = f"{encoding.bitrate_kbps}k"
    return {
        "mp3": ("-c:a", "libmp3lame", "-b:a", rate, "-f", "mp3"),
        "ogg": ("-c:a", "libvorbis", "-q:a", f"{_vorbis_quality(encoding.bitrate_kbps or 0):.2f}", "-f", "ogg"),
        "opus": ("-c:a", "libopus", "-b:a", rate, "-f", "opus"),
        "m4a": ("-c:a", "aac", "-b:a", rate, "-movflags", "+faststart", "-f", "ipod"),
    }[encoding.format.name]


def _vorbis_quality(bitrate_kbps: int) -> float:
    return float(np.interp(bitrate_kbps, VORBIS_NOMINAL_KBPS, range(len(VORBIS_NOMINAL_KBPS))))


def _layout(channels: int) -> str:
    """Return the usual arrangement of loudspeakers for a count.

    A source that has another keeps its channels in their order, under this name: not every codec knows all
    arrangements, and naming in and output alike keeps ffmpeg from mixing one into the other.
    """
    return ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")[channels - 1]
