"""Files of a job that are text, and its stream of events, as the OpenAPI document shows them."""

from __future__ import annotations

import json
from typing import Any

from api.contract.examples.job import EXAMPLE_JOB

EXAMPLE_BEATS: dict[str, Any] = {"tempo_bpm": 123.9, "start_seconds": 0.0, "beats": [0.235, 0.72, 1.204, 1.688]}

EXAMPLE_WAVEFORM: dict[str, Any] = {
    "sample_rate_hz": 44100,
    "duration_seconds": 187.2,
    "samples_per_peak": 4128,
    "full_scale": 32767,
    "peaks": [-711, 1389, -2856, 2867],
}

EXAMPLE_EVENTS = (
    "retry: 2000\n\nevent: job\nid: 3f2b8c1d-s1796093670584-0\n"
    f"data: {json.dumps(EXAMPLE_JOB, separators=(',', ':'))}\n\n"
)


def _level(peak_db: float, loudness_lufs: float) -> dict[str, Any]:
    return {"peak_db": peak_db, "loudness_lufs": loudness_lufs, "silent": False}


def _stem(peak_db: float, loudness_lufs: float) -> dict[str, Any]:
    return {
        "sample_rate_hz": 44100,
        "channels": 2,
        "n_samples": 8255520,
        "duration_seconds": 187.2,
        **_level(peak_db, loudness_lufs),
    }


EXAMPLE_REPORT: dict[str, Any] = {
    "source": {
        "container": "mp3",
        "codec": "mp3float",
        "sample_rate_hz": 44100,
        "channel_layout": "stereo",
        "bits_per_sample": None,
        "bitrate_kbps": 192,
        "declared_seconds": 187.2,
        "walked_seconds": 187.2,
        "audio_stream": 1,
        "joined_stream": None,
        "ffmpeg_version": "n8.0",
        "audio_streams": 1,
        "streams": [
            {"number": 1, "codec": "mp3", "channels": 2, "language": None, "title": None, "default": False},
        ],
        "channels": 2,
        "duration_seconds": 187.2,
        "filename": "song.mp3",
        "file_sample_rate_hz": 44100,
        "repaired_samples": 0,
        "start_seconds": 0.0,
        "gaps": [],
        "gap_seconds": 0.0,
    },
    "excerpt": None,
    "engine": "unet",
    "engine_version": "4",
    "model": {
        "title": "U-Net (Spleeter, 2 stems)",
        "author": "Deezer (R. Hennequin, A. Khlif, F. Voituret, M. Moussallam)",
        "licence": "MIT. Spleeter's authors distribute source code and pre-trained models under the MIT licence.",
        "licence_source": "https://doi.org/10.21105/joss.02154",
    },
    "preset": "standard",
    "parameters": {},
    "format": {"name": "flac", "bit_depth": 24, "bitrate_kbps": None, "sample_rate_hz": 44100},
    "mixture": _level(-0.3, -11.2),
    "stems": {"vocals": _stem(-1.9, -17.3), "accompaniment": _stem(-0.4, -12.9)},
    "mixes": {"karaoke": {"gains_db": {"vocals": None}, "rest_db": 0.0, **_stem(-0.4, -12.9)}},
    "residual_db": -164.02,
    "music": EXAMPLE_JOB["music"],
    "gain_db": 0.0,
    "notes": [],
    "seconds": {
        "probe": 0.1,
        "decode": 0.4,
        "separate": 2.9,
        "encode": 0.5,
        "illustrate": 0.2,
        "total": 4.1,
    },
    "real_time_factor": 45.66,
    "peak_memory_bytes": 314233088,
    "threads": 2,
    "versions": {
        "ffmpeg": "n8.0",
        "stemqueue": "0.1.0",
        "librosa": "0.11.0",
        "numpy": "2.4.6",
        "scipy": "1.17.1",
        "soundfile": "0.14.0",
        "onnxruntime": "1.32.0",
    },
}
