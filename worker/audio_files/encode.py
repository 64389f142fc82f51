"""Encodes blocks of float samples into one file of any output format, in bounded memory.

libsndfile writes WAV and FLAC from integers that are rounded here, so full scale, dither and clipping mean the same for
both. The lossy formats, and ALAC, are written by an ffmpeg process that reads from a pipe. It adds the data for gapless
playback (LAME tag, edit list, granule positions) that soundfile does not write.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import soundfile
from mutagen.flac import FLAC
from numpy.typing import NDArray

from shared.audio.formats import Encoding
from shared.errors import ScratchFullError, SeparationFailedError
from worker.audio_files import ffmpeg
from worker.audio_files.channel_layouts import LayoutChange
from worker.engines.interface import FloatArray

# libFLAC's effort, from 0 to 1 in 8 levels. Level 5, its default, makes stems 0.04 to 0.24 % smaller and takes a
# seventh longer. With level 3 they are up to 6 % larger.
FLAC_COMPRESSION = 4 / 8

# Beyond this the 32-bit sizes of WAV overflow, and RF64 is written instead. Leaves room for header, tags and pictures.
MAX_WAV_BYTES = (1 << 32) - (160 << 20)

# How long an encoder may take to finish after the last samples.
FINISH_SECONDS = 120.0

DISK_FULL = "{} cannot be written: the disk is full."

LIBSNDFILE_FORMATS = frozenset({"wav", "flac"})
"""What libsndfile writes."""

SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}

ALAC_SAMPLES = {16: ("-sample_fmt", "s16p"), 24: ("-sample_fmt", "s32p", "-bits_per_raw_sample", "24")}
"""The arguments that give ffmpeg's encoder the bit depth: it takes 24 bits from the upper bits of 32."""

# libvorbis is controlled by quality, because not every bitrate exists at every sample rate. These are the nominal
# kbit/s of the qualities 0 to 10, for stereo at 44.1 kHz.
VORBIS_NOMINAL_KBPS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 480)


class Encoder(Protocol):
    """One file that is being written."""

    def write_block(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n)."""

    def finish(self) -> None:
        """Complete the file."""

    def abort(self) -> None:
        """Stop writing. The file stays incomplete."""


def open_encoder(
    path: Path,
    encoding: Encoding,
    *,
    source_rate_hz: int,
    layout: LayoutChange,
    n_samples: int,
    seed: int,
    ffmpeg_path: str | None,
) -> Encoder:
    """Start a file. `seed` makes the dither differ from stem to stem, and repeat in a second run."""
    if encoding.bit_depth is not None and encoding.format.name in LIBSNDFILE_FORMATS:
        return _LosslessEncoder(path, encoding, layout=layout, n_samples=n_samples, seed=seed)
    return _FfmpegEncoder(
        path,
        encoding,
        source_rate_hz=source_rate_hz,
        layout=layout,
        ffmpeg_path=ffmpeg_path,
    )


class _LosslessEncoder:
    """Writes WAV or FLAC with libsndfile."""

    def __init__(self, path: Path, encoding: Encoding, *, layout: LayoutChange, n_samples: int, seed: int) -> None:
        self._path = path
        self._format_name = encoding.format.name
        self._layout = layout
        self._bit_depth = encoding.bit_depth
        self._random = np.random.Generator(np.random.SFC64(seed))
        container, options = "FLAC", {"compression_level": FLAC_COMPRESSION}
        if encoding.format.name == "wav":
            n_bytes = n_samples * encoding.channels * (encoding.bit_depth or 0) // 8
            # Only the extensible header says which loudspeakers the channels are for, beyond two.
            small = "WAV" if encoding.channels <= 2 else "WAVEX"
            container, options = ("RF64" if n_bytes > MAX_WAV_BYTES else small), {}
        # Python's own error says what is wrong with a missing or read-only folder; libsndfile's does not.
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
            # As bytes: soundfile itself refuses paths that are not UTF-8.
            return soundfile.SoundFile(os.fsencode(path), mode, **options)
        except soundfile.LibsndfileError as error:
            raise ScratchFullError(DISK_FULL.format(Path(path).name)) from error

    def write_block(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n), one second at a time."""
        step = self._file.samplerate
        for start in range(0, block.shape[1], step):
            samples = self._quantize(np.ascontiguousarray(block[:, start : start + step].T))
            try:
                self._file.write(samples)
            except soundfile.LibsndfileError as error:
                raise ScratchFullError(DISK_FULL.format(self._path.name)) from error

    def _quantize(self, samples: FloatArray) -> NDArray[Any]:
        """Return what libsndfile stores bit by bit: floats, or integers in the highest bits."""
        if self._bit_depth == 16:
            return quantize_16_bit(samples, self._random)
        if self._bit_depth == 24:
            # At 24 bits the rounding error is 50 dB below the noise of any converter, so dither is not needed.
            steps = samples * np.float32(1 << 23)
            np.clip(np.rint(steps, out=steps), -(1 << 23), (1 << 23) - 1, out=steps)
            return np.left_shift(steps.astype(np.int32), 8)
        return samples

    def finish(self) -> None:
        """Complete the file, and say which loudspeakers its channels are for. Raises ScratchFullError."""
        self._file.close()
        if self._layout.channels > 2:
            name_loudspeakers(self._path, self._format_name, self._layout.target)

    def abort(self) -> None:
        """Stop writing. The file stays incomplete."""
        self._file.close()


