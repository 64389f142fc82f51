"""A whole job as the OpenAPI document shows it: the first of a chain, which has succeeded."""

from __future__ import annotations

from typing import Any

JOB_ID, NEXT_ID = "3f2b8c1d4e5f60718293a4b5c6d7e8f9", "7a1d0c55e2b94f0f8a3b6c7d8e9f0a1b"

PATH = f"/v1/jobs/{JOB_ID}"

SHA256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"


def _output(kind: str, path: str, filename: str, content_type: str, size_bytes: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": path.rpartition("/")[2],
        "url": f"{PATH}/{path}",
        "filename": filename,
        "content_type": content_type,
        "size_bytes": size_bytes,
        "sha256": SHA256,
    }


def _stem(name: str, size_bytes: int, peak_db: float, loudness_lufs: float) -> dict[str, Any]:
    return {
        **_output("stem", f"stems/{name}", f"{name}.flac", "audio/flac", size_bytes),
        "format": "flac",
        "sample_rate_hz": 44100,
        "channels": 2,
        "duration_seconds": 187.2,
        "peak_db": peak_db,
        "loudness_lufs": loudness_lufs,
        "silent": False,
    }


def _waveform(name: str) -> dict[str, Any]:
    filename = f"waveform-{name}.json"
    return _output("waveform", f"waveforms/{name}", filename, "application/json", 8214)


EXAMPLE_FORM: dict[str, Any] = {
    "file": "(the bytes of song.mp3)",
    "engine": "unet",
    "format": "mp3",
    "mixes": ["minus:vocals"],
    "excerpt_start_seconds": 30,
    "excerpt_duration_seconds": 20,
    "then": [{"from": "vocals", "engine": "repetition"}],
}

EXAMPLE_JOB: dict[str, Any] = {
    "id": JOB_ID,
    "state": "succeeded",
    "stage": None,
    "progress": 1.0,
    "attempt": 1,
    "queue_position": None,
    "eta_seconds": None,
    "waiting_for": None,
    "waiting_because": None,
    "engine": "unet",
    "preset": "standard",
    "parameters": {},
    "stems_wanted": None,
    "mixes_wanted": [],
    "format": "flac",
    "format_options": {},
    "excerpt": None,
    "priority": "interactive",
    "source": {
        "filename": "song.mp3",
        "size_bytes": 4493021,
        "sha256": SHA256,
        "upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70",
        "url": f"{PATH}/source",
        "job_id": None,
        "output": None,
        "duration_seconds": 187.2,
        "sample_rate_hz": 44100,
        "channels": 2,
        "codec": "mp3",
    },
    "stems": [_stem("vocals", 12023145, -1.9, -17.3), _stem("accompaniment", 18023145, -0.4, -12.9)],
    "mixes": [],
    "pictures": [
        {
            **_output("picture", "pictures/spectrogram", "spectrogram.png", "image/png", 431022),
            "range_db": 80.0,
            "lowest_hz": 32.703,
            "highest_hz": 22050.0,
            "frequency_scale": "log",
            "start_seconds": 0.0,
            "duration_seconds": 187.2,
        }
    ],
    "waveforms": [_waveform(name) for name in ("mixture", "vocals", "accompaniment")],
    "music": {
        "tempo_bpm": 123.9,
        "tempo_confidence": 0.93,
        "beats_count": 386,
        "key": "F# minor",
        "key_confidence": 0.88,
    },
    "beats": _output("beats", "beats", "beats.json", "application/json", 3412),
    "report": _output("report", "report", "report.json", "application/json", 5120),
    "error": None,
    "attempt_errors": [],
    "times": {
        "created_at": "2026-11-30T21:30:00Z",
        "started_at": "2026-11-30T21:30:01Z",
        "finished_at": "2026-11-30T21:30:05Z",
    },
    "expires_at": "2026-12-07T21:30:05Z",
    "batch_id": None,
    "cached": False,
    "metadata": {"isrc": "QZ1"},
    "then": [{"job_id": NEXT_ID, "output": "vocals"}],
    "links": {
        "self": PATH,
        "source": f"{PATH}/source",
        "archive": f"{PATH}/archive",
        "report": f"{PATH}/report",
    },
}

EXAMPLE_JOBS: dict[str, Any] = {
    "jobs": [EXAMPLE_JOB],
    "has_more": True,
    "next_starting_after": f"{JOB_ID}-1796074200000",
}

EXAMPLE_QUEUED_JOB: dict[str, Any] = {
    **EXAMPLE_JOB,
    "state": "queued",
    "progress": 0.0,
    "attempt": 0,
    "queue_position": 2,
    "eta_seconds": 7.5,
    "source": {**EXAMPLE_JOB["source"], "duration_seconds": None, "sample_rate_hz": None, "channels": None},
    "stems": [],
    "pictures": [],
    "waveforms": [],
    **dict.fromkeys(("music", "beats", "report", "expires_at")),
    "times": {"created_at": "2026-11-30T21:30:00Z", "started_at": None, "finished_at": None},
    "links": {"self": PATH, "source": f"{PATH}/source", "events": f"{PATH}/events", "cancel": f"{PATH}/cancel"},
}
"""What a submission gets. A worker adds to the source what it finds in the file."""

EXAMPLE_CANCELED_JOB: dict[str, Any] = {
    **EXAMPLE_QUEUED_JOB,
    "state": "canceled",
    "queue_position": None,
    "eta_seconds": None,
    "expires_at": "2026-12-07T21:30:01Z",
    "times": {
        "created_at": "2026-11-30T21:30:00Z",
        "started_at": None,
        "finished_at": "2026-11-30T21:30:01Z",
    },
    "links": {"self": PATH, "source": f"{PATH}/source", "retry": f"{PATH}/retry"},
}

KARAOKE: dict[str, Any] = {"name": "karaoke", "gains_db": {"vocals": None, "accompaniment": 0.0}, "rest_db": None}

EXAMPLE_MIX_JOB: dict[str, Any] = {
    **EXAMPLE_QUEUED_JOB,
    "stems_wanted": [],
    "mixes_wanted": [KARAOKE],
    "format": "mp3",
    "source": {**EXAMPLE_QUEUED_JOB["source"], "job_id": NEXT_ID},
    "metadata": {},
    "then": [],
}
"""A job that mixes the stems of another job. The mixes have a gain for each stem that they need."""

EXAMPLE_MIXED_JOB: dict[str, Any] = {
    **EXAMPLE_JOB,
    **{name: EXAMPLE_MIX_JOB[name] for name in ("stems_wanted", "mixes_wanted", "format", "metadata", "then")},
    "source": {**EXAMPLE_JOB["source"], "job_id": NEXT_ID},
    "stems": [],
    "mixes": [
        {
            **_stem("karaoke", 4493021, -0.4, -12.9),
            **_output("mix", "mixes/karaoke", "karaoke.mp3", "audio/mpeg", 4493021),
            "format": "mp3",
            "gains_db": KARAOKE["gains_db"],
            "rest_db": None,
        }
    ],
    "pictures": [],
    "waveforms": [_waveform("karaoke")],
    "music": None,
    "beats": None,
}
