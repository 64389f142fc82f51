"""What the server says of itself, uploads and webhooks, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any

EXAMPLE_ENGINES: dict[str, Any] = {
    "engines": [
        {
            "name": "htdemucs",
            "version": "1",
            "title": "HT-Demucs",
            "summary": "A trained neural network with four stems.",
            "stems": ["vocals", "drums", "bass", "other"],
            "derived_stems": ["accompaniment"],
            "presets": [
                {
                    "name": "standard",
                    "description": "The network as it was trained.",
                    "parameters": {},
                    "scores": {},
                    "min_seconds": 0.0,
                    "max_seconds": None,
                }
            ],
            "default_preset": "standard",
            "parameters": [
                {
                    "name": "overlap",
                    "kind": "number",
                    "description": "How much of each segment overlaps the next one.",
                    "minimum": 0.1,
                    "maximum": 0.9,
                    "choices": [],
                }
            ],
            "author": "Alexandre Défossez",
            "licence": "The weights are provided only for scientific purposes.",
            "licence_source": "https://github.com/facebookresearch/demucs/issues/327",
            "scores_from": "",
            "precision": "float32",
            "passes": 1,
            "context_seconds": 7.8,
            "real_time_factor": 3.1,
            "memory_bytes": 700000000,
            "waiting_for": None,
        }
    ],
    "default_engine": "htdemucs",
    "formats": [
        {
            "name": "flac",
            "extension": "flac",
            "content_type": "audio/flac",
            "bit_depths": [16, 24],
            "bitrates_kbps": None,
            "needed_stems": [],
        },
        {
            "name": "stem.mp4",
            "extension": "stem.mp4",
            "content_type": "audio/mp4",
            "bit_depths": [16, 24],
            "bitrates_kbps": [32, 256, 512],
            "needed_stems": ["drums", "bass", "vocals"],
        },
    ],
    "max_upload_bytes": 2000000000,
    "max_audio_seconds": 10800.0,
}

HEALTHY: dict[str, Any] = {"status": "ok", "faults": {}}
NOT_READY: dict[str, Any] = {
    "status": "unavailable",
    "faults": {"workers": "No live worker can reach the storage."},
}

EXAMPLE_UPLOAD: dict[str, Any] = {
    "upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70",
    "filename": "song.mp3",
    "size_bytes": 4493021,
    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
}

EXAMPLE_DIRECT_UPLOAD: dict[str, Any] = {
    "upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70",
    "filename": "song.mp3",
    "url": "https://storage.example/stems",
    "fields": {
        "key": "uploads/0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70",
        "policy": "eyJleHBpcmF0aW9uIjoi…",
        "x-amz-signature": "4d8c6b0f…",
    },
    "expires_in_seconds": 3600,
}

EXAMPLE_DELIVERIES: dict[str, Any] = {
    "deliveries": [
        {
            "message_id": "msg_3f2b8c1d4e5f60718293a4b5c6d7e8f9",
            "type": "job.succeeded",
            "attempt": 1,
            "at": "2026-11-30T21:30:06Z",
            "milliseconds": 84,
            "status": 503,
            "error": None,
            "outcome": "failed",
            "next_attempt_in_seconds": 5.0,
        }
    ]
}