def name_loudspeakers(path: Path, format_name: str, layout: int) -> None:
    """Write the channel mask into a finished WAV or FLAC file. libsndfile writes its own for each number of channels.

    FLAC has only one layout for each number of channels, and readers differ on which. A comment names it exactly.
    """
    if format_name == "flac":
        file = FLAC(path)
        file["WAVEFORMATEXTENSIBLE_CHANNEL_MASK"] = f"0x{layout:04X}"
        file.save()
        return
    with path.open("r+b") as wav:
        header = wav.read(1 << 12)
        place = header.find(b"fmt ", 12)
        # Only the extensible format has a mask; it is 40 bytes long.
        if place >= 0 and header[place + 4 : place + 8] == struct.pack("<I", 40):
            wav.seek(place + 28)
            wav.write(struct.pack("<I", layout))


def quantize_16_bit(samples: FloatArray, random: np.random.Generator) -> NDArray[np.int16]:
    """Return samples rounded to 16 bits, with triangular dither that is two steps wide.

    Digital silence stays silent: noise in it would only take bytes.
    """
    steps = samples * np.float32(1 << 15)
    if samples.any():
        dither = random.random(samples.shape, dtype=np.float32)
        dither -= random.random(samples.shape, dtype=np.float32)
        steps += dither
    return np.clip(np.rint(steps, out=steps), -(1 << 15), (1 << 15) - 1, out=steps).astype(np.int16)


class _FfmpegEncoder:
    """Writes MP3, Vorbis, Opus, AAC or ALAC with an ffmpeg process that reads from a pipe."""

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        *,
        source_rate_hz: int,
        layout: LayoutChange,
        ffmpeg_path: str | None,
    ) -> None:
        self._path = path
        self._name = encoding.format.name
        self._log_path = path.with_name(path.name + ".log")
        with self._log_path.open("wb") as log:
            self._process = ffmpeg.start(
                [
                    *("-v", "error", "-f", "f32le", "-ar", str(source_rate_hz)),
                    *("-ch_layout", f"{layout.source:#x}", "-i", "pipe:0"),
                    *("-ar", str(encoding.sample_rate_hz), *_fold_options(layout)),
                    *(*_codec_options(encoding), "-y", f"file:{path}"),
                ],
                ffmpeg_path=ffmpeg_path,
                confinement=ffmpeg.Confinement(writable_folder=path.resolve().parent),
                stdin=subprocess.PIPE,
                stderr=log,
            )

    def write_block(self, block: FloatArray) -> None:
        """Append samples of shape (channels, n)."""
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it was opened as a pipe
        try:
            self._process.stdin.write(np.ascontiguousarray(block.T).data.cast("B"))
        except BrokenPipeError:
            self._fail()

    def finish(self) -> None:
        """Complete the file. Raises SeparationFailedError if the encoder fails."""
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it was opened as a pipe
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._fail()
        if not ffmpeg.wait(self._process, seconds=FINISH_SECONDS) or self._process.returncode != 0:
            self._fail()
        self._log_path.unlink()

    def abort(self) -> None:
        """Stop writing. The file stays incomplete."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            # Samples that are still buffered have nowhere to go.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._log_path.unlink(missing_ok=True)

    def _fail(self) -> NoReturn:
        # The log is complete only when the process has ended.
        self._process.kill()
        self._process.wait()
        with self._log_path.open("rb") as log:
            text = log.read(1 << 16).decode("utf-8", "replace").strip()
        self.abort()
        if "No space left on device" in text or "File too large" in text:
            raise ScratchFullError(DISK_FULL.format(self._path.name))
        raise SeparationFailedError(f"The {self._name} encoder failed: {text[:200] or 'no message'}")


def _codec_options(encoding: Encoding) -> tuple[str, ...]:
    rate = f"{encoding.bitrate_kbps}k"
    return {
        "mp3": ("-c:a", "libmp3lame", "-b:a", rate, "-f", "mp3"),
        "ogg": ("-c:a", "libvorbis", "-q:a", f"{_vorbis_quality(encoding.bitrate_kbps or 0):.2f}", "-f", "ogg"),
        "opus": ("-c:a", "libopus", "-b:a", rate, "-f", "opus"),
        "m4a": ("-c:a", "aac", "-b:a", rate, "-movflags", "+faststart", "-f", "ipod"),
        # One track of a stem file; stem_mp4.py joins them.
        "stem.mp4": (*_track_codec(encoding.bit_depth, rate), "-f", "ipod"),
    }[encoding.format.name]


def _track_codec(bit_depth: int | None, rate: str) -> tuple[str, ...]:
    return ("-c:a", "alac", *ALAC_SAMPLES[bit_depth]) if bit_depth else ("-c:a", "aac", "-b:a", rate)


def _vorbis_quality(bitrate_kbps: int) -> float:
    return float(np.interp(bitrate_kbps, VORBIS_NOMINAL_KBPS, range(len(VORBIS_NOMINAL_KBPS))))


def _fold_options(layout: LayoutChange) -> tuple[str, ...]:
    """Return the options that mix channels into others where the target has fewer of them.

    ffmpeg's own matrix refuses layouts that are not symmetric, and leaves some loudspeakers out.
    """
    if not layout.is_folded:
        return ()
    rows = ("+".join(f"{gain:.6f}*c{n}" for n, gain in enumerate(row) if gain) or "0*c0" for row in layout.gains())
    return ("-af", "|".join([f"pan={layout.target:#x}", *(f"c{n}={row}" for n, row in enumerate(rows))]))
