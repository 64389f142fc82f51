"""Estimates a job before it starts: which jobs take alike, and how long the audio may be.

The length is estimated from the file's size alone. The Lua scripts correct the estimates by what finished jobs show.
"""

from __future__ import annotations

import hashlib
import json

from shared.audio_formats import INPUT_BYTES_PER_SECOND, extension_of
from shared.jobs.model import JobRequest


def kind_of(request: JobRequest) -> str:
    """Return a name that jobs with the same engine, preset and parameters share: they take alike for the same audio."""
    asked = json.dumps([request.preset, dict(request.parameters)], sort_keys=True)
    return f"{request.engine}:{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def guessed_length(request: JobRequest) -> tuple[str, int]:
    """Return the file name's extension with its dot, and the expected length in milliseconds; `("", 0)` if unknown."""
    extension = extension_of(request.source.filename)
    rate = INPUT_BYTES_PER_SECOND.get(extension)
    return (f".{extension}", round(1000 * request.source.size_bytes / rate)) if rate else ("", 0)
