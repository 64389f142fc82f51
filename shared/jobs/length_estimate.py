"""Estimates a job before it starts: how long its audio is, and which earlier jobs took comparable time.

The length is estimated from the file's size alone. The Lua scripts correct the estimates with figures of finished jobs.
"""

from __future__ import annotations

import hashlib
import json

from shared.audio.formats import INPUT_BYTES_PER_SECOND, extension_of
from shared.jobs.request import JobRequest


def kind_of(request: JobRequest) -> str:
    """Return an id of the engine, preset and parameters. Jobs with the same id take equally long for equal audio."""
    asked = json.dumps([request.preset, dict(request.parameters)], sort_keys=True)
    return f"{request.engine}:{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def guessed_length(request: JobRequest) -> tuple[str, int]:
    """Return the file name's extension with its dot, and the expected length in milliseconds; `("", 0)` if unknown.

    A length that is known has no extension, so that the scripts neither correct it nor learn from it about files.
    """
    if request.source.duration_seconds:
        return "", round(1000 * request.source.duration_seconds)
    extension = extension_of(request.source.filename)
    rate = INPUT_BYTES_PER_SECOND.get(extension)
    return (f".{extension}", round(1000 * request.source.size_bytes / rate)) if rate else ("", 0)
