"""What can be told of a job's work before it has begun: what it is like, and how long its audio may be.

Owns the guess from a file's size; what jobs show later mends it (lua/pace.lua). Nothing here looks into a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from shared.jobs.model import JobRequest

BYTES_PER_SECOND: Mapping[str, int] = {
    ".wav": 176_400,
    ".aif": 176_400,
    ".aiff": 176_400,
    ".flac": 105_000,
    ".alac": 105_000,
    ".wv": 105_000,
    ".mp3": 30_000,
    ".m4a": 30_000,
    ".mp4": 30_000,
    ".aac": 24_000,
    ".ogg": 20_000,
    ".oga": 20_000,
    ".opus": 14_000,
    ".wma": 20_000,
}
"""What a second of a song takes, usually, by the ending of its file's name."""


def kind_of(request: JobRequest) -> str:
    """Return a name that jobs share which take alike for the same audio: of an engine, with a preset and parameters."""
    asked = json.dumps([request.preset, dict(request.parameters)], sort_keys=True)
    return f"{request.engine}:{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def guessed_length(request: JobRequest) -> tuple[str, int]:
    """Return the ending of the file's name, and how many milliseconds of audio its size lets expect; 0: none."""
    form = PurePosixPath(request.source.filename).suffix.lower()
    rate = BYTES_PER_SECOND.get(form)
    return (form, round(1000 * request.source.size_bytes / rate)) if rate else ("", 0)
